#pragma once

/// The messages that outlive a process: a fetch in the queue, a result or a durable call in an object's
/// inbox. Each is one frame on disk. Times are milliseconds since the Unix epoch; durations are milliseconds.
///
/// What was added after the first version is an extension at the end, written only if it says something: old
/// rows are read as they are, and a plain message has the bytes it always had.

#include <dormouse/serialization/abort.hpp>
#include <dormouse/serialization/call_result.hpp>
#include <dormouse/serialization/fetch_result.hpp>
#include <dormouse/serialization/request.hpp>
#include <dormouse/serialization/return_path.hpp>
#include <dormouse/serialization/url.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace dormouse {

namespace detail {

template <class Archive, class Extension> void serialize_extension(Archive& ar, Extension& extra) {
  if constexpr (Archive::is_loading::value) {
    if (ar.remaining_bytes() != 0) ar(extra);
  } else if (!(extra == Extension{})) {
    ar(extra);
  }
}

} // namespace detail

/// A URL that was taken apart already, so that nobody has to do it again. Not part of a message's value:
/// neither stored nor compared.
struct known_url {
  std::shared_ptr<const url> value;

  friend bool operator==(const known_url&, const known_url&) noexcept { return true; }
};

inline constexpr std::uint8_t has_empty_body = 2; ///< of `fetch_message::body_is_blob`

/// A fetch, from the turn that asked until its result is stored.
struct fetch_message {
  std::uint64_t id = 0; ///< unique in the store for ever
  std::string method;
  std::string url;
  dormouse::headers headers;
  std::string body; ///< empty if the body is a blob
  std::uint64_t body_bytes = 0;
  std::uint8_t body_is_blob = 0; ///< 1: it is; `has_empty_body`: there is one, without a byte in it
  std::int64_t timeout_ms = 0;   ///< per attempt
  std::int64_t deadline_ms = 0;  ///< absolute; 0 is none
  retry_policy retry;
  redirect_mode redirect = redirect_mode::follow;
  std::string idempotency_key;
  fetch_priority priority = fetch_priority::normal;
  std::int64_t created_ms = 0;
  std::uint32_t attempts = 0; ///< finished attempts
  return_path path;

  struct extension {
    std::string queue;              ///< empty: the default one
    std::int64_t not_before_ms = 0; ///< 0: at once
    dormouse::delivery delivery = dormouse::delivery::at_least_once;
    dormouse::sharing sharing = dormouse::sharing::none;
    abort_signal signal;
    std::string jar; ///< whose cookies go along; empty: none

    friend bool operator==(const extension&, const extension&) = default;

    template <class Archive> void serialize(Archive& ar) {
      ar(queue, not_before_ms, delivery, sharing, signal, jar);
    }
  } extra = {};

  known_url target; ///< of `url`, where it is known

  /// When the fetch ends by itself: its deadline or its signal's time, whichever comes first; 0: never.
  std::int64_t end_ms() const noexcept;

  /// R9: whether a request that may have been received may go out once more (RFC 9110 section 9.2.2).
  bool is_repeatable() const noexcept;

  friend bool operator==(const fetch_message&, const fetch_message&) = default;

  template <class Archive> void serialize(Archive& ar) {
    ar(id, method, url, headers, body, body_bytes, body_is_blob, timeout_ms, deadline_ms, retry, redirect,
       idempotency_key, priority, created_ms, attempts, path);
    detail::serialize_extension(ar, extra);
  }
};

/// What was asked, kept with what came of it: for whoever looks at a dead letter, or watches.
struct request_summary {
  std::string method;
  std::string url;
  dormouse::headers headers;
  std::string body; ///< empty if it was large
  std::uint64_t body_bytes = 0;
  std::string queue;
  std::int64_t created_ms = 0;
  std::uint32_t attempts = 0;

  friend bool operator==(const request_summary&, const request_summary&) = default;

  template <class Archive> void serialize(Archive& ar) {
    ar(method, url, headers, body, body_bytes, queue, created_ms, attempts);
  }
};

/// A Set-Cookie field as it came.
struct received_cookie {
  std::string url; ///< of the response that had it
  std::string field;
  std::int64_t time_ms = 0;

  friend bool operator==(const received_cookie&, const received_cookie&) = default;

  template <class Archive> void serialize(Archive& ar) { ar(url, field, time_ms); }
};

/// A result on its way to the top of `path`.
struct result_message {
  std::uint64_t fetch_id = 0;
  return_path path;
  fetch_result result;
  std::uint8_t body_is_blob = 0; ///< the response's body is in the blob `fetch_id`

  struct extension {
    request_summary request;
    std::string jar;                      ///< of the object at the top of the path
    std::vector<received_cookie> cookies; ///< what the responses of all hops set, in order

    friend bool operator==(const extension&, const extension&) = default;

    template <class Archive> void serialize(Archive& ar) { ar(request, jar, cookies); }
  } extra = {};

  friend bool operator==(const result_message&, const result_message&) = default;

  template <class Archive> void serialize(Archive& ar) {
    ar(fetch_id, path, result, body_is_blob);
    detail::serialize_extension(ar, extra);
  }
};

/// A durable one-way call.
struct post_message {
  std::string method;
  std::string arguments;

  friend bool operator==(const post_message&, const post_message&) = default;

  template <class Archive> void serialize(Archive& ar) { ar(method, arguments); }
};

/// A call of one object to another, in the inbox of the one that is called.
struct call_message {
  std::uint64_t id = 0;
  address from;
  std::string method;
  std::string arguments;
  return_path path; ///< who gets the answer; empty: nobody

  friend bool operator==(const call_message&, const call_message&) = default;

  template <class Archive> void serialize(Archive& ar) { ar(id, from, method, arguments, path); }
};

/// The answer to a call on its way to the top of `path`.
struct reply_message {
  std::uint64_t id = 0;
  return_path path;
  call_result<std::string> answer; ///< the encoded result

  friend bool operator==(const reply_message&, const reply_message&) = default;

  template <class Archive> void serialize(Archive& ar) { ar(id, path, answer); }
};

} // namespace dormouse
