#pragma once

/// What to fetch, and how. A `fetch_init` is fetch()'s second argument: aggregate, so that
/// `fetch(url, {.method = "POST", .body = "...", .timeout = 5s})` reads as in JavaScript.

#include <dormouse/serialization/body.hpp>
#include <dormouse/serialization/headers.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace dormouse {

enum class redirect_mode : std::uint8_t {
  follow = 0, ///< up to `max_redirects` hops, each checked by the URL policy
  manual = 1, ///< the 3xx response is the result
  error = 2,  ///< a redirect is a NETWORK_ERROR
};

inline constexpr std::uint32_t max_redirects = 20; ///< WHATWG Fetch 4.4, HTTP-redirect fetch

/// R11: exponential back-off with full jitter; `Retry-After` is honoured when it asks for longer.
struct retry_policy {
  std::uint32_t max_retries = 3;                ///< attempts beyond the first; 0..100
  std::chrono::milliseconds initial_delay{500}; ///< upper bound of the first back-off
  std::chrono::milliseconds max_delay{30'000};  ///< upper bound of any back-off; `Retry-After` may ask for up to ten times this

  friend bool operator==(const retry_policy&, const retry_policy&) = default;

  template <class Archive>
  void serialize(Archive& ar) {
    ar(max_retries, initial_delay, max_delay);
  }
};

enum class fetch_priority : std::uint8_t { high = 0, normal = 1, low = 2 };

struct fetch_init {
  std::string method = "GET";
  dormouse::headers headers = {};
  dormouse::body body = {};
  std::optional<std::chrono::milliseconds> timeout = {}; ///< per attempt, 1 ms..24 h; the option `default_timeout` if not given
  std::optional<std::chrono::milliseconds> deadline = {}; ///< for the whole fetch from now, queueing and retries included; none if not given
  retry_policy retry = {};
  redirect_mode redirect = redirect_mode::follow;
  std::string idempotency_key = {}; ///< sent as `Idempotency-Key`, the same on every retry; makes any method repeatable (R9)
  fetch_priority priority = fetch_priority::normal;
};

/// A URL with its settings: what can be built once and fetched many times.
struct request {
  std::string url;
  fetch_init init = {};
};

/// What fetch() takes first: a URL or a request.
class fetch_input {
public:
  fetch_input(const char* url) : url_(url) {}
  fetch_input(std::string url) : url_(std::move(url)) {}
  fetch_input(std::string_view url) : url_(url) {}
  fetch_input(request what) : url_(std::move(what.url)), init_(std::move(what.init)) {}

  const std::string& url() const noexcept { return url_; }

  /// The request's own settings, if it was one.
  const std::optional<fetch_init>& init() const noexcept { return init_; }

private:
  std::string url_;
  std::optional<fetch_init> init_;
};

} // namespace dormouse
