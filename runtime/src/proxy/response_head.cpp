#include "proxy/response_head.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <system_error>

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
  if (begins) {
    const auto before = bytes_; // interim responses without end are not to be looked at without end
    *this = {};
    bytes_ = before;
  }
  bytes_ += line.size();
  if (bytes_ > max_bytes)
    return fail(errc::too_large,
                fmt::format("the response headers are over options::max_header_bytes = {}", max_bytes));
  if (begins) {
    open_ = true;
    final_ = !text.substr(std::min(text.find(' '), text.size())).starts_with(" 1");
    return line_kind::status;
  }
  if (!open_ && !final_) return fail(errc::invalid_header, "it does not begin with a status line");
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
  if (iequals(field.substr(0, colon), "Content-Length"))
    if (auto taken = take_content_length(field.substr(colon + 1)); !taken) return taken;
  return fields_.try_append(field.substr(0, colon), field.substr(colon + 1));
}

/// One number of decimal digits, or the same one several times.
expected<void> response_head::take_content_length(std::string_view value) {
  for (bool more = true; more;) {
    const auto comma = value.find(',');
    more = comma != std::string_view::npos;
    auto one = value.substr(0, comma);
    value.remove_prefix(more ? comma + 1 : value.size());
    const auto begin = one.find_first_not_of(" \t");
    one = begin == std::string_view::npos ? std::string_view()
                                          : one.substr(begin, one.find_last_not_of(" \t") - begin + 1);
    std::uint64_t length = 0;
    const auto* end = one.data() + one.size();
    const auto [stopped, bad] = std::from_chars(one.data(), end, length);
    if (one.empty() || bad != std::errc() || stopped != end || one.front() == '-')
      return fail(errc::invalid_header,
                  fmt::format("a Content-Length of {} characters is no number of bytes", one.size()));
    if (content_length_ && *content_length_ != length)
      return fail(errc::invalid_header,
                  fmt::format("its Content-Length is {} and {}", *content_length_, length));
    content_length_ = length;
  }
  return {};
}

} // namespace dormouse
