#include "host/log.hpp"

#include <dormouse/actors/user_code.hpp>

#include <spdlog/logger.h>
#include <spdlog/sinks/sink.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <utility>

namespace dormouse {
namespace {

/// Hands lines on to a logger of the program's, whose sinks and error handler may throw anything (R32): what
/// is thrown there is dropped with the line, for there is nowhere to tell of it.
class programs_logger final : public spdlog::sinks::sink {
public:
  explicit programs_logger(std::shared_ptr<spdlog::logger> to) : to_(std::move(to)) {}

  void log(const spdlog::details::log_msg& line) override {
    (void)run_user_code({.name = "the logger"}, [&] { to_->log(line.source, line.level, line.payload); });
  }
  void flush() override {
    (void)run_user_code({.name = "the logger"}, [&] { to_->flush(); });
  }
  void set_pattern(const std::string&) override {}
  void set_formatter(std::unique_ptr<spdlog::formatter>) override {}

private:
  const std::shared_ptr<spdlog::logger> to_;
};

} // namespace

std::shared_ptr<spdlog::logger> make_log() {
  auto own = spdlog::get("dormouse");
  if (!own)
    return std::make_shared<spdlog::logger>("dormouse",
                                            std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
  auto out = std::make_shared<spdlog::logger>("dormouse", std::make_shared<programs_logger>(std::move(own)));
  out->set_level(spdlog::level::trace); // the program's own logger says what it wants
  return out;
}

} // namespace dormouse
