#include "proxy/url_policy.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace dormouse {
namespace {

struct v4_block {
  std::uint32_t network;
  unsigned bits;
};

constexpr std::uint32_t v4(unsigned a, unsigned b, unsigned c, unsigned d) {
  return (a << 24U) | (b << 16U) | (c << 8U) | d;
}

/// IANA IPv4 Special-Purpose Address Registry, and multicast.
constexpr std::array special_v4{
    v4_block{v4(0, 0, 0, 0), 8},      v4_block{v4(10, 0, 0, 0), 8},     v4_block{v4(100, 64, 0, 0), 10},
    v4_block{v4(127, 0, 0, 0), 8},    v4_block{v4(169, 254, 0, 0), 16}, v4_block{v4(172, 16, 0, 0), 12},
    v4_block{v4(192, 0, 0, 0), 24},   v4_block{v4(192, 0, 2, 0), 24},   v4_block{v4(192, 88, 99, 0), 24},
    v4_block{v4(192, 168, 0, 0), 16}, v4_block{v4(198, 18, 0, 0), 15},  v4_block{v4(198, 51, 100, 0), 24},
    v4_block{v4(203, 0, 113, 0), 24}, v4_block{v4(224, 0, 0, 0), 4},    v4_block{v4(240, 0, 0, 0), 4},
};

bool is_special_v4(std::uint32_t where) noexcept {
  for (const auto& block : special_v4)
    if ((where >> (32U - block.bits)) == (block.network >> (32U - block.bits))) return true;
  return false;
}

std::uint32_t v4_at(const std::uint8_t* bytes) noexcept { return v4(bytes[0], bytes[1], bytes[2], bytes[3]); }

bool is_special_v6(const std::uint8_t* b) noexcept {
  constexpr std::array<std::uint8_t, 12> zeros{};
  constexpr std::array<std::uint8_t, 12> mapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  constexpr std::array<std::uint8_t, 12> nat64{0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0};
  if (std::memcmp(b, zeros.data(), 12) == 0)
    return true; // unspecified, loopback, IPv4-compatible (deprecated)
  if (std::memcmp(b, mapped.data(), 12) == 0 || std::memcmp(b, nat64.data(), 12) == 0)
    return is_special_v4(v4_at(b + 12));
  if (b[0] == 0x20 && b[1] == 0x02) // 6to4
    return is_special_v4(v4_at(b + 2));
  if ((b[0] & 0xe0U) != 0x20)
    return true; // only 2000::/3 is global unicast: this covers fc00::/7, fe80::/10, fec0::/10, ff00::/8,
                 // 64:ff9b:1::/48, 100::/64
  if (b[0] == 0x20 && b[1] == 0x01 && (b[2] & 0xfeU) == 0)
    return true; // 2001::/23: Teredo, ORCHID, benchmarking and other protocol assignments
  return b[0] == 0x20 && b[1] == 0x01 && b[2] == 0x0d && b[3] == 0xb8; // documentation
}

/// The address a literal host names, if it is one.
std::optional<bool> is_special_literal(std::string_view host) {
  in_addr four{};
  if (::inet_pton(AF_INET, std::string(host).c_str(), &four) == 1) return is_special_v4(ntohl(four.s_addr));
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    auto inside = host.substr(1, host.size() - 2);
    in6_addr six{};
    if (::inet_pton(AF_INET6, std::string(inside.substr(0, inside.find('%'))).c_str(), &six) == 1)
      return is_special_v6(six.s6_addr);
  }
  return std::nullopt;
}

/// `example.com.` and `example.com` are the same host.
std::string_view without_trailing_dot(std::string_view host) {
  return host.size() > 1 && host.back() == '.' ? host.substr(0, host.size() - 1) : host;
}

} // namespace

bool is_special_address(const sockaddr& where) noexcept {
  if (where.sa_family == AF_INET) {
    sockaddr_in four{};
    std::memcpy(&four, &where, sizeof four);
    return is_special_v4(ntohl(four.sin_addr.s_addr));
  }
  if (where.sa_family == AF_INET6) {
    sockaddr_in6 six{};
    std::memcpy(&six, &where, sizeof six);
    return is_special_v6(six.sin6_addr.s6_addr);
  }
  return true; // not an Internet address at all
}

expected<url_policy> url_policy::make(const std::vector<std::string>& allow) {
  url_policy policy;
  for (const auto& text : allow) {
    entry next;
    std::string_view rest = text;
    if (rest == "*") {
      policy.entries_.push_back({});
      continue;
    }
    if (rest.starts_with("*.")) {
      next.subdomains = true;
      rest.remove_prefix(2);
    }
    // The same parser as for the URLs, so that an entry means what a URL with that host means.
    auto parsed = parse_url(fmt::format("http://{}/", rest));
    const bool is_host = std::all_of(rest.begin(), rest.end(), [](char c) {
      return static_cast<unsigned char>(c) > 0x20 &&
             std::string_view("*/\\?#@").find(c) == std::string_view::npos;
    });
    if (!is_host || rest.ends_with(':') || !parsed)
      return fail(errc::invalid_option,
                  fmt::format("options::allow entry '{}' is not a host, host:port, *.domain or *", text));
    next.host = without_trailing_dot(parsed->host);
    // A port that equals the default still counts as given.
    auto colon = rest.rfind(':');
    if (colon != std::string_view::npos && rest.find(']', colon) == std::string_view::npos)
      next.port = parsed->port;
    policy.entries_.push_back(std::move(next));
  }
  return policy;
}

expected<reach> url_policy::check(const url& target) const {
  const auto host = without_trailing_dot(target.host);
  std::optional<reach> allowed;
  for (const auto& rule : entries_) {
    if (rule.port && *rule.port != target.port) continue;
    if (!rule.subdomains && !rule.host.empty() && rule.host == host) {
      allowed = reach::anywhere;
      break;
    }
    bool below = rule.subdomains && host.size() > rule.host.size() + 1 && host.ends_with(rule.host) &&
                 host[host.size() - rule.host.size() - 1] == '.';
    if (rule.host.empty() || below) allowed = reach::public_only;
  }
  if (!allowed)
    return fail(errc::blocked, fmt::format("host '{}' (port {}) is not allowed; add it to options::allow",
                                           target.host, target.port));
  if (*allowed == reach::public_only && is_special_literal(host).value_or(false))
    return fail(errc::blocked, fmt::format("'{}' is a loopback, private or otherwise special address; only "
                                           "naming it in options::allow allows it",
                                           target.host));
  return *allowed;
}

} // namespace dormouse
