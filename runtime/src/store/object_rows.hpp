#pragma once

/// The rows that belong to one object: what goes with it when it is destroyed, in the commit of the turn that
/// destroys it.
///
/// Each of their keys is a letter, the address of the object, and whatever follows. A new kind of row that
/// belongs to an object is one more letter here. A row that only points to one of these (as the due time of a
/// schedule does) need not be: whoever follows it and finds nothing erases it.
///
/// What is in the inbox is not the object's but of those who sent it: calls and posts find the next life of
/// the object, and what the last one asked is dropped when it comes up (late_results.hpp).

#include "store/store.hpp"

#include <cstdint>
#include <string_view>

namespace dormouse {

/// Rows of storage, jars, schedules, tasks, their steps, the index of those that are stuck, calls that are
/// remembered, and how often something of it has killed the process.
inline constexpr std::string_view object_row_kinds = "KCHTJUYX";

enum class erasure : std::uint8_t {
  of_what_is_stored,   ///< nothing of the object is in flight: a few rows are erased one by one, which costs
                       ///< readers nothing
  of_all_there_may_be, ///< by ranges, for there may be rows that cannot be seen yet
};

/// The object itself and all its rows.
void erase_object(store& from, write_set& writes, const address& where, erasure how);

} // namespace dormouse
