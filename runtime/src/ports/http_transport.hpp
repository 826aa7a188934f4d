#pragma once

/// Port: one worker's way to the network. It lives on the worker's thread and event loop; all calls and all completions happen there.

#include <dormouse/serialization/fetch_result.hpp>
#include <dormouse/serialization/messages.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace dormouse {

/// One attempt to carry out. `token` names the attempt, not the fetch: a second attempt has another.
struct transfer {
  std::uint64_t token = 0;
  std::shared_ptr<const fetch_message> fetch; ///< with its body
  std::chrono::milliseconds timeout{};        ///< of this attempt, redirects included
};

struct transfer_outcome {
  std::uint64_t token = 0;
  fetch_result result;
  bool retryable = false; ///< by its kind: connect error, timeout, lost connection, 408/429/502/503/504 (R11)
  std::optional<std::chrono::milliseconds> retry_after; ///< what the response asked for
};

class http_transport {
public:
  using completion = std::function<void(transfer_outcome&&)>;

  virtual ~http_transport() = default;

  /// Begins an attempt; `done` is called exactly once, later, unless the transport is destroyed first.
  virtual void start(transfer next, completion done) = 0;
};

} // namespace dormouse
