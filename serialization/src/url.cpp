#include "ascii.hpp"
#include "host.hpp"
#include "percent.hpp"

#include <dormouse/serialization/url.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

namespace dormouse {
namespace {

using detail::append_escape;
using detail::percent_decoded;

constexpr auto nowhere = std::string_view::npos;

/// A URL in an error text: one line of bounded length, without secrets.
std::string in_text(std::string_view text) {
  const auto shown = shown_url(text);
  std::string out;
  for (char c : std::string_view(shown).substr(0, 200))
    out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f
               ? fmt::format("\\x{:02x}", static_cast<unsigned char>(c))
               : std::string(1, c);
  return out + (shown.size() > 200 ? "..." : "");
}

// --- percent-encode sets (WHATWG URL section 1.3) ----------------------------------------------------------

constexpr std::string_view fragment_set = " \"<>`";
constexpr std::string_view query_set = " \"#<>'"; // of a special scheme
constexpr std::string_view path_set = " \"#<>?^`{}";

/// What is escaped already stays as it is.
std::string encoded(std::string_view text, std::string_view set) {
  std::string out;
  out.reserve(text.size());
  for (char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte > 0x7e || set.find(c) != nowhere)
      append_escape(out, c);
    else
      out += c;
  }
  return out;
}

// --- paths -------------------------------------------------------------------------------------------------

/// How many dots the segment is made of, each of them perhaps spelled "%2e"; 0 if of anything else.
std::size_t dots(std::string_view segment) noexcept {
  std::size_t count = 0;
  for (; !segment.empty(); ++count) {
    const bool plain = segment.front() == '.';
    if (!plain && detail::escaped_byte(segment) != '.') return 0;
    segment.remove_prefix(plain ? 1 : 3);
  }
  return count;
}

/// Appends the segments of `text`, which begins behind a slash, to a path that ends before one.
void append_segments(std::string& path, std::string_view text) {
  for (bool is_last = false; !is_last;) {
    const auto end = std::min(text.find_first_of("/\\"), text.size());
    is_last = end == text.size();
    const auto segment = text.substr(0, end);
    text.remove_prefix(is_last ? end : end + 1);
    const auto count = dots(segment);
    if (count == 2) path.erase(std::min(path.rfind('/'), path.size()));
    if (count != 1 && count != 2)
      path += '/' + encoded(segment, path_set);
    else if (is_last)
      path += '/';
  }
}

// --- parsing (WHATWG URL section 4.4, for the schemes http and https) --------------------------------------

/// What the parser strips and removes.
std::string cleaned(std::string_view text) {
  const auto is_edge = [](char c) { return static_cast<unsigned char>(c) <= 0x20; };
  while (!text.empty() && is_edge(text.front()))
    text.remove_prefix(1);
  while (!text.empty() && is_edge(text.back()))
    text.remove_suffix(1);
  std::string out(text);
  std::erase_if(out, [](char c) { return c == '\t' || c == '\n' || c == '\r'; });
  return out;
}

/// Without its colon, in lower case; nothing if the text begins with none.
std::optional<std::string> scheme_of(std::string_view text) {
  const auto colon = text.find(':');
  if (colon == nowhere || colon == 0) return std::nullopt;
  auto scheme = ascii_lower(text.substr(0, colon));
  const auto is_letter = [](char c) { return c >= 'a' && c <= 'z'; };
  const bool valid = is_letter(scheme.front()) && std::all_of(scheme.begin(), scheme.end(), [&](char c) {
                       return is_letter(c) || (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.';
                     });
  return valid ? std::optional(scheme) : std::nullopt;
}

bool is_slash(char c) noexcept { return c == '/' || c == '\\'; }

class url_parser {
public:
  explicit url_parser(std::string_view given) : given_(given), text_(cleaned(given)), rest_(text_) {}

  expected<url> parse(const url* base);

private:
  unexpected<error> bad(std::string_view why) const {
    return fail(errc::invalid_url, fmt::format("URL '{}' {}", in_text(given_), why));
  }

  expected<void> take_scheme(const url* base);
  expected<void> take_authority();
  expected<void> take_port(std::string_view digits);
  void take_path(const url* base);
  void take_query_and_fragment();

  std::string_view given_;
  std::string text_;
  std::string_view rest_; ///< what has not been taken
  url out_;
  bool is_relative_ = false; ///< it has no authority of its own
};

expected<url> url_parser::parse(const url* base) {
  if (given_.size() > max_url_bytes)
    return bad(fmt::format("has {} bytes; the limit is {}", given_.size(), max_url_bytes));
  if (auto taken = take_scheme(base); !taken) return unexpected<error>(taken.error());
  if (is_relative_) {
    out_.host = base->host;
    out_.port = base->port;
  } else if (auto taken = take_authority(); !taken) {
    return unexpected<error>(taken.error());
  }
  take_path(is_relative_ ? base : nullptr);
  take_query_and_fragment();
  const auto fragment_bytes = out_.fragment.empty() ? 0 : out_.fragment.size() + 1;
  if (const auto bytes = out_.target().size() + fragment_bytes; bytes > max_url_bytes)
    return bad(fmt::format("has {} bytes once it is percent-encoded; the limit is {}", bytes, max_url_bytes));
  return std::move(out_);
}

/// And the slashes behind it, if an authority follows.
expected<void> url_parser::take_scheme(const url* base) {
  const auto scheme = scheme_of(rest_);
  const auto slashes = [this] { return std::min(rest_.find_first_not_of("/\\"), rest_.size()); };
  if (scheme) {
    rest_.remove_prefix(scheme->size() + 1);
    if (*scheme != "http" && *scheme != "https") {
      if (rest_.starts_with("//"))
        return fail(errc::blocked, fmt::format("URL '{}' has scheme '{}'; only http and https are supported",
                                               in_text(given_), *scheme));
      return bad("is not an absolute http or https URL");
    }
    out_.scheme = *scheme;
    is_relative_ = base != nullptr && base->scheme == *scheme && slashes() < 2;
  } else {
    if (base == nullptr) return bad("is not an absolute http or https URL");
    out_.scheme = base->scheme;
    is_relative_ = slashes() < 2;
  }
  if (!is_relative_) rest_.remove_prefix(slashes());
  return {};
}

expected<void> url_parser::take_authority() {
  auto authority = rest_.substr(0, std::min(rest_.find_first_of("/\\?#"), rest_.size()));
  rest_.remove_prefix(authority.size());
  if (const auto at = authority.rfind('@'); at != nowhere) {
    const auto credentials = authority.substr(0, at);
    const auto colon = std::min(credentials.find(':'), credentials.size());
    out_.user = percent_decoded(credentials.substr(0, colon));
    out_.password = percent_decoded(credentials.substr(std::min(colon + 1, credentials.size())));
    authority.remove_prefix(at + 1);
  }
  const auto bracket = authority.rfind(']');
  const auto colon = authority.find(':', bracket == nowhere ? 0 : bracket);
  const auto host = authority.substr(0, colon);
  if (host.empty()) return bad("has no host");
  auto canonical = detail::canonical_host(host);
  if (!canonical)
    return bad(fmt::format("has host '{}', which is neither a name nor an address", in_text(host)));
  out_.host = std::move(*canonical);
  return take_port(colon == nowhere ? std::string_view() : authority.substr(colon + 1));
}

expected<void> url_parser::take_port(std::string_view digits) {
  out_.port = out_.scheme == "https" ? 443 : 80;
  if (digits.empty()) return {};
  const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), out_.port);
  if (code != std::errc{} || end != digits.data() + digits.size() || out_.port == 0)
    return bad(fmt::format("has port '{}'; a port is 1..65535", in_text(digits)));
  return {};
}

/// A reference that has no path of its own keeps the base's, and its query unless it has one.
void url_parser::take_path(const url* base) {
  const auto text = rest_.substr(0, std::min(rest_.find_first_of("?#"), rest_.size()));
  rest_.remove_prefix(text.size());
  if (base == nullptr || (!text.empty() && is_slash(text.front())))
    return append_segments(out_.path, text.empty() ? text : text.substr(1));
  out_.path = base->path;
  if (text.empty()) {
    out_.query = base->query;
    out_.has_empty_query = base->has_empty_query;
    return;
  }
  out_.path.erase(std::min(out_.path.rfind('/'), out_.path.size()));
  append_segments(out_.path, text);
}

void url_parser::take_query_and_fragment() {
  const auto hash = std::min(rest_.find('#'), rest_.size());
  if (rest_.starts_with('?')) {
    out_.query = encoded(rest_.substr(1, hash - 1), query_set);
    out_.has_empty_query = out_.query.empty();
  }
  out_.fragment = encoded(rest_.substr(std::min(hash + 1, rest_.size())), fragment_set);
}

} // namespace

std::string url::origin() const {
  bool is_default = (scheme == "http" && port == 80) || (scheme == "https" && port == 443);
  return is_default ? fmt::format("{}://{}", scheme, host) : fmt::format("{}://{}:{}", scheme, host, port);
}

std::string url::target() const {
  return origin() + path + (query.empty() && !has_empty_query ? "" : "?" + query);
}

expected<url> parse_url(std::string_view text) { return url_parser(text).parse(nullptr); }

expected<url> resolve_url(const url& base, std::string_view reference) {
  return url_parser(reference).parse(&base);
}

std::string shown_url(std::string_view text) {
  const auto end = std::min(text.find_first_of("?#"), text.size());
  const auto rest = text.substr(end);
  const auto fragment = rest.find('#');
  auto front = text.substr(0, end);
  // The authority, or what would be it if slashes were not left out.
  const auto colon = front.find(':');
  const auto begin = std::min(front.find_first_not_of("/\\", colon == nowhere ? 0 : colon + 1), front.size());
  const auto authority =
      front.substr(begin, std::min(front.find_first_of("/\\", begin), front.size()) - begin);
  std::string out(front.substr(0, begin));
  if (const auto at = authority.rfind('@'); at != nowhere) {
    if (out.empty() || !is_slash(out.back())) out.clear(); // it may be a user, and no scheme
    front.remove_prefix(begin + at + 1);
  } else {
    front.remove_prefix(begin);
  }
  out += front;
  if (rest.starts_with('?')) out += "?...";
  if (fragment != nowhere) out += "#...";
  return out;
}

} // namespace dormouse
