#pragma once

/// The header section of a response, taken in line by line as libcurl hands it over: raw, each line with its
/// end, those of every response to one request in one stream. A server wrote these bytes, so nothing about
/// them is believed (R21): they are bounded as they come, and what is kept is what `headers` accepts.
///
/// A status line begins a section, unless the final response has begun, and an empty line ends it. Within it,
/// a line that begins with a blank goes on with the field before, one space between (obs-fold, RFC 9112
/// section 5.2). Fields outside of it are trailers: dropped, because a field counts there only if its
/// definition says so (RFC 9110 section 6.5.1), and `Set-Cookie` and `Location` do not.

#include <dormouse/serialization/error.hpp>
#include <dormouse/serialization/headers.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace dormouse {

class response_head {
public:
  enum class line_kind : std::uint8_t {
    status, ///< a response begins, and what was known of one before it, as a 100, is gone
    other,
  };

  /// Errors: `too_large` when the lines of this response, its trailers and all interim responses before it
  /// included, have more than `max_bytes`;
  /// `invalid_header` for what is no status line where one belongs (RFC 9112 section 4), for what is no field
  /// or one that RFC 9110 forbids, and for a Content-Length that says nothing, or two things (RFC 9112
  /// section 6.3). The response is then to be given up.
  expected<line_kind> take(std::string_view line, std::size_t max_bytes);

  /// Whether the final response has begun, and its header section has ended. If a connection ends before, the
  /// response is incomplete (RFC 9112 section 8).
  bool is_complete() const noexcept { return final_ && !open_; }

  /// What the final response says of the length of its body; nothing if it does not, or not yet.
  std::optional<std::uint64_t> content_length() const noexcept { return content_length_; }

  /// What is complete: a field is when the line behind it has come.
  const headers& fields() const noexcept { return fields_; }
  headers take_fields() && noexcept { return std::move(fields_); }

private:
  expected<void> keep_last();
  expected<void> take_content_length(std::string_view value);

  headers fields_;
  std::optional<std::uint64_t> content_length_;
  std::string last_;      ///< a field that the next line may go on with
  std::size_t bytes_ = 0; ///< of the lines
  bool open_ = false;     ///< between a status line and the empty line
  bool final_ = false;    ///< no other response follows: it was not an interim one (RFC 9110 section 15.2)
};

} // namespace dormouse
