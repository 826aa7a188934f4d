#include "host/log.hpp"

#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

namespace dormouse {

std::shared_ptr<spdlog::logger> make_log() {
  if (auto own = spdlog::get("dormouse")) return own;
  return std::make_shared<spdlog::logger>("dormouse",
                                          std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
}

} // namespace dormouse
