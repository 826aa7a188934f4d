#pragma once

/// A test upstream: an HTTP/1.1 server on loopback whose every answer is scripted
/// by the request itself, and which counts what really reached it.
///
/// One thread serves all connections. The server listens when `start()` returns,
/// so a test can connect at once; the counters can be read from any thread and
/// stay readable after `stop()`. `start()` after `stop()` comes back on the same
/// port, which is how a test lets an upstream go down and recover.
///
///     upstream_server upstream;
///     upstream.start();
///     get(upstream.url() + "/k/a?delay_ms=50");
///     assert(upstream.hits("a") == 1);
///
/// The endpoints are described in README.md.

#include "upstream/traffic_counters.hpp"
#include "upstream/upstream_options.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace dormouse::samples {

class applications;

class upstream_server {
public:
  explicit upstream_server(upstream_options options = {});
  ~upstream_server();

  upstream_server(const upstream_server&) = delete;
  upstream_server& operator=(const upstream_server&) = delete;

  /// `start` and `stop` belong to the thread that owns the server. `start`
  /// throws std::runtime_error when the port cannot be had; `stop` cuts off
  /// every connection, and does nothing when there is nothing to stop.
  void start();
  void stop() noexcept;

  /// 0 before the first start.
  [[nodiscard]] std::uint16_t port() const noexcept;
  /// http://127.0.0.1:PORT, without a slash at the end.
  [[nodiscard]] std::string url() const;

  [[nodiscard]] std::uint64_t hits(std::string_view key) const;
  [[nodiscard]] std::uint64_t answered(std::string_view key) const;
  [[nodiscard]] std::uint64_t total() const;
  [[nodiscard]] traffic_counters::idempotency_counts idempotency(std::string_view key) const;
  [[nodiscard]] traffic_summary summary() const;
  void reset_counters();

private:
  class service;

  upstream_options options_;
  traffic_counters counters_;            ///< outlives the service, whose connections report to it
  std::unique_ptr<applications> behind_; ///< the same
  std::uint16_t port_ = 0;
  std::unique_ptr<service> service_;
};

} // namespace dormouse::samples
