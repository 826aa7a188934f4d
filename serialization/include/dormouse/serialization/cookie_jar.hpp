#pragma once

/// The cookies of one client: what responses have set, and what goes along with the next request (RFC 6265bis
/// sections 5.7 and 5.8; what that leaves open is decided in cookie.hpp). A value without a clock: every
/// question says what time it is.
///
/// Bounded (R21): 180 cookies of one site, which is a registered domain and all below it, 3000 in all, each
/// of at most 4096 bytes of name and value, 1024 of path and 254 of domain. When one more comes, the one that
/// was set longest ago goes, of a full domain first those without Secure. Set, not sent: lookups are const
/// and leave `used_ms` alone, so that a read costs no write.

#include <dormouse/serialization/cookie.hpp>
#include <dormouse/serialization/error.hpp>
#include <dormouse/serialization/url.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dormouse {

inline constexpr std::size_t max_cookies_per_domain =
    180; ///< of a registered domain (`example.co.uk`) and all names below it together
inline constexpr std::size_t max_cookies = 3000;

class cookie_jar {
public:
  /// Takes in one Set-Cookie field of a response from `from`: `parse_set_cookie` and `put`.
  /// Error: `invalid_cookie`, naming the cookie and the rule by which it is ignored; the jar is as before,
  /// but for what has expired.
  [[nodiscard]] expected<void> receive(const url& from, std::string_view field, std::int64_t now_ms);

  /// Sets a cookie for the program: `make_cookie` and `put`. Errors: `invalid_cookie`, `invalid_url`; the jar
  /// is as before, but for what has expired.
  [[nodiscard]] expected<void> set(const std::string& name, const std::string& value,
                                   const cookie_attributes& attributes, std::int64_t now_ms);

  /// Stores a cookie that `from` sets; `from` must be a URL that may (5.7). It replaces the one of the same
  /// name, domain, host-only flag and path and keeps that one's `created_ms`; an expired one removes it. No
  /// two cookies of a jar have one `created_ms`: of those that are set in the same millisecond, each one
  /// behind the first counts as set a millisecond later. Expired cookies are dropped, and if the jar is full
  /// another goes. Error: `invalid_cookie`: the cookie is not valid, not for `from` to set, would hide a
  /// Secure cookie from an insecure origin, or is not Secure while 180 Secure ones fill its site.
  [[nodiscard]] expected<void> put(cookie next, const url& from, std::int64_t now_ms);

  /// The value of the Cookie field of a request to `to`, `"a=1; b=2"`; empty if there is none. Longest path
  /// first, then first set first, whichever domain.
  std::string header_for(const url& to, std::int64_t now_ms) const;

  /// What `header_for` sends, in that order.
  std::vector<cookie> cookies_for(const url& to, std::int64_t now_ms) const;

  /// All that have not expired, domain by domain.
  std::vector<cookie> cookies(std::int64_t now_ms) const;

  /// The value of the cookie of that name; if several domains or paths have one, of the one that was set
  /// last.
  std::optional<std::string> get(std::string_view name, std::int64_t now_ms) const;

  /// The value of the first cookie of that name that `header_for` sends to `to`.
  std::optional<std::string> get(std::string_view name, const url& to, std::int64_t now_ms) const;

  /// Removes every cookie of that name, or every one that goes to `to`; returns how many.
  std::size_t remove(std::string_view name);
  std::size_t remove(std::string_view name, const url& to);

  void clear() noexcept { by_domain_.clear(); }

  /// Removes cookies until the others have no more than `max_bytes`; returns how many. The site that has most
  /// bytes loses the one that was set longest ago, again and again: so a site does not push out others by
  /// what it sets itself.
  std::size_t keep_within(std::size_t max_bytes);

  /// What the jar takes encoded, rounded up: of each cookie its text and 64 bytes.
  std::size_t bytes() const noexcept;

  /// How many are stored, with those that have expired since the last `put`.
  std::size_t size() const noexcept;
  bool empty() const noexcept { return by_domain_.empty(); }

  friend bool operator==(const cookie_jar&, const cookie_jar&) = default;

  /// As a sequence of cookies, domain by domain.
  template <class Archive> void save(Archive& ar) const {
    ar(static_cast<std::uint64_t>(size()));
    for (const auto& [domain, stored] : by_domain_)
      for (const auto& each : stored)
        ar(each);
  }

  /// Bytes from disk are held to the same rules and limits; throws `failure{invalid_cookie}`.
  template <class Archive> void load(Archive& ar) {
    std::uint64_t count = 0;
    ar(count);
    check_count(count);
    clear();
    for (; count > 0; --count) {
      cookie next;
      ar(next);
      adopt(std::move(next));
    }
  }

private:
  /// In the order of sending. Never empty.
  using bucket = std::vector<cookie>;

  static void check_count(std::uint64_t stored);
  void adopt(cookie stored);

  std::vector<const cookie*> matching(const url& to, std::int64_t now_ms) const;
  bool would_hide_secure(const cookie& next) const;
  expected<void> make_room_for(const cookie& next);
  std::int64_t free_time(std::int64_t from_ms) const;
  void insert(cookie next);
  template <class Condition> std::size_t remove_if(Condition condition);

  std::map<std::string, bucket, std::less<>>
      by_domain_; ///< so that a request looks at its host and the domains above it only
};

/// The Cookie field of a request for which the caller gave one, `own`, and the jar has `from_jar`: the
/// caller's pairs as they are, then those of the jar whose names the caller does not use.
std::string merge_cookie_header(std::string_view own, std::string_view from_jar);

} // namespace dormouse
