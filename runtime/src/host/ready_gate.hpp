#pragma once

/// Messages that wait until their object is ready (`block_until_ready`).
///
/// Closed, it holds back everything but what the object itself has asked for: responses, answers, and the
/// runtime's own messages. It is opened by a turn, and what waited is handled when that turn is over, before
/// anything that came later. Each closing has a number, so that the timer of one does not end another.
///
/// Threads: the activation's.

#include "host/actor_messages.hpp"

#include <dormouse/actors/runtime_methods.hpp>

#include <chrono>
#include <cstdint>
#include <list>
#include <utility>

namespace dormouse {

class ready_gate {
public:
  bool is_closed() const noexcept { return state_ == state::closed; }
  bool is_open() const noexcept { return state_ == state::open; }

  /// False if it is closed already: then its time goes on.
  bool close(std::chrono::milliseconds timeout) noexcept {
    if (state_ == state::closed) return false;
    state_ = state::closed;
    timeout_ = timeout;
    closed_at_ = std::chrono::steady_clock::now();
    ++number_;
    return true;
  }
  std::uint64_t number() const noexcept { return number_; }
  std::chrono::milliseconds timeout() const noexcept { return timeout_; }

  /// Until its time is over, rounded up.
  std::chrono::milliseconds left() const noexcept {
    return std::chrono::ceil<std::chrono::milliseconds>(closed_at_ + timeout_ -
                                                        std::chrono::steady_clock::now());
  }

  /// What waits is to be taken.
  void open() noexcept {
    if (state_ == state::closed) state_ = state::opening;
  }
  bool is_opening() const noexcept { return state_ == state::opening; }

  /// It is open, and nothing waits any more.
  std::list<envelope_ptr> take() noexcept {
    state_ = state::open;
    return take_waiting();
  }

  /// It stays as it is.
  std::list<envelope_ptr> take_waiting() noexcept { return std::exchange(waiting_, {}); }

  bool holds(const envelope& what) const noexcept {
    return state_ != state::open && !what.result && !what.answer &&
           (what.method == nullptr || !is_for_what_runs(*what.method));
  }
  void wait(envelope_ptr what) {
    what->step_aside();
    waiting_.push_back(std::move(what));
  }

private:
  /// Of the runtime's own messages, all but the one that begins something.
  static bool is_for_what_runs(const method_descriptor& method) noexcept {
    return method.name.starts_with('#') && &method != &runtime_methods::start_task;
  }

  enum class state : std::uint8_t { open, closed, opening };

  state state_ = state::open;
  std::chrono::milliseconds timeout_{};
  std::chrono::steady_clock::time_point closed_at_;
  std::uint64_t number_ = 0;
  std::list<envelope_ptr> waiting_; ///< counted as pending, so their activation stays
};

} // namespace dormouse
