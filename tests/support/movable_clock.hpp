#pragma once

/// The system's wall clock, and as far ahead of it as a test says: what is due in an hour can be waited for.

#include "ports/ports.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
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

/// A wall clock that stands still, on a full minute, until a test moves it: a time is there or not, never about to be.
class still_clock final : public wall_clock {
public:
  std::chrono::system_clock::time_point now() const override { return std::chrono::system_clock::time_point(std::chrono::milliseconds(now_ms_)); }
  void advance(std::chrono::milliseconds by) { now_ms_ += by.count(); }
  void set(std::chrono::system_clock::time_point to) { now_ms_ = std::chrono::duration_cast<std::chrono::milliseconds>(to.time_since_epoch()).count(); }

private:
  std::atomic<std::int64_t> now_ms_{1'800'000'000'000};
};

inline ports with_clock(std::shared_ptr<wall_clock> clock) {
  return {.clock = std::move(clock), .wrap_engine = {}, .wrap_transport = {}};
}

} // namespace dormouse::test
