#pragma once

/// A callable with fetch's shape, bound to a queue and to the object its results return to: `fetch(...)` in an object is one
/// with the object's own address and the default queue.
///
///   auto slow_fetch = dormouse::create_proxy_fetch(queue(), {.return_address = self_address(), .timeout = 5min});
///   slow_fetch("https://example.com/report").then<&T::on_report>();

#include <dormouse/actors/object_host.hpp>
#include <dormouse/actors/pending.hpp>
#include <dormouse/serialization/request.hpp>

#include <chrono>
#include <optional>

namespace dormouse {

struct proxy_fetch_config {
  address return_address;
  std::optional<std::chrono::milliseconds> timeout = {}; ///< for fetches that name none; else the queue's `default_timeout`
};

class proxy_fetch {
public:
  proxy_fetch(fetch_queue& queue, proxy_fetch_config config) : queue_(queue), config_(std::move(config)) {}

  /// Throws `failure`: `invalid_url`, `blocked` (scheme), `invalid_request`, `invalid_header`, before anything is queued. With
  /// a `request`, an `init` that is given replaces the request's own as a whole. (Overloads and not a default: only they tell
  /// an `init` that was given from none, and take `{.method = "POST"}`.)
  pending operator()(const fetch_input& input) const;
  pending operator()(const fetch_input& input, fetch_init init) const;

private:
  fetch_queue& queue_;
  proxy_fetch_config config_;
};

/// `queue` outlives the result; inside a turn, that is this turn.
proxy_fetch create_proxy_fetch(fetch_queue& queue, proxy_fetch_config config);

/// Checks and normalises what the caller wrote into a message without id and return path: method (RFC 9110 token; the six of WHATWG
/// Fetch upper-cased; CONNECT, TRACE, TRACK refused), URL, body (none on GET and HEAD), content type, timeouts and retry limits.
expected<fetch_message> make_fetch_message(const std::string& url, fetch_init init, std::chrono::milliseconds default_timeout,
                                           std::chrono::system_clock::time_point now);

} // namespace dormouse
