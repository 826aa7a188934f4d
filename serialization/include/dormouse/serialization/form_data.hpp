#pragma once

/// A form with text fields and files: WHATWG `FormData`, `multipart/form-data` on the wire (RFC 7578).
///
///   form_data upload;
///   upload.append("title", "Cat");
///   upload.append("photo", blob(bytes, "image/jpeg"), "cat.jpg");
///   fetch(url, {.method = "POST", .body = upload})
///
/// Entries keep their order, and a name may come more than once. Bytes of files stay exactly as they are.
/// Text goes out as browsers send it: each CR or LF that stands alone, in a name or a value, becomes CRLF.

#include <dormouse/serialization/blob.hpp>
#include <dormouse/serialization/error.hpp>

#include <cstddef>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace dormouse {

/// A text or a file.
using form_value = std::variant<std::string, file>;

class form_data {
public:
  struct entry {
    std::string name;
    form_value value;

    friend bool operator==(const entry&, const entry&) = default;
  };

  form_data() = default;
  form_data(std::initializer_list<entry> entries) : entries_(entries) {}

  /// Adds an entry behind those there are.
  void append(std::string_view name, std::string_view text);
  void append(std::string_view name, file value);
  void append(std::string_view name, blob content, std::string_view filename = "blob");

  /// Replaces all entries of that name by one, at the place of the first, or adds one.
  void set(std::string_view name, std::string_view text);
  void set(std::string_view name, file value);
  void set(std::string_view name, blob content, std::string_view filename = "blob");

  /// Removes all entries of that name; returns how many. (`delete` in JavaScript; here that is a keyword.)
  std::size_t erase(std::string_view name);

  bool has(std::string_view name) const noexcept;

  /// The first value of that name, or nothing.
  std::optional<form_value> get(std::string_view name) const;

  /// The values of that name, in order.
  std::vector<form_value> get_all(std::string_view name) const;

  /// Entries in order: `for (const auto& [name, value] : form)`.
  auto begin() const noexcept { return entries_.begin(); }
  auto end() const noexcept { return entries_.end(); }
  std::size_t size() const noexcept { return entries_.size(); }
  bool empty() const noexcept { return entries_.empty(); }

  friend bool operator==(const form_data&, const form_data&) = default;

private:
  void replace(std::string_view name, form_value value);

  std::vector<entry> entries_;
};

/// A form as bytes, and the content type that says how to read them.
struct encoded_form {
  std::string bytes;
  std::string content_type; ///< `multipart/form-data; boundary=...`
};

/// The WHATWG multipart/form-data encoding: in names and file names CR, LF and '"' become `%0D`, `%0A` and
/// `%22`. The boundary occurs nowhere in the form; the same form has the same bytes always.
encoded_form encode_multipart(const form_data& form);

inline constexpr std::size_t max_form_entries = 10'000;         ///< of a form that is parsed
inline constexpr std::size_t max_part_header_bytes = 16 * 1024; ///< of one part of a form that is parsed

/// Reads `multipart/form-data` (RFC 7578, RFC 2046 section 5.1). `content_type` is the whole field value,
/// with its boundary. A part with a file name is a file, of type `text/plain` if the part names none; any
/// other part is a text. Escapes are undone in names as `encode_multipart` makes them; backslashes escape
/// nothing (WHATWG). Text that is not UTF-8 gets U+FFFD in place of what is not. What is around the parts is
/// ignored (a preamble, an epilogue), and so is a `Content-Transfer-Encoding` (deprecated by RFC 7578
/// section 4.7).
///
/// Errors: `invalid_request` for another content type or one without a boundary of 1..70 characters;
/// `corrupt`, naming the part and what is wrong with it, e.g. a line that ends in LF, or no final boundary;
/// `too_large` over the limits above.
expected<form_data> parse_multipart(std::string_view body, std::string_view content_type);

/// Reads `application/x-www-form-urlencoded` (WHATWG URL section 5.1): anything is valid, a '%' that begins
/// no escape stands for itself, and what is not UTF-8 becomes U+FFFD. Error: `too_large` over
/// `max_form_entries`.
expected<form_data> parse_urlencoded(std::string_view body);

} // namespace dormouse
