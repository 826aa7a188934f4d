#pragma once

/// The system's wall clock, and as far ahead of it as a test says: what is due in an hour can be waited for.

#include "ports/ports.hpp"

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

inline ports with_clock(std::shared_ptr<wall_clock> clock) {
  return {.clock = std::move(clock), .wrap_engine = {}, .wrap_transport = {}};
}

} // namespace dormouse::test
