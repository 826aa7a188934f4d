#pragma once

/// An absolute http or https URL, taken apart and normalised by libcurl's URL API.
///
/// Parsing follows WHATWG URL as far as libcurl carries it: the host comes out lower-cased, and an IPv4 host
/// written in decimal, octal, hexadecimal or with parts left out comes out dotted (`http://2130706433/` has
/// host `127.0.0.1`), so that a policy on hosts cannot be walked around by spelling. A host that ends in a
/// number and is no IPv4 address is refused.

#include <dormouse/serialization/error.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace dormouse {

inline constexpr std::size_t max_url_bytes = 65'536;

struct url {
  std::string scheme;   ///< "http" or "https"
  std::string user;     ///< empty if none; decoded
  std::string password; ///< empty if none; decoded
  std::string host;     ///< lower-cased; an IPv6 address in brackets
  std::uint16_t port{}; ///< always set: the scheme's default if the URL names none
  std::string path;     ///< at least "/"
  std::string query;    ///< without '?'
  std::string fragment; ///< without '#'

  /// `scheme://host:port` with a default port left out (RFC 6454).
  std::string origin() const;

  /// The URL to request: no credentials, no fragment.
  std::string target() const;

  friend bool operator==(const url&, const url&) = default;
};

/// Errors: `invalid_url` (not absolute, too long, not parseable), `blocked` (another scheme, R13).
expected<url> parse_url(std::string_view text);

/// Resolves a reference, such as a `Location` field, against a base (RFC 3986 section 5).
expected<url> resolve_url(const url& base, std::string_view reference);

} // namespace dormouse
