#pragma once

/// A cookie as it is stored, and the two ways one comes to be: from a Set-Cookie field, or from the program.
/// The rules are those of RFC 6265bis (draft-ietf-httpbis-rfc6265bis); section numbers here are that
/// document's.
///
/// A `cookie` says where it may go: to one host (`host_only`) or to a domain and all below it, under a path,
/// perhaps only over a secure connection. Every way in, stored bytes included, passes `validate`, so name and
/// value can go on the wire as they are.
///
/// What this user agent decides where 6265bis leaves it open:
/// - Secure is https, and http to the machine itself: `localhost`, `*.localhost`, 127.0.0.0/8 and [::1].
/// - Every request counts as same-site: a server-side client has no page of another site that could have made
/// it. `same_site` is
///   checked and kept, and never holds a cookie back.
/// - An object lives for ever, so there is no session that could end: a cookie without an expiry stays until
/// it is removed.
/// - Public suffixes are those of libpsl, private ones (`github.io`) included.
/// - A host that is an IP address has cookies of its own only, with or without a Domain attribute.
/// - A host outside of ASCII is the one that its `xn--` form names, in a URL and in a Domain attribute.
/// - An empty Path attribute counts as none, also for `__Host-`.

#include <dormouse/serialization/error.hpp>
#include <dormouse/serialization/url.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace dormouse {

inline constexpr std::size_t max_cookie_bytes = 4096; ///< name and value together (5.6)
inline constexpr std::size_t max_cookie_attribute_bytes =
    1024; ///< of one attribute's value (5.6), and of a path however it came
inline constexpr std::size_t max_cookie_domain_bytes = 254; ///< 253 of a DNS name and the dot of the root
inline constexpr std::chrono::seconds max_cookie_age{
    34'560'000}; ///< 400 days (5.5); later expiries are brought forward to it

/// Stable: stored. Append only.
enum class same_site : std::uint8_t {
  unspecified = 0, ///< no attribute, or one with an unknown value ("Default" in 6265bis)
  lax = 1,
  strict = 2,
  none = 3, ///< only together with Secure
};

struct cookie {
  std::string name; ///< may be empty, if the value is not
  std::string value;
  std::string
      domain; ///< the host, or the domain above it: lower case, no leading dot; an IPv6 address in brackets
  std::string path;
  std::int64_t expires_ms = 0; ///< since the Unix epoch; 0: stays until removed
  std::int64_t created_ms =
      0; ///< when a cookie of this name, domain and path was first set; decides the order of sending
  std::int64_t used_ms = 0;   ///< when it was last set; decides which one has to go when a jar is full
  std::uint8_t host_only = 0; ///< 1: for `domain` itself and nothing below it
  std::uint8_t secure = 0;
  std::uint8_t http_only = 0; ///< kept as it came: everything here is HTTP
  dormouse::same_site same_site = dormouse::same_site::unspecified;

  friend bool operator==(const cookie&, const cookie&) = default;

  template <class Archive> void save(Archive& ar) const {
    ar(name, value, domain, path, expires_ms, created_ms, used_ms, host_only, secure, http_only, same_site);
  }

  /// Bytes from disk are checked like any other input; throws `failure{invalid_cookie}`.
  template <class Archive> void load(Archive& ar);
};

/// Whether a cookie keeps the rules that can be judged without knowing who set it: characters, lengths,
/// `__Secure-` and
/// `__Host-`, SameSite=None with Secure. Error: `invalid_cookie`, naming the cookie (never its value) and the
/// rule.
expected<void> validate(const cookie& what);

template <class Archive> void cookie::load(Archive& ar) {
  ar(name, value, domain, path, expires_ms, created_ms, used_ms, host_only, secure, http_only, same_site);
  value_or_throw(validate(*this));
}

/// What the value of one Set-Cookie field of a response from `from` means (5.6 and the steps of 5.7 up to the
/// store). A cookie that has already expired is a result like any other: it asks for the removal of the
/// stored one. Error: `invalid_cookie`, naming the cookie and the rule by which it is ignored.
expected<cookie> parse_set_cookie(const url& from, std::string_view field, std::int64_t now_ms);

/// How the program sets a cookie. `url` or `domain` must be given.
struct cookie_attributes {
  std::string url = {}; ///< set as if by this URL: it gives the default domain and path and says whether the
                        ///< origin is secure
  std::string domain = {}; ///< the cookie is for this domain and all below it; without a `url`, set as if by
                           ///< `https://<domain>/`
  std::string path = {};   ///< begins with '/'; 5.1.4's default path of the URL if empty
  std::optional<std::chrono::system_clock::time_point> expires = {};
  std::optional<std::chrono::seconds> max_age = {}; ///< wins over `expires`; 0 or less removes
  bool secure = false;
  bool http_only = false;
  dormouse::same_site same_site = dormouse::same_site::unspecified;
};

/// A cookie by the same rules, but where a field would be mended in silence the program is told: a path must
/// begin with '/', and a value without a name must have no '='. White space around name and value is
/// stripped. Errors: `invalid_cookie` as above, `invalid_url`.
expected<cookie> make_cookie(const std::string& name, const std::string& value,
                             const cookie_attributes& attributes, std::int64_t now_ms);

} // namespace dormouse
