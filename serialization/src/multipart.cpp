#include "parameters.hpp"
#include "utf8.hpp"

#include <dormouse/serialization/form_data.hpp>
#include <dormouse/serialization/headers.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace dormouse {
namespace {

constexpr std::string_view line_end = "\r\n";

std::string_view view_of(const blob& content) {
  return {reinterpret_cast<const char*>(content.bytes().data()), content.size()};
}

// --- writing -----------------------------------------------------------------------------------------------

std::string with_crlf(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\r' || text[i] == '\n') {
      out += line_end;
      i += text.substr(i).starts_with(line_end) ? 1 : 0;
    } else {
      out += text[i];
    }
  }
  return out;
}

std::string escaped(std::string_view text) {
  std::string out;
  for (char c : text) {
    switch (c) {
    case '\n':
      out += "%0A";
      break;
    case '\r':
      out += "%0D";
      break;
    case '"':
      out += "%22";
      break;
    default:
      out += c;
    }
  }
  return out;
}

/// One part, but for the boundary that goes before it.
struct part {
  std::string head;
  std::string text;
  const file* attached = nullptr;

  std::string_view content() const {
    return attached != nullptr ? view_of(*attached) : std::string_view(text);
  }
};

part part_of(const form_data::entry& entry) {
  auto head = fmt::format("Content-Disposition: form-data; name=\"{}\"", escaped(with_crlf(entry.name)));
  if (const auto* text = std::get_if<std::string>(&entry.value))
    return {head + "\r\n\r\n", with_crlf(*text), nullptr};
  const auto& attached = std::get<file>(entry.value);
  const auto type = attached.type().empty() ? "application/octet-stream" : attached.type();
  return {
      fmt::format("{}; filename=\"{}\"\r\nContent-Type: {}\r\n\r\n", head, escaped(attached.name()), type),
      {},
      &attached};
}

constexpr std::string_view boundary_begin = "----dormouse-form-data-";
constexpr std::size_t boundary_digits = 16;

/// The least number that follows `boundary_begin` nowhere in the parts. By looking and not by chance: no
/// content can be made to contain it, and the same form always gets the same.
std::string free_boundary(const std::vector<part>& parts) {
  std::vector<std::uint64_t> taken;
  const auto note = [&taken](std::string_view text) {
    for (auto at = text.find(boundary_begin); at != std::string_view::npos;
         at = text.find(boundary_begin, at + 1)) {
      const auto digits = text.substr(at + boundary_begin.size(), boundary_digits);
      std::uint64_t number = 0;
      if (auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
          code == std::errc{})
        taken.push_back(number);
    }
  };
  for (const auto& each : parts) {
    note(each.head);
    note(each.content());
  }
  std::sort(taken.begin(), taken.end());
  std::uint64_t free = 0;
  for (auto number : taken)
    free += number == free ? 1 : 0;
  return fmt::format("{}{:0{}}", boundary_begin, free, boundary_digits);
}

// --- reading -----------------------------------------------------------------------------------------------

expected<std::string> boundary_of(std::string_view content_type) {
  if (essence_of(content_type) != "multipart/form-data")
    return fail(errc::invalid_request,
                fmt::format("content type {:?} is not multipart/form-data", content_type.substr(0, 200)));
  auto parsed = parse_parameters("Content-Type", content_type);
  if (!parsed) return fail(errc::invalid_request, parsed.error().message);
  auto boundary = parsed->get("boundary").value_or("");
  const bool printable =
      std::all_of(boundary.begin(), boundary.end(), [](char c) { return c >= 0x20 && c <= 0x7e; });
  if (boundary.empty() || boundary.size() > 70 || !printable)
    return fail(errc::invalid_request,
                fmt::format("content type {:?} has no boundary of 1..70 characters (RFC 2046)",
                            content_type.substr(0, 200)));
  return boundary;
}

std::string unescaped(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto escape = text.substr(i, 3);
    const char meant = escape == "%0A" ? '\n' : escape == "%0D" ? '\r' : escape == "%22" ? '"' : '\0';
    out += meant != '\0' ? meant : text[i];
    i += meant != '\0' ? 2 : 0;
  }
  return out;
}

/// Of a name or a file name.
std::string text_of(std::string_view quoted) { return detail::to_utf8(unescaped(quoted)); }

class multipart_reader {
public:
  multipart_reader(std::string_view body, const std::string& boundary)
      : body_(body), delimiter_("\r\n--" + boundary) {}

  expected<form_data> read();

private:
  enum class line { next_part, end };

  expected<line> rest_of_delimiter();
  expected<form_data::entry> read_part();
  expected<headers> read_head();

  unexpected<error> bad(std::string_view why) const {
    return fail(errc::corrupt, fmt::format("multipart form, part {}: {}", number_, why));
  }

  std::string_view body_;
  std::string delimiter_; ///< with the line end before it, which belongs to it (RFC 2046)
  std::size_t at_ = 0;
  std::size_t number_ = 1; ///< of the part that is being read
};

expected<form_data> multipart_reader::read() {
  const auto first = std::string_view(delimiter_).substr(line_end.size());
  const auto found = body_.starts_with(first) ? 0 : body_.find(delimiter_);
  if (found == std::string_view::npos)
    return fail(errc::corrupt, fmt::format("multipart form: its boundary {:?} begins no line of the {} bytes",
                                           first.substr(2), body_.size()));
  at_ = found == 0 && body_.starts_with(first) ? first.size() : found + delimiter_.size();
  form_data out;
  for (;; ++number_) {
    auto next = rest_of_delimiter();
    if (!next) return unexpected<error>(next.error());
    if (*next == line::end) return out;
    if (number_ > max_form_entries)
      return fail(errc::too_large,
                  fmt::format("multipart form: it has more than {} parts", max_form_entries));
    auto entry = read_part();
    if (!entry) return unexpected<error>(entry.error());
    if (auto* attached = std::get_if<file>(&entry->value))
      out.append(entry->name, std::move(*attached));
    else
      out.append(entry->name, std::get<std::string>(entry->value));
  }
}

/// Behind a boundary: "--" if it is the last, padding, and the end of the line.
expected<multipart_reader::line> multipart_reader::rest_of_delimiter() {
  const bool last = body_.substr(at_).starts_with("--");
  at_ += last ? 2 : 0;
  at_ = std::min(body_.find_first_not_of(" \t", at_), body_.size());
  if (body_.substr(at_).starts_with(line_end)) {
    at_ += line_end.size();
    return last ? line::end : line::next_part;
  }
  if (at_ == body_.size())
    return last ? expected<line>(line::end)
                : bad("the body ends in the boundary before it; the final one has \"--\" behind it");
  return bad(fmt::format("the boundary before it is followed by {:?}, not by CRLF", body_.substr(at_, 16)));
}

expected<headers> multipart_reader::read_head() {
  headers fields;
  const auto begin = at_;
  for (;;) {
    const auto rest = body_.substr(at_);
    const auto end = rest.substr(0, max_part_header_bytes + line_end.size()).find(line_end);
    if (end == std::string_view::npos && rest.size() <= max_part_header_bytes)
      return bad("the body ends in its headers");
    if (end == std::string_view::npos || at_ - begin + end > max_part_header_bytes)
      return fail(errc::too_large, fmt::format("multipart form, part {}: its headers have more than {} bytes",
                                               number_, max_part_header_bytes));
    at_ += end + line_end.size();
    if (end == 0) return fields;
    const auto field = rest.substr(0, end);
    if (field.find_first_of("\r\n") != std::string_view::npos)
      return bad(fmt::format("{:?} has a CR or LF of its own; lines end in CRLF", field.substr(0, 200)));
    const auto colon = field.find(':');
    if (colon == std::string_view::npos)
      return bad(fmt::format("{:?} is not a header", field.substr(0, 200)));
    if (auto added = fields.try_append(field.substr(0, colon), field.substr(colon + 1)); !added)
      return bad(added.error().message);
  }
}

expected<form_data::entry> multipart_reader::read_part() {
  auto fields = read_head();
  if (!fields) return unexpected<error>(fields.error());
  const auto dispositions = fields->get_all("Content-Disposition");
  if (dispositions.size() != 1)
    return bad(fmt::format("it has {} Content-Disposition headers where there is one", dispositions.size()));
  auto disposition = parse_parameters("Content-Disposition", dispositions.front());
  if (!disposition) return bad(disposition.error().message);
  const auto name = disposition->get("name");
  if (disposition->essence != "form-data" || !name)
    return bad(fmt::format("its Content-Disposition {:?} is not form-data with a name",
                           dispositions.front().substr(0, 200)));

  // The line end that ends the headers may be the one that begins the delimiter: a part without content.
  const auto end = body_.find(delimiter_, at_ - line_end.size());
  if (end == std::string_view::npos)
    return bad(fmt::format("no boundary follows {:?}: the body is cut off", unescaped(*name).substr(0, 64)));
  const auto content = body_.substr(at_, std::max(end, at_) - at_);
  at_ = end + delimiter_.size();

  if (const auto filename = disposition->get("filename")) {
    const auto types = fields->get_all("Content-Type");
    return form_data::entry{
        text_of(*name), file(blob(content, types.empty() ? "text/plain" : types.back()), text_of(*filename))};
  }
  return form_data::entry{text_of(*name), detail::to_utf8(content)};
}

} // namespace

encoded_form encode_multipart(const form_data& form) {
  std::vector<part> parts;
  parts.reserve(form.size());
  for (const auto& entry : form)
    parts.push_back(part_of(entry));
  const auto boundary = free_boundary(parts);
  std::size_t bytes = boundary.size() + 6;
  for (const auto& each : parts)
    bytes += boundary.size() + each.head.size() + each.content().size() + 6;
  encoded_form out{{}, "multipart/form-data; boundary=" + boundary};
  out.bytes.reserve(bytes);
  for (const auto& each : parts)
    out.bytes.append("--")
        .append(boundary)
        .append(line_end)
        .append(each.head)
        .append(each.content())
        .append(line_end);
  out.bytes.append("--").append(boundary).append("--").append(line_end);
  return out;
}

expected<form_data> parse_multipart(std::string_view body, std::string_view content_type) {
  return boundary_of(content_type).and_then([body](const std::string& boundary) {
    return multipart_reader(body, boundary).read();
  });
}

} // namespace dormouse
