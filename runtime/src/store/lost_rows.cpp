#include "store/lost_rows.hpp"

#include "store/object_rows.hpp"

#include <dormouse/serialization/codec.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace dormouse {

expected<lost_rows> lost_rows::load(storage_engine& from) {
  lost_rows out;
  const auto all = keys::all('L');
  auto row = from.scan(all.first, all.second);
  for (; row->valid(); row->next()) {
    auto what = unseal_value<lost_range>(frame_type::lost_range, row->value());
    if (!what)
      return fail(what.error().code,
                  "the list of what was lost in a repair is unreadable: " + what.error().message);
    out.ranges_.push_back(std::move(*what));
  }
  if (auto read = row->status(); !read) return unexpected<error>(read.error());
  std::sort(out.ranges_.begin(), out.ranges_.end(),
            [](const auto& a, const auto& b) { return a.from < b.from; });
  return out;
}

const lost_range* lost_rows::find(std::string_view key) const {
  for (const auto& each : ranges_)
    if (each.from <= key && key < each.to) return &each;
  return nullptr;
}

const lost_range* lost_rows::find_of(const address& where) const {
  for (const auto& each : ranges_)
    for (const char kind : object_row_kinds) {
      const auto rows = keys::rows_of(kind, where);
      if (each.from < rows.second && rows.first < each.to) return &each;
    }
  return nullptr;
}

write_op put_lost(std::uint64_t number, const lost_range& what) {
  return {keys::lost_range(number), seal_value(frame_type::lost_range, what)};
}

} // namespace dormouse
