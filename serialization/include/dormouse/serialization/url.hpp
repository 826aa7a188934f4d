#pragma once

/// An absolute http or https URL, taken apart and normalised as the URL standard of WHATWG has it. What is
/// checked is what is sent (R26): policy, origins, cookies and the wire all have the one spelling that is
/// made here, in ASCII, and libcurl gets nothing that it would change.
///
/// A host outside of ASCII is mapped by UTS 46 (libidn2), whatever the locale: `http://bücher.example` and
/// `http://xn--bcher-kva.example` are one host. An IPv4 address comes out with dots however it was written,
/// in decimal, octal or hexadecimal, with parts left out, or in full-width digits: `http://2130706433/` has
/// the host `127.0.0.1`. What ends in a number and is no IPv4 address is refused.
///
/// White space and control characters around the text are stripped, tabs and line ends in it removed; a
/// backslash is a slash; "." and ".." are resolved in a path, also as "%2e". What must not stand in a path or
/// a query is percent-encoded, in upper case; what is percent-encoded already stays as it is.
///
/// Stricter than the standard: a name has only letters, digits, '-' and '_' in its labels, none of which is
/// empty; one outside of ASCII is one of IDNA 2008, without symbols, which have to be given as `xn--`; a port
/// is not 0.

#include <dormouse/serialization/error.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace dormouse {

inline constexpr std::size_t max_url_bytes = 65'536;

struct url {
  std::string scheme;           ///< "http" or "https"
  std::string user;             ///< empty if none; decoded
  std::string password;         ///< empty if none; decoded
  std::string host;             ///< ASCII, in lower case; an IPv6 address in brackets
  std::uint16_t port{};         ///< always set: the scheme's default if the URL names none
  std::string path;             ///< at least "/"
  std::string query;            ///< without '?'
  std::string fragment;         ///< without '#'
  bool has_empty_query = false; ///< a '?' that nothing follows

  /// `scheme://host:port` with a default port left out (RFC 6454).
  std::string origin() const;

  /// The URL to request: no credentials, no fragment.
  std::string target() const;

  friend bool operator==(const url&, const url&) = default;
};

/// Errors: `invalid_url` (not absolute, too long, not parseable), `blocked` (another scheme, R13).
expected<url> parse_url(std::string_view text);

/// Resolves a reference, such as a `Location` field, against a base. Credentials and fragment of the base are
/// left behind. Errors as above.
expected<url> resolve_url(const url& base, std::string_view reference);

/// A URL as logs and error texts show it: without user and password, "?..." for its query and "#..." for its
/// fragment. Takes any text.
std::string shown_url(std::string_view text);

} // namespace dormouse
