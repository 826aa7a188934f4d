#pragma once

/// The Cookie header of a request, as servers read it (RFC 6265, 4.2).
///
/// Cut at each ';', without the white space around; what has no '=' is a value
/// without a name. Nothing is unescaped: a cookie is opaque.

#include "upstream/url_text.hpp"

#include <string_view>

namespace dormouse::samples {

/// In the order of the header. `header` may be several Cookie headers, joined with "; ".
[[nodiscard]] name_values read_cookies(std::string_view header);

} // namespace dormouse::samples
