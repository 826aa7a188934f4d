#include "ascii.hpp"
#include "quoted.hpp"

#include <dormouse/serialization/headers.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace dormouse {
namespace {

bool is_tchar(char c) noexcept {
  if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) return true;
  return c != '\0' && std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

expected<void> check_name(std::string_view name) {
  if (!is_token(name))
    return fail(errc::invalid_header,
                fmt::format("header name {} is not a token of RFC 9110", detail::quoted(name)));
  return {};
}

} // namespace

bool is_token(std::string_view text) noexcept {
  return !text.empty() && std::all_of(text.begin(), text.end(), is_tchar);
}

bool is_secret_header(std::string_view name) {
  const auto lower = ascii_lower(name);
  for (std::string_view part :
       {"auth", "cookie", "key", "password", "secret", "session", "signature", "token"})
    if (lower.find(part) != std::string::npos) return true;
  return false;
}

bool iequals(std::string_view a, std::string_view b) noexcept {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return ascii_lower(x) == ascii_lower(y); });
}

headers::headers(std::initializer_list<field> list) {
  for (const auto& [name, value] : list)
    append(name, value);
}

expected<void> headers::try_append(std::string_view name, std::string_view value) {
  if (auto good = check_name(name); !good) return good;
  value = without_outer_space(value);
  for (char c : value) {
    auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\t') || byte == 0x7f)
      return fail(errc::invalid_header,
                  fmt::format("the value of header {} contains the control character 0x{:02x}",
                              detail::quoted(name), byte));
  }
  fields_.emplace_back(name, value);
  return {};
}

void headers::append(std::string_view name, std::string_view value) {
  value_or_throw(try_append(name, value));
}

void headers::set(std::string_view name, std::string_view value) {
  headers checked;
  checked.append(name, value);
  // A copy: `name` may be that of a field of ours, which moves while others are removed.
  auto same_name = [wanted = std::string(name)](const field& f) { return iequals(f.first, wanted); };
  auto at = std::find_if(fields_.begin(), fields_.end(), same_name);
  if (at == fields_.end()) {
    fields_.push_back(std::move(checked.fields_.front()));
    return;
  }
  *at = std::move(checked.fields_.front());
  fields_.erase(std::remove_if(at + 1, fields_.end(), same_name), fields_.end());
}

std::size_t headers::erase(std::string_view name) {
  value_or_throw(check_name(name));
  // A copy, as in set().
  return std::erase_if(fields_,
                       [wanted = std::string(name)](const field& f) { return iequals(f.first, wanted); });
}

bool headers::has(std::string_view name) const {
  value_or_throw(check_name(name));
  return std::any_of(fields_.begin(), fields_.end(),
                     [name](const field& f) { return iequals(f.first, name); });
}

std::optional<std::string> headers::get(std::string_view name) const {
  value_or_throw(check_name(name));
  std::optional<std::string> joined;
  for (const auto& [key, value] : fields_) {
    if (!iequals(key, name)) continue;
    if (joined)
      *joined += ", " + value;
    else
      joined = value;
  }
  return joined;
}

std::vector<std::string> headers::get_all(std::string_view name) const {
  value_or_throw(check_name(name));
  std::vector<std::string> values;
  for (const auto& [key, value] : fields_)
    if (iequals(key, name)) values.push_back(value);
  return values;
}

headers::const_iterator headers::begin() const {
  if (fields_.empty()) return {};
  std::vector<field> sorted;
  sorted.reserve(fields_.size());
  for (const auto& [name, value] : fields_)
    sorted.emplace_back(ascii_lower(name), value);
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const field& a, const field& b) { return a.first < b.first; });
  std::vector<field> combined;
  for (auto& [name, value] : sorted) {
    if (!combined.empty() && combined.back().first == name && name != "set-cookie")
      combined.back().second += ", " + value;
    else
      combined.emplace_back(std::move(name), std::move(value));
  }
  return const_iterator(std::move(combined));
}

std::size_t headers::wire_bytes() const noexcept {
  std::size_t bytes = 0;
  for (const auto& [name, value] : fields_)
    bytes += name.size() + value.size() + 4;
  return bytes;
}

} // namespace dormouse
