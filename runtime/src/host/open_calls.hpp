#pragma once

/// Calls that are waited for no longer than a certain time (serialization/open_call.hpp).
///
/// The turn that calls also makes a schedule, which is the record that the call is open, and is the only
/// thing that knows the continuation. The turn that takes it away decides what the call came to: the
/// answer's, when it runs the continuation; the time-out's, or the caller's own that gives up, when it puts
/// an answer of its own, an error, into the caller's inbox. All three are commits of one object, one after
/// the other, so one of them finds the record, and the continuation has one outcome. From the inbox on an
/// error is an answer like any other: tried again, and in the end a dead letter.

#include "host/actor_messages.hpp"
#include "host/waiting_callers.hpp"
#include "schedule/schedule_book.hpp"

#include <dormouse/runtime/clock.hpp>
#include <dormouse/serialization/open_call.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace dormouse {

struct admitted_call;

/// Of one turn.
class open_calls {
public:
  open_calls(schedule_book& schedules, const wall_clock& clock) : schedules_(schedules), clock_(clock) {}

  /// Makes the record of a call that has this place among those of the turn, and has the answer go there.
  /// Errors: `invalid_request`, `too_large`, `queue_full`, `storage_error`.
  expected<call_id> open(admitted_call& what, std::size_t place, std::chrono::milliseconds within);

  /// Whether it was open. Errors: `corrupt`, `storage_error`.
  expected<bool> cancel(const call_id& which);

  /// Now that the paths are whole: who waits behind the continuations of this turn's calls.
  void complete(const std::vector<admitted_call>& calls);

  /// Those that were given up, and what their continuations get. Behind `complete`.
  std::vector<waiting_reply> take_cancelled();

  std::pair<std::size_t, std::size_t> save() const noexcept { return {opened_.size(), cancelled_.size()}; }
  void go_back(std::pair<std::size_t, std::size_t> to) noexcept;
  void clear() noexcept { go_back({0, 0}); }

private:
  struct opened {
    std::uint64_t number;
    std::size_t place;
    open_call record;
  };

  schedule_book& schedules_;
  const wall_clock& clock_;
  std::vector<opened> opened_;
  std::vector<std::pair<std::uint64_t, open_call>> cancelled_;
};

/// Error: `corrupt` for a schedule that is no record of a call.
expected<open_call> read_open_call(const schedule_message& row);

/// What the continuation of a call gets whose time has passed.
call_error timed_out(const open_call& what);

/// Whether an answer is wanted: one to a call with a time limit is if the record is still there, and leads to
/// the continuation that it has from then on. `what` is then marked with the record, which the turn that
/// handles it takes away. Errors: `corrupt`, `storage_error`.
expected<bool> is_wanted(schedule_book& schedules, envelope& what);

} // namespace dormouse
