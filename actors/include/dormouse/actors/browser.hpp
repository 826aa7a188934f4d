#pragma once

/// fetch() with cookies (RFC 6265bis): what a browser does between the pages of a site.
///
///   void log_in() {
///     browser().fetch("https://example.com/login", {.method = "POST", .body = form{{"user", "a"},
///     {"password", "b"}}}).then<&T::on_login>();
///   }
///   void on_login(fetch_result) { browser().fetch("https://example.com/data").then<&T::on_data>(); }   //
///   the session cookie goes along
///
/// The cookies are in a named jar of the object that gets the results. A jar is part of that object's durable
/// state: it survives hibernation and restart, and changes with the commit of a turn. Cookies go along as the
/// jar is when the request really goes out, retries included, and on each hop of a redirect by what the hops
/// before have set. What the responses of all hops have set is put into the jar in the turn that handles the
/// result, before its handler runs; if that turn is undone, so is this. Each response says only what it
/// changes, so two fetches that are in the air together do not undo each other's cookies. A `Cookie` header
/// of the caller's own is merged with the jar's: of two with one name the caller's goes.

#include <dormouse/actors/proxy_fetch.hpp>
#include <dormouse/serialization/cookie_jar.hpp>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dormouse {

inline constexpr std::string_view default_jar = "default";

class browser {
public:
  /// Throws `failure{invalid_request}` for a name that is not 1..64 bytes of UTF-8.
  explicit browser(const proxy_fetch& fetch, std::string jar = std::string(default_jar));

  /// As `proxy_fetch`.
  pending fetch(fetch_input input, fetch_init init = {}) const {
    return fetch_(std::move(input), std::move(init));
  }

  // The rest is for turns of the object whose jar it is: anywhere else, as in a turn of another object than
  // the one that results return to, it throws `failure{invalid_request}`. All but `clear` throw
  // `failure{corrupt}` or `{storage_error}` for a jar that cannot be read.

  /// Throws `failure{invalid_cookie}` or `{invalid_url}` for one that RFC 6265bis refuses: see cookie.hpp.
  void set_cookie(const std::string& name, const std::string& value, const cookie_attributes& attributes);

  /// The value of the cookie of that name; if several domains or paths have one, of the one that was set
  /// last. With a `url`, of the first of that name that a request for it would carry.
  std::optional<std::string> get_cookie(const std::string& name) const;
  std::optional<std::string> get_cookie(const std::string& name, const std::string& url) const;

  /// How many were removed: all of that name, or those of it that a request for `url` would carry.
  std::size_t remove_cookie(const std::string& name);
  std::size_t remove_cookie(const std::string& name, const std::string& url);

  std::vector<cookie> cookies() const;
  std::vector<cookie> cookies_for(const std::string& url) const; ///< in the order in which they are sent

  /// Empties the jar. It is not read for that, so one whose bytes are damaged is mended so.
  void clear();

private:
  cookie_jar& jar() const;
  std::int64_t now_ms() const;

  proxy_fetch fetch_;
};

/// A browser without an object's turn around it, or with another queue or object than an object's own
/// `browser()`. `config.jar` empty: the default jar. `queue` outlives the result.
browser create_proxy_browser(fetch_queue& queue, proxy_fetch_config config);

} // namespace dormouse
