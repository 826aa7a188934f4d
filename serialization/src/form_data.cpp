#include <dormouse/serialization/form_data.hpp>

#include <algorithm>

namespace dormouse {

void form_data::append(std::string_view name, std::string_view text) {
  entries_.push_back({std::string(name), std::string(text)});
}

void form_data::append(std::string_view name, file value) {
  entries_.push_back({std::string(name), std::move(value)});
}

void form_data::append(std::string_view name, blob content, std::string_view filename) {
  append(name, file(std::move(content), std::string(filename)));
}

void form_data::set(std::string_view name, std::string_view text) { replace(name, std::string(text)); }

void form_data::set(std::string_view name, file value) { replace(name, std::move(value)); }

void form_data::set(std::string_view name, blob content, std::string_view filename) {
  replace(name, file(std::move(content), std::string(filename)));
}

std::size_t form_data::erase(std::string_view name) {
  // A copy: `name` may be that of an entry of ours, which moves while others are removed.
  return std::erase_if(entries_, [wanted = std::string(name)](const entry& e) { return e.name == wanted; });
}

bool form_data::has(std::string_view name) const noexcept {
  return std::any_of(entries_.begin(), entries_.end(), [name](const entry& e) { return e.name == name; });
}

std::optional<form_value> form_data::get(std::string_view name) const {
  for (const auto& each : entries_)
    if (each.name == name) return each.value;
  return std::nullopt;
}

std::vector<form_value> form_data::get_all(std::string_view name) const {
  std::vector<form_value> values;
  for (const auto& each : entries_)
    if (each.name == name) values.push_back(each.value);
  return values;
}

void form_data::replace(std::string_view name, form_value value) {
  // A copy, as in erase().
  auto same_name = [wanted = std::string(name)](const entry& e) { return e.name == wanted; };
  auto at = std::find_if(entries_.begin(), entries_.end(), same_name);
  if (at == entries_.end()) {
    entries_.push_back({std::string(name), std::move(value)});
    return;
  }
  at->value = std::move(value);
  entries_.erase(std::remove_if(at + 1, entries_.end(), same_name), entries_.end());
}

} // namespace dormouse
