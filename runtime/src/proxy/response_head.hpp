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

  /// Errors: `too_large` when the lines of this response, its trailers included, have more than `max_bytes`;
  /// `invalid_header` for what is no field or one that RFC 9110 forbids. The response is then to be given up.
  expected<line_kind> take(std::string_view line, std::size_t max_bytes);

  /// What is complete: a field is when the line behind it has come.
  const headers& fields() const noexcept { return fields_; }
  headers take_fields() && noexcept { return std::move(fields_); }

private:
  expected<void> keep_last();

  headers fields_;
  std::string last_;      ///< a field that the next line may go on with
  std::size_t bytes_ = 0; ///< of the lines
  bool open_ = false;     ///< between a status line and the empty line
  bool final_ = false;    ///< no other response follows: it was not an interim one (RFC 9110 section 15.2)
};

} // namespace dormouse
