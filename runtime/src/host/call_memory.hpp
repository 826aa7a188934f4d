#pragma once

/// What one object remembers of calls with an idempotency key (serialization/remembered_call.hpp).
///
/// The commit of the first turn with a key has a row: what the call came to, or, if its reply comes later,
/// that it is under way. In that case the one at the bottom of its return path is the object itself, whose
/// commit completes the row; the callers, of which there may be several by then, or none in this process,
/// wait in memory under a name (waiting_callers.hpp).
///
/// Turns do not wait for commits, so rows in flight are kept here until they are settled. What a repetition
/// is told hangs on the same gate as the row (R4): if that fails, so does the repetition, and the next one
/// runs the method. Thrown away together with the object when a turn is undone.

#include "host/turn.hpp"
#include "schedule/schedule_book.hpp"
#include "store/committer.hpp"

#include <dormouse/actors/class_descriptor.hpp>
#include <dormouse/serialization/remembered_call.hpp>
#include <dormouse/serialization/return_path.hpp>
#include <dormouse/serialization/schedule.hpp>

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace dormouse {

class call_memory {
public:
  call_memory(runtime_core& core, const address& of) : core_(core), of_(of) {}

  /// Whether there was a call with the key of this one, or that cannot be told: then its sink is taken, and
  /// gets, behind what is in flight, what the first one came to or why not; or waits for it. `way`: where to.
  bool answers(envelope& what, const class_descriptor& type, const return_address& way,
               const std::shared_ptr<commit_gate>& gate);

  /// What a call came to, nothing if that comes later, becomes part of the commit of its turn. Errors: as of
  /// a schedule that is made.
  expected<void> remember(turn& in_turn, const envelope& what,
                          std::optional<call_result<std::string>> outcome);

  /// The reply of one that came later; the value is its key. Errors: `corrupt` naming object and key,
  /// `storage_error`.
  expected<std::string> complete(const reply_message& answer);

  /// That schedule is due: the call is forgotten, or, if its reply has not come or has come later than
  /// expected, the schedule moves. Error: `storage_error`.
  expected<void> forget(const schedule_message& due, schedule_book& schedules);

  /// What the turns since the last commit did; `commit`: its place among the commits of the activation.
  void take_changes(write_set& writes, std::uint64_t commit);

  /// So many commits of the activation are settled.
  void settled(std::uint64_t commits);

  void clear() noexcept;

private:
  using row = std::optional<remembered_call>;

  expected<row> find(const std::string& key) const;
  void change(const std::string& key, row now);

  runtime_core& core_;
  const address& of_;
  std::map<std::string, std::pair<row, std::uint64_t>>
      recent_; ///< and the commit that carries it; 0: none yet
  std::list<std::pair<std::uint64_t, std::string>> in_flight_; ///< commit and key, in order
};

/// Where the reply to such a call goes that comes later.
return_address way_to_memory(const address& of, std::uint64_t incarnation, const std::string& key);

} // namespace dormouse
