#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace dormouse::detail {

/// RFC 6265bis section 5.1.1: milliseconds since the Unix epoch of an Expires attribute, or nothing if it is
/// no date. Dates before 1970 are negative. Day names and time zones are skipped: a cookie-date is in UTC
/// whatever it says.
std::optional<std::int64_t> parse_cookie_date(std::string_view text) noexcept;

} // namespace dormouse::detail
