#include "cookie_date.hpp"
#include "cookie_rules.hpp"
#include "public_suffix.hpp"
#include "quoted.hpp"

#include <dormouse/serialization/cookie.hpp>
#include <dormouse/serialization/headers.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>

namespace dormouse {
namespace {

using detail::quoted;
using detail::refuse_cookie;
using detail::strip_blanks;

/// When a cookie expires that is to be removed. Any time that has passed would do, but for 0, which is none.
constexpr std::int64_t long_ago_ms = 1;

bool has_prefix(std::string_view text, std::string_view prefix) noexcept {
  return text.size() >= prefix.size() && iequals(text.substr(0, prefix.size()), prefix);
}

/// The first control character other than a tab.
std::optional<unsigned> control_character(std::string_view text) noexcept {
  for (char c : text) {
    auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\t') || byte == 0x7f) return byte;
  }
  return std::nullopt;
}

bool is_ascii(std::string_view text) noexcept {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

/// As `parse_url` leaves a host: lower case, no empty label but that of the root, nothing that ends a host.
bool is_canonical_host(std::string_view host) noexcept {
  if (host.starts_with('['))
    return host.ends_with(']') && host.find_first_not_of("0123456789abcdef:.", 1) == host.size() - 1;
  if (host.empty() || host.starts_with('.') || host.find("..") != std::string_view::npos) return false;
  return std::all_of(host.begin(), host.end(), [](char c) {
    auto byte = static_cast<unsigned char>(c);
    return byte > 0x20 && byte != 0x7f && !(c >= 'A' && c <= 'Z') &&
           std::string_view("/:;?#@[]\\%,").find(c) == std::string_view::npos;
  });
}

/// The rule that the text of a cookie breaks; empty if none.
std::string broken_text_rule(const cookie& what) {
  if (what.name.empty() && what.value.empty()) return "it has neither a name nor a value";
  if (auto byte = control_character(what.name))
    return fmt::format("its name contains the control character 0x{:02x}", *byte);
  if (auto byte = control_character(what.value))
    return fmt::format("its value contains the control character 0x{:02x}", *byte);
  if (what.name.size() + what.value.size() > max_cookie_bytes)
    return fmt::format("its name and value have {} bytes; the limit is {}",
                       what.name.size() + what.value.size(), max_cookie_bytes);
  if (what.name.find_first_of("=;") != std::string::npos) return "its name contains '=' or ';'";
  if (what.value.find(';') != std::string::npos) return "its value contains ';'";
  if (strip_blanks(what.name).size() != what.name.size() ||
      strip_blanks(what.value).size() != what.value.size())
    return "its name or value begins or ends with white space";
  if (what.domain.size() > max_cookie_domain_bytes)
    return fmt::format("its domain has {} bytes; the limit is {}", what.domain.size(),
                       max_cookie_domain_bytes);
  if (!is_canonical_host(what.domain))
    return fmt::format("its domain {} is not a host name in lower case", detail::quoted(what.domain));
  if (what.path.size() > max_cookie_attribute_bytes)
    return fmt::format("its path has {} bytes; the limit is {}", what.path.size(),
                       max_cookie_attribute_bytes);
  if (!what.path.starts_with('/'))
    return fmt::format("its path {} does not begin with '/'", detail::quoted(what.path));
  if (auto byte = control_character(what.path))
    return fmt::format("its path contains the control character 0x{:02x}", *byte);
  return {};
}

/// The rule that its flags break together; empty if none.
std::string broken_flag_rule(const cookie& what) {
  if (what.host_only > 1 || what.secure > 1 || what.http_only > 1) return "a flag is neither 0 nor 1";
  if (what.same_site > same_site::none)
    return fmt::format("there is no SameSite number {}", static_cast<unsigned>(what.same_site));
  if (what.expires_ms < 0) return "it expires before 1970";
  if (what.host_only == 0 && detail::is_ip_address(what.domain))
    return fmt::format("{} is an IP address and no domain of hosts", detail::quoted(what.domain));
  if (what.host_only == 0 && !is_ascii(what.domain))
    return fmt::format("its domain {} is not ASCII", detail::quoted(what.domain));
  if (what.same_site == same_site::none && what.secure == 0) return "SameSite=None needs Secure";
  if (has_prefix(what.name, "__Secure-") && what.secure == 0) return "the prefix __Secure- needs Secure";
  if (has_prefix(what.name, "__Host-") && (what.secure == 0 || what.host_only == 0 || what.path != "/"))
    return "the prefix __Host- needs Secure, Path=/ and no Domain";
  // A server would read such a value as a name.
  if (what.name.empty() && (has_prefix(what.value, "__Secure-") || has_prefix(what.value, "__Host-")))
    return "its value begins like a name with a prefix";
  return {};
}

/// What a field or the program asks for, before it is known whether it may have it.
struct wish {
  std::string_view name;
  std::string_view value;
  std::string domain; ///< canonical; empty: the host only
  std::optional<std::string> path;
  std::optional<std::int64_t> max_age_s;
  std::optional<std::int64_t> expires_ms;
  bool secure = false;
  bool http_only = false;
  dormouse::same_site same_site = dormouse::same_site::unspecified;
};

std::int64_t expiry(const wish& asked, std::int64_t now_ms) {
  if (asked.max_age_s)
    return *asked.max_age_s <= 0
               ? long_ago_ms
               : now_ms + std::min<std::int64_t>(*asked.max_age_s, max_cookie_age.count()) * 1000;
  if (asked.expires_ms)
    return std::max(long_ago_ms, std::min(*asked.expires_ms, now_ms + max_cookie_age.count() * 1000));
  return 0;
}

/// 5.7, up to where the store comes in.
expected<cookie> grant(const url& from, wish asked, std::int64_t now_ms) {
  cookie out{.name = std::string(asked.name),
             .value = std::string(asked.value),
             .path = asked.path ? *asked.path : detail::default_path(from)};
  out.expires_ms = expiry(asked, now_ms);
  out.created_ms = out.used_ms = now_ms;
  out.secure = asked.secure ? 1 : 0;
  out.http_only = asked.http_only ? 1 : 0;
  out.same_site = asked.same_site;
  // A public suffix may set cookies for itself alone (step 9), and so may an address.
  bool shared =
      !asked.domain.empty() && !(asked.domain == from.host &&
                                 (detail::is_ip_address(from.host) || detail::is_public_suffix(from.host)));
  out.host_only = shared ? 0 : 1;
  out.domain = shared ? std::move(asked.domain) : from.host;
  if (has_prefix(out.name, "__Host-") && !asked.path)
    return refuse_cookie(out.name, "the prefix __Host- needs Secure, Path=/ and no Domain");
  return validate(out).and_then([&] { return detail::may_set(from, out); }).map([&] {
    return std::move(out);
  });
}

/// 5.6.2. A number that is too large for us is too large for the limit of 400 days as well.
std::optional<std::int64_t> parse_max_age(std::string_view text) noexcept {
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  if (text.empty() || text.find_first_not_of("0123456789") != std::string_view::npos) return std::nullopt;
  if (negative) return 0;
  std::int64_t seconds = 0;
  if (std::from_chars(text.data(), text.data() + text.size(), seconds).ec != std::errc{})
    return std::numeric_limits<std::int64_t>::max();
  return seconds;
}

same_site parse_same_site(std::string_view text) noexcept {
  if (iequals(text, "None")) return same_site::none;
  if (iequals(text, "Strict")) return same_site::strict;
  return iequals(text, "Lax") ? same_site::lax : same_site::unspecified;
}

/// 5.6.1 to 5.6.7. The last attribute of a kind counts; one that makes no sense does not.
void apply_attribute(wish& asked, std::string_view name, std::string_view value, const url& from) {
  if (iequals(name, "Expires")) {
    if (auto at = detail::parse_cookie_date(value)) asked.expires_ms = at;
  } else if (iequals(name, "Max-Age")) {
    if (auto seconds = parse_max_age(value)) asked.max_age_s = seconds;
  } else if (iequals(name, "Domain")) {
    asked.domain = detail::canonical_domain(value);
  } else if (iequals(name, "Path")) {
    asked.path = value.empty() ? std::nullopt
                               : std::optional(value.starts_with('/') ? std::string(value)
                                                                      : detail::default_path(from));
  } else if (iequals(name, "Secure")) {
    asked.secure = true;
  } else if (iequals(name, "HttpOnly")) {
    asked.http_only = true;
  } else if (iequals(name, "SameSite")) {
    asked.same_site = parse_same_site(value);
  }
}

/// Takes what is before the next ';' off the front, and the ';' too.
std::string_view take_part(std::string_view& text) noexcept {
  auto end = std::min(text.find(';'), text.size());
  auto part = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return part;
}

} // namespace

expected<void> validate(const cookie& what) {
  auto broken = broken_text_rule(what);
  if (broken.empty()) broken = broken_flag_rule(what);
  if (!broken.empty()) return refuse_cookie(what.name, broken);
  return {};
}

expected<cookie> parse_set_cookie(const url& from, std::string_view field, std::int64_t now_ms) {
  wish asked;
  auto rest = field;
  auto pair = take_part(rest);
  auto equals = pair.find('=');
  if (equals != std::string_view::npos) asked.name = strip_blanks(pair.substr(0, equals));
  asked.value = strip_blanks(equals == std::string_view::npos ? pair : pair.substr(equals + 1));
  // In an attribute too: such a field has been tampered with.
  if (auto byte = control_character(field))
    return refuse_cookie(asked.name,
                         fmt::format("its Set-Cookie field contains the control character 0x{:02x}", *byte));
  while (!rest.empty()) {
    auto attribute = take_part(rest);
    auto sign = std::min(attribute.find('='), attribute.size());
    auto value = strip_blanks(attribute.substr(std::min(sign + 1, attribute.size())));
    if (value.size() <= max_cookie_attribute_bytes)
      apply_attribute(asked, strip_blanks(attribute.substr(0, sign)), value, from);
  }
  return grant(from, std::move(asked), now_ms);
}

expected<cookie> make_cookie(const std::string& name, const std::string& value,
                             const cookie_attributes& attributes, std::int64_t now_ms) {
  wish asked{.name = strip_blanks(name),
             .value = strip_blanks(value),
             .domain = detail::canonical_domain(attributes.domain)};
  if (asked.name.empty() && asked.value.find('=') != std::string_view::npos)
    return refuse_cookie(asked.name, "its value contains '=', so that a server would read a name in it");
  if (!attributes.path.empty()) asked.path = attributes.path;
  if (attributes.max_age) asked.max_age_s = attributes.max_age->count();
  if (attributes.expires)
    asked.expires_ms =
        std::chrono::floor<std::chrono::milliseconds>(*attributes.expires).time_since_epoch().count();
  asked.secure = attributes.secure;
  asked.http_only = attributes.http_only;
  asked.same_site = attributes.same_site;
  return detail::set_by(asked.name, attributes).and_then([&](const url& from) {
    return grant(from, std::move(asked), now_ms);
  });
}

} // namespace dormouse
