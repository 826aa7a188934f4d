#pragma once

/// One JSON string, appended to text under construction.
///
/// Nearly every key and header is plain ASCII that needs no escaping, and the
/// hot path should not build a JSON tree for those; anything else is left to
/// nlohmann/json, which also replaces bytes that are not valid UTF-8.

#include <string>
#include <string_view>

namespace dormouse::samples {

void append_json_string(std::string& out, std::string_view text);

} // namespace dormouse::samples
