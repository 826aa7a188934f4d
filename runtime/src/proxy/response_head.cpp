#include "proxy/response_head.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace dormouse {
namespace {

std::string_view without_line_end(std::string_view line) noexcept {
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r'))
    line.remove_suffix(1);
  return line;
}

} // namespace

expected<response_head::line_kind> response_head::take(std::string_view line, std::size_t max_bytes) {
  const auto text = without_line_end(line);
  const bool begins =
      !open_ && !final_ && text.starts_with("HTTP/"); // the last response counts, not a 100 before it
  if (begins) *this = {};
  bytes_ += line.size();
  if (bytes_ > max_bytes)
    return fail(errc::too_large,
                fmt::format("the response headers are over options::max_header_bytes = {}", max_bytes));
  if (begins) {
    open_ = true;
    final_ = !text.substr(std::min(text.find(' '), text.size())).starts_with(" 1");
    return line_kind::status;
  }
  if (!open_) return line_kind::other; // a trailer
  if (!last_.empty() && (text.starts_with(' ') || text.starts_with('\t'))) {
    last_.append(" ").append(text.substr(std::min(text.find_first_not_of(" \t"), text.size())));
    return line_kind::other;
  }
  if (auto kept = keep_last(); !kept) return unexpected<error>(kept.error());
  last_ = text;
  open_ = !text.empty();
  return line_kind::other;
}

expected<void> response_head::keep_last() {
  if (last_.empty()) return {};
  const std::string_view field = last_;
  const auto colon = field.find(':');
  // Neither says what the line is, for that may be a secret.
  if (colon == std::string_view::npos)
    return fail(errc::invalid_header, fmt::format("a header line of {} bytes has no colon", field.size()));
  if (const auto name = field.substr(0, colon); !is_token(name))
    return fail(
        errc::invalid_header,
        fmt::format("a header line of {} bytes has a name of {} bytes that is not a token of RFC 9110",
                    field.size(), name.size()));
  return fields_.try_append(field.substr(0, colon), field.substr(colon + 1));
}

} // namespace dormouse
