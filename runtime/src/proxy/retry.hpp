#pragma once

/// R9 and R11: whether a finished attempt is repeated, and when.

#include "ports/http_transport.hpp"

#include <chrono>
#include <optional>
#include <random>

namespace dormouse {

/// The back-off before the next attempt, or nothing if `outcome` is final. `fetch.attempts` counts the
/// attempts so far, this one included. Exponential with full jitter: uniform in [0, min(max_delay,
/// initial_delay * 2^(attempts-1))], or what `Retry-After` asks for if that is longer. Nothing is repeated
/// that may have been received unless it is repeatable, nor anything whose next attempt would begin after its
/// deadline.
std::optional<std::chrono::milliseconds> retry_delay(const fetch_message& fetch,
                                                     const transfer_outcome& outcome, std::int64_t now_ms,
                                                     std::mt19937_64& random);

/// RFC 9110 section 5.6.7 and 10.2.3: seconds, or a date. At most 366 days.
std::optional<std::chrono::milliseconds> parse_retry_after(const std::string& value, std::int64_t now_ms);

} // namespace dormouse
