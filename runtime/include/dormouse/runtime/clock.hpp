#pragma once

/// What a runtime takes for the time of day. Due times, deadlines, cookies' lifetimes and schedules are
/// stored, so they are times of this clock; what measures durations within a process (time-outs of an
/// attempt, leases, how long an object is idle) goes by `std::chrono::steady_clock`, which nothing here
/// moves.
///
///   auto clock = std::make_shared<dormouse::manual_clock>();
///   dormouse::runtime runtime({.directory = "test", .clock = clock});
///   clock->advance(std::chrono::hours(24 * 13)); // what was due by then fires now

#include <atomic>
#include <chrono>
#include <cstdint>

namespace dormouse {

/// The system's clock; derive from it for another. Called from all threads of the runtime, so `now` must be
/// thread-safe, and it must not throw: what it throws is logged and counted, and its last time stands. A
/// clock may jump, as the system's does when it is set: a runtime notices within 200 ms of real time.
class wall_clock {
public:
  virtual ~wall_clock() = default;
  virtual std::chrono::system_clock::time_point now() const { return std::chrono::system_clock::now(); }

  /// Milliseconds since the Unix epoch, as stored.
  std::int64_t now_ms() const {
    return std::chrono::duration_cast<std::chrono::milliseconds>(now().time_since_epoch()).count();
  }
};

/// Stands still until it is moved: for tests and simulations, where a time is there or not, never about to
/// be. In whole milliseconds. Thread-safe.
class manual_clock final : public wall_clock {
public:
  /// On a full minute, the same one in every run: 2027-01-15 08:00 UTC.
  manual_clock() = default;
  explicit manual_clock(std::chrono::system_clock::time_point start) { set(start); }

  std::chrono::system_clock::time_point now() const override {
    return std::chrono::system_clock::time_point(std::chrono::milliseconds(now_ms_.load()));
  }
  void advance(std::chrono::milliseconds by) { now_ms_ += by.count(); }
  void set(std::chrono::system_clock::time_point to) {
    now_ms_ = std::chrono::floor<std::chrono::milliseconds>(to.time_since_epoch()).count();
  }

private:
  std::atomic<std::int64_t> now_ms_{1'800'000'000'000};
};

} // namespace dormouse
