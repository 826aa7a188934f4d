#pragma once

/// The messages that outlive a process: a fetch in the queue, a result or a durable call in an object's inbox.
/// Each is one frame on disk. Times are milliseconds since the Unix epoch; durations are milliseconds.

#include <dormouse/serialization/fetch_result.hpp>
#include <dormouse/serialization/request.hpp>
#include <dormouse/serialization/return_path.hpp>

#include <cstdint>
#include <string>

namespace dormouse {

/// A fetch, from the turn that asked until its result is stored.
struct fetch_message {
  std::uint64_t id = 0; ///< unique in the store for ever
  std::string method;
  std::string url;
  dormouse::headers headers;
  std::string body;            ///< empty if the body is a blob
  std::uint64_t body_bytes = 0;
  std::uint8_t body_is_blob = 0;
  std::int64_t timeout_ms = 0; ///< per attempt
  std::int64_t deadline_ms = 0; ///< absolute; 0 is none
  retry_policy retry;
  redirect_mode redirect = redirect_mode::follow;
  std::string idempotency_key;
  fetch_priority priority = fetch_priority::normal;
  std::int64_t created_ms = 0;
  std::uint32_t attempts = 0; ///< finished attempts
  return_path path;

  /// R9: whether a request that may have been received may go out once more (RFC 9110 section 9.2.2).
  bool is_repeatable() const noexcept;

  friend bool operator==(const fetch_message&, const fetch_message&) = default;

  template <class Archive>
  void serialize(Archive& ar) {
    ar(id, method, url, headers, body, body_bytes, body_is_blob, timeout_ms, deadline_ms, retry, redirect, idempotency_key, priority,
       created_ms, attempts, path);
  }
};

/// A result on its way to the top of `path`.
struct result_message {
  std::uint64_t fetch_id = 0;
  return_path path;
  fetch_result result;
  std::uint8_t body_is_blob = 0; ///< the response's body is in the blob `fetch_id`

  friend bool operator==(const result_message&, const result_message&) = default;

  template <class Archive>
  void serialize(Archive& ar) {
    ar(fetch_id, path, result, body_is_blob);
  }
};

/// A durable one-way call.
struct post_message {
  std::string method;
  std::string arguments;

  friend bool operator==(const post_message&, const post_message&) = default;

  template <class Archive>
  void serialize(Archive& ar) {
    ar(method, arguments);
  }
};

} // namespace dormouse
