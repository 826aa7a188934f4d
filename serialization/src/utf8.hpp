#pragma once

/// Text from the outside that says it is UTF-8.

#include <string>
#include <string_view>

namespace dormouse::detail {

/// "UTF-8 decode without BOM" (WHATWG Encoding): what is not UTF-8 becomes U+FFFD, one for each longest
/// beginning of a sequence that was cut off and for each byte that begins none. A byte order mark stays.
std::string to_utf8(std::string_view bytes);

} // namespace dormouse::detail
