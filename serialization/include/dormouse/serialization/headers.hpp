#pragma once

/// HTTP fields: an ordered multimap whose names compare case-insensitively (RFC 9110 section 5, WHATWG Fetch `Headers`).
///
/// Every name and value is checked as it enters, so what a `headers` holds can go on the wire as it is: a name is an
/// RFC 9110 token, a value is stripped of leading and trailing white space and has no CR, LF, NUL or other control character.

#include <dormouse/serialization/error.hpp>

#include <cstddef>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dormouse {

class headers {
public:
  using field = std::pair<std::string, std::string>; ///< name as given, value normalised

  headers() = default;

  /// Throws `failure{invalid_header}`: a braced list inside a handler has no other way to say so.
  headers(std::initializer_list<field> fields);

  /// Adds a field behind those there are. Error: `invalid_header`, naming the field and the offending byte.
  [[nodiscard]] expected<void> try_append(std::string_view name, std::string_view value);

  /// As `try_append`, throwing `failure{invalid_header}`.
  void append(std::string_view name, std::string_view value);

  /// Replaces all fields of that name by one, at the place of the first. Throws `failure{invalid_header}`.
  void set(std::string_view name, std::string_view value);

  /// Removes all fields of that name; returns how many.
  std::size_t erase(std::string_view name);

  bool has(std::string_view name) const noexcept;

  /// All values of that name joined with ", ", or nothing. (Not for `Set-Cookie`: see `get_all`.)
  std::optional<std::string> get(std::string_view name) const;

  /// The values of that name, one by one, in order.
  std::vector<std::string> get_all(std::string_view name) const;

  auto begin() const noexcept { return fields_.begin(); }
  auto end() const noexcept { return fields_.end(); }
  std::size_t size() const noexcept { return fields_.size(); }
  bool empty() const noexcept { return fields_.empty(); }

  /// What the fields take on the wire: name, ": ", value and CRLF of each.
  std::size_t wire_bytes() const noexcept;

  friend bool operator==(const headers&, const headers&) = default;

  template <class Archive>
  void save(Archive& ar) const {
    ar(fields_);
  }

  /// Bytes from disk are checked like any other input; throws `failure{invalid_header}`.
  template <class Archive>
  void load(Archive& ar) {
    std::vector<field> stored;
    ar(stored);
    fields_.clear();
    for (auto& [name, value] : stored)
      append(name, value);
  }

private:
  std::vector<field> fields_;
};

/// RFC 9110 section 5.6.2: 1*tchar.
bool is_token(std::string_view text) noexcept;

/// ASCII case-insensitive equality, as field names compare.
bool iequals(std::string_view a, std::string_view b) noexcept;

} // namespace dormouse
