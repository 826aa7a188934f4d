#include "upstream/json_text.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace dormouse::samples {

namespace {

bool needs_no_escape(char c) noexcept { return c >= 0x20 && c < 0x7f && c != '"' && c != '\\'; }

} // namespace

void append_json_string(std::string& out, std::string_view text) {
  if (std::all_of(text.begin(), text.end(), needs_no_escape)) {
    out += '"';
    out += text;
    out += '"';
    return;
  }
  using json = nlohmann::json;
  out += json(std::string{text}).dump(-1, ' ', false, json::error_handler_t::replace);
}

} // namespace dormouse::samples
