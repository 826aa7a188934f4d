#pragma once

/// HTTP fields: an ordered multimap whose names compare case-insensitively (RFC 9110 section 5, WHATWG Fetch
/// `Headers`).
///
/// Every name and value is checked as it enters, so what a `headers` holds can go on the wire as it is: a
/// name is an RFC 9110 token, a value is stripped of leading and trailing white space and has no CR, LF, NUL
/// or other control character.
///
/// A name that is no token is `invalid_header` also where one is only looked for, as in JavaScript: it could
/// never be found.
///
/// There are two views. `fields()` is what goes on the wire and to disk: names as they were given, in the
/// order they were given. Iteration is what a `Headers` iterates over in JavaScript: names lower-cased and
/// sorted, the values of one name combined.

#include <dormouse/serialization/error.hpp>

#include <cstddef>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dormouse {

class headers {
public:
  using field = std::pair<std::string, std::string>; ///< name as given, value normalised

  class const_iterator;

  headers() = default;

  /// Throws `failure{invalid_header}`: a braced list inside a handler has no other way to say so.
  headers(std::initializer_list<field> list);

  /// Adds a field behind those there are. Error: `invalid_header`, naming the field and the offending byte.
  [[nodiscard]] expected<void> try_append(std::string_view name, std::string_view value);

  /// As `try_append`, throwing `failure{invalid_header}`.
  void append(std::string_view name, std::string_view value);

  /// Replaces all fields of that name by one, at the place of the first. Throws `failure{invalid_header}`.
  void set(std::string_view name, std::string_view value);

  /// Removes all fields of that name; returns how many. (`delete` in JavaScript; here that is a keyword.)
  /// Throws `failure{invalid_header}`.
  std::size_t erase(std::string_view name);

  /// Throws `failure{invalid_header}`.
  bool has(std::string_view name) const;

  /// Throws `failure{invalid_header}`. All values of that name joined with ", ", or nothing. (Not for
  /// `Set-Cookie`, whose values contain commas: see `get_set_cookie`.)
  std::optional<std::string> get(std::string_view name) const;

  /// The values of that name, one by one, in order. Throws `failure{invalid_header}`.
  std::vector<std::string> get_all(std::string_view name) const;

  /// The values of `Set-Cookie`, one by one, in order. They cannot be joined: a cookie may contain ", ".
  std::vector<std::string> get_set_cookie() const { return get_all("Set-Cookie"); }

  /// Names lower-cased and sorted by their bytes, the values of one name joined with ", " in order; but each
  /// `Set-Cookie` by itself (WHATWG Fetch, "sort and combine"). Sorts once, in `begin()`: what changes
  /// afterwards is not seen by a loop that has begun.
  ///
  ///   for (const auto& [name, value] : response.headers()) ...
  const_iterator begin() const;
  const_iterator end() const noexcept;

  /// As given, in order: what goes on the wire and to disk.
  const std::vector<field>& fields() const noexcept { return fields_; }
  bool empty() const noexcept { return fields_.empty(); }

  /// What the fields take on the wire: name, ": ", value and CRLF of each.
  std::size_t wire_bytes() const noexcept;

  friend bool operator==(const headers&, const headers&) = default;

  template <class Archive> void save(Archive& ar) const { ar(fields_); }

  /// Bytes from disk are checked like any other input; throws `failure{invalid_header}`.
  template <class Archive> void load(Archive& ar) {
    std::vector<field> stored;
    ar(stored);
    fields_.clear();
    for (auto& [name, value] : stored)
      append(name, value);
  }

private:
  std::vector<field> fields_;
};

/// A forward iterator over the sorted and combined fields, which it keeps alive. It yields values, not
/// references.
class headers::const_iterator {
public:
  using value_type = field;
  using difference_type = std::ptrdiff_t;
  using reference = field;
  using pointer = const field*;
  using iterator_category =
      std::input_iterator_tag; // before C++20 a forward iterator had to yield references
  using iterator_concept = std::forward_iterator_tag;

  const_iterator() = default; ///< the end of any `headers`

  reference operator*() const { return (*sorted_)[at_]; }
  pointer operator->() const noexcept { return &(*sorted_)[at_]; } ///< valid as long as this iterator

  const_iterator& operator++() noexcept {
    if (++at_ == sorted_->size()) *this = const_iterator();
    return *this;
  }
  const_iterator operator++(int) noexcept {
    auto before = *this;
    ++*this;
    return before;
  }

  /// Compares positions, of iterators into the same unchanged `headers`.
  friend bool operator==(const const_iterator& a, const const_iterator& b) noexcept {
    return a.at_ == b.at_ && (a.sorted_ == nullptr) == (b.sorted_ == nullptr);
  }

private:
  friend class headers;

  explicit const_iterator(std::vector<field> sorted)
      : sorted_(std::make_shared<const std::vector<field>>(std::move(sorted))) {}

  std::shared_ptr<const std::vector<field>> sorted_; ///< null at the end, never empty
  std::size_t at_ = 0;
};

inline headers::const_iterator headers::end() const noexcept { return {}; }

/// RFC 9110 section 5.6.2: 1*tchar.
bool is_token(std::string_view text) noexcept;

/// Whether the value of a field of that name is a secret, or may be one: `Authorization`, `Cookie`,
/// `Set-Cookie`, and every name with "auth", "key", "password", "secret", "session", "signature" or "token"
/// in it. Logs and error texts never show such a value.
bool is_secret_header(std::string_view name);

/// ASCII case-insensitive equality, as field names compare.
bool iequals(std::string_view a, std::string_view b) noexcept;

} // namespace dormouse
