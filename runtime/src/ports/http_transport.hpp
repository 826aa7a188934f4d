#pragma once

/// Port: one worker's way to the network. It lives on the worker's thread and event loop; all calls and all
/// completions happen there.

#include "store/blob_file.hpp"

#include <dormouse/serialization/fetch_result.hpp>
#include <dormouse/serialization/messages.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace dormouse {

/// A cookie jar as it is stored; empty bytes: an empty one. Attempts that take the same one share it.
struct stored_jar {
  std::string bytes;
};

/// One attempt to carry out. `token` names the attempt, not the fetch: a second attempt has another.
struct transfer {
  std::uint64_t token = 0;
  std::shared_ptr<const fetch_message> fetch; ///< with its body, if that is not in a file
  std::chrono::milliseconds timeout{};        ///< of this attempt, redirects included
  std::optional<blob_ref> body_file;          ///< the request's body, to be streamed
  std::shared_ptr<const stored_jar> jar;      ///< the cookies that go along; null: none
};

struct transfer_outcome {
  std::uint64_t token = 0;
  fetch_result result;
  bool retryable = false; ///< by its kind: connect error, timeout, lost connection, 408/429/502/503/504 (R11)
  std::optional<std::chrono::milliseconds> retry_after; ///< what the response asked for
  std::vector<received_cookie> cookies = {}; ///< that the responses of all hops set, if a jar went along
  blob_writer_ptr body = nullptr; ///< of a response over `max_inline_bytes`, which is then not in `result`:
                                  ///< written, not synced. Dropped, its file is removed
};

class http_transport {
public:
  using completion = std::function<void(transfer_outcome&&)>;

  virtual ~http_transport() = default;

  /// Begins an attempt; `done` is called exactly once, later, unless the transport is destroyed first.
  virtual void start(transfer next, completion done) = 0;

  /// Ends an attempt whose outcome nobody wants any more; `done` is not called for it. One that has ended
  /// already is no error.
  virtual void cancel(std::uint64_t token) = 0;
};

} // namespace dormouse
