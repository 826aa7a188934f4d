#pragma once

/// The system's wall clock, and as far ahead of it as a test says: what is due in an hour can be waited for,
/// and what is due in a moment comes by itself.

#include <dormouse/runtime/clock.hpp>
#include <dormouse/runtime/options.hpp>

#include <atomic>
#include <chrono>
#include <memory>
#include <utility>

namespace dormouse::test {

class movable_clock final : public wall_clock {
public:
  std::chrono::system_clock::time_point now() const override { return wall_clock::now() + ahead_.load(); }
  void advance(std::chrono::seconds by) { ahead_ = ahead_.load() + by; }

private:
  std::atomic<std::chrono::seconds> ahead_{};
};

inline options with_clock(options settings, std::shared_ptr<const wall_clock> clock) {
  settings.clock = std::move(clock);
  return settings;
}

} // namespace dormouse::test
