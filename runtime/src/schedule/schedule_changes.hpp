#pragma once

/// What a commit does to the schedules of an object, and what is to be told and counted when it is durable.

#include "store/store.hpp"

#include <dormouse/serialization/schedule.hpp>

#include <cstdint>
#include <optional>

namespace dormouse {

struct runtime_core;

struct schedule_changes {
  write_set writes;
  std::optional<keys::due_parts> earliest; ///< of the rows that are written
  std::int64_t more = 0;                   ///< schedules than before
  std::uint64_t made = 0;
  std::uint64_t fired = 0;
  std::uint64_t fired_late = 0;
  std::uint64_t failed = 0;
  std::uint64_t buried = 0;

  void put(const store& to, const address& of, const schedule_message& what);
  void erase(const store& from, const address& of, const schedule_message& what) {
    from.erase_schedule(writes, of, what);
  }

  /// It is durable.
  void let_out(runtime_core& core) const;
};

/// What becomes of a schedule whose firing came to nothing.
struct failed_firing {
  std::optional<schedule_message> next; ///< its row from here on; nothing: it has none
  write_set letter;                     ///< if there is a dead letter
  bool is_of_handler = true;            ///< counted among `failed_firings`
};

/// The handler of a firing failed: the same tick again later, or, when it has been tried often enough, a dead
/// letter and the next tick.
failed_firing after_failure(runtime_core& core, const address& of, const schedule_message& what,
                            const error& why);

/// A tick has killed the process too often: the whole schedule becomes a dead letter (R22), for its next tick
/// would do so again. Retried, it goes on, without its name, which may be another's by then.
failed_firing quarantine(runtime_core& core, const address& of, const schedule_message& what,
                         const error& why, std::vector<dead_letter_try> history);

/// A row of a due time that leads to no schedule, or to a damaged one, which becomes a dead letter. `damage`
/// null: it is not there. False if one of the rows cannot be read: then both stay as they are.
bool clear_away(runtime_core& core, const address& of, const schedule_id& id, std::int64_t due_ms,
                const error* damage);

} // namespace dormouse
