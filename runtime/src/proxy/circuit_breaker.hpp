#pragma once

/// A circuit breaker for one origin: closed, everything passes; open after too many failures in a row,
/// nothing passes; half-open when it has been open for its time, one probe passes, and its outcome closes or
/// opens the circuit.

#include <dormouse/runtime/stats.hpp>

#include <cstdint>

namespace dormouse {

class circuit_breaker {
public:
  /// `failures` in a row open it, 0: nothing does; `open_ms` is how long it stays open.
  circuit_breaker(std::uint32_t failures, std::int64_t open_ms) : threshold_(failures), open_ms_(open_ms) {}

  /// Whether an attempt may go out now. In half-open state the first one that asks is the probe.
  bool admit(std::int64_t now_ms) noexcept {
    if (state_ == circuit_state::open && now_ms >= open_until_ms_) state_ = circuit_state::half_open;
    if (state_ == circuit_state::closed) return true;
    if (state_ == circuit_state::open || probing_) return false;
    probing_ = true;
    return true;
  }

  /// The attempt came to no verdict, such as one that was aborted.
  void abandoned() noexcept { probing_ = false; }

  void succeeded() noexcept {
    failures_ = 0;
    probing_ = false;
    state_ = circuit_state::closed;
  }

  /// True if that opened it.
  bool failed(std::int64_t now_ms) noexcept {
    if (threshold_ == 0) return false;
    probing_ = false;
    ++failures_;
    if (state_ == circuit_state::open || (state_ == circuit_state::closed && failures_ < threshold_))
      return false; // a straggler from before it opened changes nothing
    state_ = circuit_state::open;
    open_until_ms_ = now_ms + open_ms_;
    return true;
  }

  circuit_state state() const noexcept { return state_; }
  std::int64_t open_until_ms() const noexcept { return open_until_ms_; }

  /// Nothing is known of it that a new one would not say.
  bool is_fresh() const noexcept { return state_ == circuit_state::closed && failures_ == 0; }

private:
  std::uint32_t threshold_;
  std::int64_t open_ms_;
  circuit_state state_ = circuit_state::closed;
  std::uint32_t failures_ = 0;
  bool probing_ = false;
  std::int64_t open_until_ms_ = 0;
};

} // namespace dormouse
