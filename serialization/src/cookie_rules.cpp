#include "cookie_rules.hpp"

#include "ascii.hpp"
#include "host.hpp"
#include "public_suffix.hpp"
#include "quoted.hpp"

#include <fmt/format.h>

namespace dormouse::detail {

unexpected<error> refuse_cookie(std::string_view name, std::string_view why) {
  return fail(errc::invalid_cookie, name.empty()
                                        ? fmt::format("a cookie without a name is refused: {}", why)
                                        : fmt::format("cookie {} is refused: {}", quoted(name), why));
}

std::string_view strip_blanks(std::string_view text) noexcept {
  auto first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

bool is_ip_address(std::string_view host) noexcept {
  if (host.starts_with('[')) return true;
  auto last = host.substr(host.rfind('.') + 1);
  return !last.empty() && last.find_first_not_of("0123456789") == std::string_view::npos;
}

bool is_secure(const url& where) noexcept {
  if (where.scheme == "https") return true;
  std::string_view host = where.host;
  if (is_ip_address(host)) return host == "[::1]" || host.starts_with("127.");
  if (host.ends_with('.')) host.remove_suffix(1);
  return host == "localhost" || host.ends_with(".localhost");
}

bool domain_matches(std::string_view host, std::string_view domain) noexcept {
  if (host == domain) return true;
  return host.size() > domain.size() && host.ends_with(domain) &&
         host[host.size() - domain.size() - 1] == '.' && !is_ip_address(host);
}

std::string default_path(const url& from) {
  auto slash = from.path.rfind('/');
  if (!from.path.starts_with('/') || slash == 0) return "/";
  return from.path.substr(0, slash);
}

bool path_matches(std::string_view request_path, std::string_view cookie_path) noexcept {
  if (!request_path.starts_with(cookie_path)) return false;
  return request_path.size() == cookie_path.size() || cookie_path.ends_with('/') ||
         request_path[cookie_path.size()] == '/';
}

expected<void> may_set(const url& from, const cookie& what) {
  if (what.host_only != 0 && what.domain != from.host)
    return refuse_cookie(what.name, fmt::format("it is for host {} only and {} is another",
                                                quoted(what.domain), quoted(from.host)));
  if (what.host_only == 0 && is_public_suffix(what.domain))
    return refuse_cookie(
        what.name, fmt::format("domain {} is a public suffix, below which hosts are strangers to each other",
                               quoted(what.domain)));
  if (!domain_matches(from.host, what.domain))
    return refuse_cookie(what.name,
                         fmt::format("host {} is not in domain {}", quoted(from.host), quoted(what.domain)));
  if (what.secure != 0 && !is_secure(from))
    return refuse_cookie(what.name,
                         fmt::format("it is Secure and {} is not a secure origin", quoted(from.origin())));
  return {};
}

expected<url> set_by(std::string_view name, const cookie_attributes& attributes) {
  if (!attributes.url.empty()) return parse_url(attributes.url);
  if (attributes.domain.empty())
    return refuse_cookie(
        name, "nothing says where it belongs; give cookie_attributes::url or cookie_attributes::domain");
  return parse_url("https://" + canonical_domain(attributes.domain) + "/");
}

std::string canonical_domain(std::string_view attribute) {
  if (attribute.starts_with('.')) attribute.remove_prefix(1);
  return canonical_name(attribute).value_or(ascii_lower(attribute));
}

} // namespace dormouse::detail
