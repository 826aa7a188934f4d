#pragma once

/// The parts of a multipart/form-data body (RFC 7578, RFC 2046 5.1).
///
/// Read strictly, and with code that shares nothing with whoever wrote the body: a
/// delimiter, header or quote out of place is a `problem`, not a guess.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dormouse::samples {

struct form_part {
  std::string name; ///< as it stands between the quotes: %22, %0D and %0A are left alone
  std::optional<std::string> filename;
  std::string type;         ///< Content-Type, empty if there is none
  std::string_view content; ///< of the body that was read
};

struct multipart_form {
  std::vector<form_part> parts;
  std::string_view problem; ///< a fixed text, empty when all is well
};

/// Nothing when the content type is not multipart/form-data; an empty text when it
/// is, and names no boundary.
[[nodiscard]] std::optional<std::string> boundary_of(std::string_view content_type);

[[nodiscard]] multipart_form read_multipart(std::string_view body, std::string_view boundary);

} // namespace dormouse::samples
