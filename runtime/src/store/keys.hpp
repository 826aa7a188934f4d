#pragma once

/// The keys of the store, ordered so that every scan is a range. One letter says what a row is; numbers are
/// big-endian, so that their order is the order of their bytes; addresses are escaped so that one is never a
/// prefix of another. The grammar is in docs/on-disk-format.md.

#include <dormouse/serialization/abort.hpp>
#include <dormouse/serialization/address.hpp>
#include <dormouse/serialization/error.hpp>
#include <dormouse/serialization/request.hpp>
#include <dormouse/serialization/schedule.hpp>
#include <dormouse/serialization/task_id.hpp>

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace dormouse::keys {

std::string store_info();                                  ///< M info
std::string last_commit();                                 ///< FF FF commit, behind all others
std::string object(const address& where);                  ///< O address
std::string inbox(const address& where, std::uint64_t id); ///< I address id
std::string queue(std::string_view name, fetch_priority priority, std::int64_t due_ms,
                  std::uint64_t id); ///< Q priority due id, or N name priority due id
std::string deadline(std::int64_t deadline_ms, std::uint64_t id); ///< E deadline id -> key of the queue row
std::string attempt(std::uint64_t id);                            ///< A id -> key of the queue row
std::string blob(std::uint64_t id, char side);                    ///< B id side ('q' request, 'r' response)
std::string dead_letter(std::uint64_t id);                        ///< D id
std::string lost_range(std::uint64_t number);                     ///< L number
std::string abort_mark(const abort_id& id);                       ///< S id
std::string signal(const abort_id& id, std::uint64_t fetch_id);   ///< G id fetch -> key of the queue row
std::string jar(const address& where, std::string_view name);     ///< C address name
std::string storage_row(const address& where, std::string_view key); ///< K address key
std::string schedule(const address& where,
                     const schedule_id& id); ///< H address 00 number, or, if it has a name, H address 01 name
std::string due(std::int64_t due_ms, std::uint64_t number);   ///< W due number -> key of the schedule's row
std::string task(const task_id& id);                          ///< T address number
std::string task_step(const task_id& id, std::uint64_t step); ///< J address number step
std::string stuck_task(const task_id& id);                    ///< U address number: an index, empty
std::string remembered_call(const address& where,
                            std::string_view key); ///< Y address key: of a call with an idempotency key
std::string death_record(const address& where, std::uint8_t kind, std::uint64_t number);

/// Those of an object behind this key are of what goes with it when it is destroyed; those before are of
/// messages in its inbox, which are their senders'.
std::string first_own_death_record(const address& where); ///< X address kind number

using range = std::pair<std::string, std::string>; ///< [first, second)

range all(char kind);
range inbox_of(std::string_view binding);
range queue_of(std::string_view name, fetch_priority priority);
range signal_of(const abort_id& id);
range storage_of(const address& where);         ///< `first` is what all its rows begin with
range rows_of(char kind, const address& where); ///< the same for any kind whose keys begin with an address
range objects_of(std::string_view binding,
                 std::string_view prefix); ///< those whose instance ids begin with `prefix`
range schedules_of(const address& where);
range tasks_of(std::string_view binding);
range tasks_of(const address& where);
range steps_of(const task_id& id);
range stuck_tasks_of(std::string_view binding);

/// Of the first named queue with rows at or behind `key`, which is what a scan from 'N' or from behind
/// another queue found.
std::optional<std::string> queue_name(std::string_view key);
std::string
behind_queue(std::string_view name); ///< the first key that no row of that queue or of one before it has

struct queue_parts {
  std::string queue; ///< empty: the default one
  fetch_priority priority;
  std::int64_t due_ms;
  std::uint64_t id;
};
std::optional<queue_parts> parse_queue(std::string_view key);

/// Of the object that a row belongs to, or whose inbox it is in; nothing for other kinds.
std::optional<address> address_in(std::string_view key);

std::optional<address> parse_object(std::string_view key);

struct inbox_parts {
  address where;
  std::uint64_t id;
};
std::optional<inbox_parts> parse_inbox(std::string_view key);

struct deadline_parts {
  std::int64_t deadline_ms;
  std::uint64_t id;
};
std::optional<deadline_parts> parse_deadline(std::string_view key);

std::optional<std::uint64_t> parse_attempt(std::string_view key);

std::optional<std::uint64_t> parse_dead_letter(std::string_view key);

/// Of a 'T' or a 'U' row.
std::optional<task_id> parse_task(std::string_view key);

struct death_parts {
  address where;
  std::uint8_t kind;
  std::uint64_t number;
};
std::optional<death_parts> parse_death_record(std::string_view key);

/// The fetch of a signal row.
std::optional<std::uint64_t> parse_signal(std::string_view key);

struct schedule_parts {
  address where;
  schedule_id id; ///< the number if it has no name, else the name
};
std::optional<schedule_parts> parse_schedule(std::string_view key);

struct due_parts {
  std::int64_t due_ms;
  std::uint64_t number;

  friend auto operator<=>(const due_parts&, const due_parts&) = default; ///< as their keys
};
std::optional<due_parts> parse_due(std::string_view key);

} // namespace dormouse::keys
