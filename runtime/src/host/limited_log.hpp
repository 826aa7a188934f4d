#pragma once

/// Log lines that would come again and again: one that says the same as a minute ago is counted and not
/// written, and the next that is written says how many were not. For whatever is tried again by itself.

#include <spdlog/fwd.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

namespace dormouse {

class limited_log {
public:
  using clock = std::chrono::steady_clock;
  static constexpr std::chrono::seconds interval{60};

  explicit limited_log(std::shared_ptr<spdlog::logger> to) : to_(std::move(to)) {}

  /// `about` is what repeats: of lines about the same thing one is written each minute. Thread-safe.
  void error(std::string_view about, std::string_view text, clock::time_point now = clock::now());
  void warn(std::string_view about, std::string_view text, clock::time_point now = clock::now());

private:
  struct topic {
    clock::time_point written;
    std::uint64_t held_back = 0;
  };

  /// What is to be written; empty: nothing.
  std::string admit(std::string_view about, std::string_view text, clock::time_point now);

  const std::shared_ptr<spdlog::logger> to_;
  std::mutex mutex_;
  std::map<std::string, topic, std::less<>> topics_;
};

} // namespace dormouse
