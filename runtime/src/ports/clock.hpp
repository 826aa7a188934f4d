#pragma once

/// Port: the wall clock. Due times and deadlines are stored, so they are wall-clock times; what measures durations within a process
/// uses `std::chrono::steady_clock`.

#include <chrono>
#include <cstdint>

namespace dormouse {

class wall_clock {
public:
  virtual ~wall_clock() = default;
  virtual std::chrono::system_clock::time_point now() const { return std::chrono::system_clock::now(); }

  /// Milliseconds since the Unix epoch, as stored.
  std::int64_t now_ms() const { return std::chrono::duration_cast<std::chrono::milliseconds>(now().time_since_epoch()).count(); }
};

} // namespace dormouse
