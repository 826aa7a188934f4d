#pragma once

/// What to fetch, and how: WHATWG `Request`, without what belongs to a browser (mode, credentials, cache,
/// referrer).
///
/// A `request` is checked and normalised when it is made, and never changes: a value, that is copied and
/// fetched any number of times, body included. Another one is made of it: `request(other, {.method =
/// "PUT"})`.
///
/// A `fetch_init` is fetch()'s second argument: aggregate, so that `fetch(url, {.method = "POST", .body =
/// "...", .timeout = 5s})` reads as in JavaScript. Each of its members knows whether it was given.

#include <dormouse/serialization/abort.hpp>
#include <dormouse/serialization/body.hpp>
#include <dormouse/serialization/error.hpp>
#include <dormouse/serialization/headers.hpp>

#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace dormouse {

enum class redirect_mode : std::uint8_t {
  follow = 0, ///< up to `max_redirects` hops, each checked by the URL policy
  manual = 1, ///< the 3xx response is the result
  error = 2,  ///< a redirect is a NETWORK_ERROR
};

inline constexpr std::uint32_t max_redirects = 20; ///< WHATWG Fetch 4.4, HTTP-redirect fetch

struct retry_init;

/// R11: exponential back-off with full jitter; `Retry-After` is honoured when it asks for longer.
struct retry_policy {
  std::uint32_t max_retries = 3;                ///< attempts beyond the first; 0..100
  std::chrono::milliseconds initial_delay{500}; ///< upper bound of the first back-off
  std::chrono::milliseconds max_delay{
      30'000}; ///< upper bound of any back-off; `Retry-After` may ask for up to ten times this

  operator retry_init() const;

  friend bool operator==(const retry_policy&, const retry_policy&) = default;

  template <class Archive> void serialize(Archive& ar) { ar(max_retries, initial_delay, max_delay); }
};

/// A higher one goes first, but not always: while there is work of all three, of 21 fetches 16 are high, 4
/// normal and 1 low.
enum class fetch_priority : std::uint8_t { high = 0, normal = 1, low = 2 };

/// R9: how often the other side may see the request.
enum class delivery : std::uint8_t {
  at_least_once =
      0, ///< repeated where that is safe: GET, HEAD, OPTIONS, PUT, DELETE, or with an idempotency key
  at_most_once = 1, ///< never sent again once it may have been received: the result then says what came, or
                    ///< `sent = maybe`; after a crash it is `FETCH_FAILED`
};

/// Whether identical GETs that are in the air at the same time share one request.
enum class sharing : std::uint8_t {
  none = 0,
  single_flight = 1, ///< for GET: with the same URL, header fields, idempotency key, redirect mode and jar,
                     ///< among those that say so; all get the one result
};

/// The headers of a `fetch_init`, given or not. An optional that is filled as `headers` are: `{{"Accept",
/// "text/html"}, {"A", "b"}}`. Empty braces give nothing; `headers{}` gives no headers.
class headers_init : public std::optional<dormouse::headers> {
public:
  using optional::optional;
  headers_init(std::initializer_list<dormouse::headers::field> list) : optional(std::in_place, list) {}
};

/// The retry policy of a `fetch_init`, member by member given or not. A `retry_policy` gives all of them.
struct retry_init {
  std::optional<std::uint32_t> max_retries = {};
  std::optional<std::chrono::milliseconds> initial_delay = {};
  std::optional<std::chrono::milliseconds> max_delay = {};
};

inline retry_policy::operator retry_init() const { return {max_retries, initial_delay, max_delay}; }

/// What is not given is what it is in the request that is fetched; of a URL, the default that is named here.
struct fetch_init {
  std::optional<std::string> method = {}; ///< default GET
  headers_init headers = {};              ///< default none; replaces all of a request's, nothing is merged
  dormouse::body body = {}; ///< default none; `body()` gives nothing, as null does in JavaScript
  std::optional<std::chrono::milliseconds> timeout =
      {}; ///< per attempt, 1 ms..24 h; default the option `default_timeout`
  std::optional<std::chrono::milliseconds> deadline =
      {}; ///< for the whole fetch from now, queueing and retries included, 1 ms..366 days; default none
  retry_init retry = {};                      ///< default `retry_policy{}`; up to 100 retries, delays 0..24 h
  std::optional<redirect_mode> redirect = {}; ///< default `follow`
  std::optional<std::string> idempotency_key =
      {}; ///< as `Idempotency-Key` on every try; makes any method repeatable (R9); default empty: none
  std::optional<fetch_priority> priority = {};     ///< default `normal`
  std::optional<dormouse::delivery> delivery = {}; ///< default `at_least_once`
  std::optional<dormouse::sharing> sharing = {};   ///< default `none`
  std::optional<std::chrono::milliseconds> delay =
      {}; ///< goes out that much later, 0..366 days; durable, costs nothing while it waits
  std::optional<std::chrono::system_clock::time_point> not_before =
      {}; ///< goes out then or later, at most 366 days ahead; with `delay`, at the later of the two
  std::optional<abort_signal> signal = {}; ///< ends the fetch with ABORTED; default none
  std::optional<std::string> queue = {};   ///< one of `options::queues`; default empty: the default one
};

class fetch_input;

class request {
public:
  /// A URL, or another request, with the members of `init` that are given in place of its own (WHATWG Fetch,
  /// Request constructor). A method is a token; DELETE, GET, HEAD, OPTIONS, POST and PUT are upper-cased;
  /// CONNECT, TRACE and TRACK are refused. GET and HEAD have no body. The body of an `init` brings its
  /// content type, unless there is a `Content-Type` already; from then on that is a header like others: it
  /// stays when another body is given and goes when other headers are.
  ///
  /// Throws `failure`: `invalid_url`, `blocked` (scheme), `invalid_request`, `invalid_header`.
  explicit request(fetch_input input, fetch_init init = {});

  /// As the constructor, without exceptions.
  static expected<request> make(fetch_input input, fetch_init init = {});

  const std::string& url() const noexcept {
    return url_;
  } ///< normalised, with its fragment; has no credentials
  const std::string& method() const noexcept { return method_; }
  const dormouse::headers& headers() const& noexcept { return headers_; }
  dormouse::headers headers() && noexcept { return std::move(headers_); }
  const dormouse::body& body() const& noexcept { return body_; }
  dormouse::body body() && noexcept { return std::move(body_); }
  std::optional<std::chrono::milliseconds> timeout() const noexcept { return timeout_; }
  std::optional<std::chrono::milliseconds> deadline() const noexcept { return deadline_; }
  const retry_policy& retry() const noexcept { return retry_; }
  redirect_mode redirect() const noexcept { return redirect_; }
  const std::string& idempotency_key() const noexcept { return idempotency_key_; }
  fetch_priority priority() const noexcept { return priority_; }
  dormouse::delivery delivery() const noexcept { return delivery_; }
  dormouse::sharing sharing() const noexcept { return sharing_; }
  std::chrono::milliseconds delay() const noexcept { return delay_; }
  std::optional<std::chrono::system_clock::time_point> not_before() const noexcept { return not_before_; }
  const abort_signal& signal() const noexcept { return signal_; }
  const std::string& queue() const noexcept { return queue_; }

  /// A copy, body included. There is no difference to copying it: a request's body is not used up.
  request clone() const { return *this; }

  friend bool operator==(const request&, const request&) = default;

private:
  request() = default;

  void take(fetch_init&& init);
  expected<void> check() const;

  std::string url_;
  std::string method_ = "GET";
  dormouse::headers headers_;
  dormouse::body body_;
  std::optional<std::chrono::milliseconds> timeout_;
  std::optional<std::chrono::milliseconds> deadline_;
  retry_policy retry_;
  redirect_mode redirect_ = redirect_mode::follow;
  std::string idempotency_key_;
  fetch_priority priority_ = fetch_priority::normal;
  dormouse::delivery delivery_ = dormouse::delivery::at_least_once;
  dormouse::sharing sharing_ = dormouse::sharing::none;
  std::chrono::milliseconds delay_{0};
  std::optional<std::chrono::system_clock::time_point> not_before_;
  abort_signal signal_;
  std::string queue_;
};

/// What fetch() takes first: a URL or a request.
class fetch_input {
public:
  fetch_input(const char* url) : what_(std::in_place_type<std::string>, url) {}
  fetch_input(std::string url) : what_(std::in_place_type<std::string>, std::move(url)) {}
  fetch_input(std::string_view url) : what_(std::in_place_type<std::string>, url) {}
  fetch_input(request what) : what_(std::in_place_type<request>, std::move(what)) {}

  /// As it was given: not checked, unless it is a request's.
  const std::string& url() const noexcept {
    const auto* made = as_request();
    return made != nullptr ? made->url() : std::get<std::string>(what_);
  }

  /// Null if it is a URL.
  const request* as_request() const noexcept { return std::get_if<request>(&what_); }

private:
  friend class request;

  std::variant<std::string, request> what_;
};

} // namespace dormouse
