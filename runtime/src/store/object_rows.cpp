#include "store/object_rows.hpp"

#include <utility>

namespace dormouse {
namespace {

/// More than this of one kind are erased as a range, which costs as much as one row, but slows reads of its
/// neighbours until the store has compacted it away.
constexpr std::size_t most_single_erasures = 100;

/// False if there are too many, or they cannot be read.
bool erase_each(store& from, write_set& writes, const keys::range& rows) {
  const auto before = writes.size();
  auto row = from.scan(rows);
  for (; row->valid() && writes.size() - before < most_single_erasures; row->next())
    writes.push_back({std::string(row->key()), std::nullopt});
  if (!row->valid() && row->status()) return true;
  writes.resize(before);
  return false;
}

} // namespace

void erase_object(store& from, write_set& writes, const address& where, erasure how) {
  writes.push_back({keys::object(where), std::nullopt});
  for (const char kind : object_row_kinds) {
    auto rows = keys::rows_of(kind, where);
    if (kind == 'X') rows.first = keys::first_own_death_record(where);
    if (how == erasure::of_all_there_may_be || !erase_each(from, writes, rows))
      writes.push_back({std::move(rows.first), std::nullopt, std::move(rows.second)});
  }
}

} // namespace dormouse
