#pragma once

/// The host of an http or https URL (WHATWG URL section 3.5, UTS 46): one spelling, in ASCII, of whatever was
/// written. Nothing here asks the locale.

#include <optional>
#include <string>
#include <string_view>

namespace dormouse::detail {

/// The host of `text`, which is what stands between "//" or "@" and the port: percent-encoding undone, a name
/// in lower case and in Punycode, an IPv4 address with dots however it was written, an IPv6 address in
/// brackets and as RFC 5952 has it, but for the four numbers at its end. Nothing if it is no host.
///
/// Stricter than WHATWG: a name has only letters, digits, '-' and '_' in its labels, and none of them is
/// empty; what else WHATWG takes, such as `a,b`, no resolver knows and libcurl refuses. A name outside of
/// ASCII has to be one of IDNA 2008, without symbols.
std::optional<std::string> canonical_host(std::string_view text);

/// The same of a name that is not percent-encoded, a cookie's domain for one.
std::optional<std::string> canonical_name(std::string_view text);

} // namespace dormouse::detail
