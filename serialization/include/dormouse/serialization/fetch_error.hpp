#pragma once

/// Why a fetch has no response, and how much of it may have been seen by the other side (R9, R14).

#include <cstdint>
#include <string>
#include <string_view>

namespace dormouse {

/// Stable numbers (they are on disk) and stable names (`to_string`, e.g. `"TIMEOUT"`). Append only.
enum class fetch_errc : std::uint8_t {
  timeout = 1, ///< the attempt's timeout or the overall deadline passed
  fetch_failed =
      2, ///< the outcome is unknown and the request must not be repeated, or the answer is not HTTP
  network_error = 3, ///< no connection, no such host, TLS failure, connection lost
  queue_error = 4,   ///< the queue could not keep the fetch, or the body of its response
  aborted = 5,       ///< the caller gave up
  blocked = 6,       ///< the URL policy refuses the target or a redirect hop (R13)
  too_large = 7,     ///< the response is over a limit (R12)
  circuit_open = 8,  ///< the origin's circuit breaker is open
};

std::string_view to_string(fetch_errc code) noexcept;

/// Whether the request reached the other side. Stable numbers.
enum class sent_state : std::uint8_t {
  no = 0,    ///< certainly not: it never left, or no connection was made
  maybe = 1, ///< bytes went out and nothing came back, or the process died while it was going out
  yes = 2,   ///< an answer began to arrive
};

std::string_view to_string(sent_state sent) noexcept;

struct fetch_error {
  fetch_errc code{};
  std::string message; ///< for people, not stable: names the request's origin or the limit, and the option to
                       ///< change; never a header or a body
  sent_state sent = sent_state::no;
  std::uint32_t attempts = 0; ///< how many times the request was tried

  friend bool operator==(const fetch_error&, const fetch_error&) = default;

  template <class Archive> void serialize(Archive& ar) { ar(code, message, sent, attempts); }
};

} // namespace dormouse
