#include "host/object_list.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace dormouse {

object_page list_objects(store& from, std::string_view binding, const object_list_options& which) {
  if (!is_valid_binding(binding))
    throw failure(
        {errc::invalid_binding,
         fmt::format("objects of binding {:?} are asked for; a binding is [A-Za-z_][A-Za-z0-9_]{{0,63}}",
                     binding.substr(0, 100))});
  if (which.limit < 1 || which.limit > object_list_options::most)
    throw failure(
        {errc::invalid_request,
         fmt::format("a list of {} objects of binding '{}' is asked for; object_list_options::limit is 1..{}",
                     which.limit, binding, object_list_options::most)});
  auto [first, end] = keys::objects_of(binding, which.prefix);
  if (!which.cursor.empty())
    first = std::max(first, keys::object({std::string(binding), which.cursor}) + '\0');
  object_page page;
  if (first >= end) return page;
  auto row = from.scan_readable({first, end}, [&page](const key_range&) { ++page.damaged_ranges; });
  for (; row->valid() && page.ids.size() < which.limit; row->next())
    if (auto where = keys::parse_object(row->key())) page.ids.push_back(std::move(where->instance_id));
  value_or_throw(row->status());
  if (row->valid() && !page.ids.empty()) page.cursor = page.ids.back();
  const auto read_to = row->valid() ? std::string(row->key()) : end;
  for (const auto& lost : from.lost().ranges()) // when the store was repaired
    if (lost.from < read_to && first < lost.to) ++page.damaged_ranges;
  return page;
}

} // namespace dormouse
