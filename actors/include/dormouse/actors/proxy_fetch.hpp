#pragma once

/// A callable with fetch's shape, bound to a queue and to the object its results return to: `fetch(...)` in
/// an object is one with the object's own address and the default queue.
///
///   auto slow_fetch = dormouse::create_proxy_fetch(queue(), {.return_address = self_address(), .timeout =
///   5min}); slow_fetch("https://example.com/report").then<&T::on_report>();

#include <dormouse/actors/object_host.hpp>
#include <dormouse/actors/pending.hpp>
#include <dormouse/serialization/request.hpp>

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace dormouse {

inline constexpr std::size_t max_jar_name_bytes = 64;

/// Error: `invalid_request` if a cookie jar cannot be named so: a name is 1..64 bytes of UTF-8.
expected<void> check_jar_name(std::string_view name);

struct proxy_fetch_config {
  address return_address;
  std::optional<std::chrono::milliseconds> timeout =
      {};                 ///< for fetches that name none; else the queue's `default_timeout`
  std::string queue = {}; ///< for fetches that name none: one of `options::queues`; empty: the default one
  std::string jar = {}; ///< the cookie jar of `return_address` that goes along, 1..64 bytes of UTF-8; empty:
                        ///< none. See browser.hpp
};

class proxy_fetch {
public:
  /// Throws `failure{invalid_request}` for a jar that cannot be named so.
  proxy_fetch(fetch_queue& queue, proxy_fetch_config config);

  /// Throws `failure`: `invalid_url`, `blocked` (scheme), `invalid_request`, `invalid_header`, before
  /// anything is queued. With a `request`, what `init` gives takes the place of the request's own and the
  /// rest is kept, as in `request(input, init)`.
  pending operator()(fetch_input input, fetch_init init = {}) const;

  fetch_queue& queue() const noexcept { return queue_; }
  const proxy_fetch_config& config() const noexcept { return config_; }

private:
  fetch_queue& queue_;
  proxy_fetch_config config_;
};

/// `queue` outlives the result; inside a turn, that is this turn. Throws `failure{invalid_request}` for a jar
/// that cannot be named so.
proxy_fetch create_proxy_fetch(fetch_queue& queue, proxy_fetch_config config);

/// What the caller wrote as a message without id and return path: checked and normalised as a `request` is,
/// with the same errors. `default_timeout` is for a fetch that names none, and has the same bounds.
expected<fetch_message> make_fetch_message(fetch_input input, fetch_init init,
                                           std::chrono::milliseconds default_timeout,
                                           std::chrono::system_clock::time_point now);

} // namespace dormouse
