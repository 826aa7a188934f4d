#include "host/limited_log.hpp"

#include <fmt/format.h>
#include <spdlog/logger.h>

#include <cstddef>
#include <iterator>

namespace dormouse {
namespace {

constexpr std::size_t most_topics = 256;

} // namespace

void limited_log::error(std::string_view about, std::string_view text, clock::time_point now) {
  if (const auto line = admit(about, text, now); !line.empty()) to_->error(line);
}

void limited_log::warn(std::string_view about, std::string_view text, clock::time_point now) {
  if (const auto line = admit(about, text, now); !line.empty()) to_->warn(line);
}

std::string limited_log::admit(std::string_view about, std::string_view text, clock::time_point now) {
  std::lock_guard guard(mutex_);
  auto known = topics_.find(about);
  if (known != topics_.end() && now - known->second.written < interval) {
    ++known->second.held_back;
    return {};
  }
  if (known == topics_.end() && topics_.size() >= most_topics)
    std::erase_if(topics_, [now](const auto& each) { return now - each.second.written >= interval; });
  if (known == topics_.end() && topics_.size() >= most_topics) about = "other"; // many at once share one
  auto& of_it = topics_[std::string(about)];
  if (of_it.written != clock::time_point{} && now - of_it.written < interval) {
    ++of_it.held_back;
    return {};
  }
  const auto held_back = std::exchange(of_it.held_back, 0);
  of_it.written = now;
  return held_back == 0
             ? std::string(text)
             : fmt::format("{} (and {} times more since the last line about this)", text, held_back);
}

} // namespace dormouse
