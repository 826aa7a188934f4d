#include "proxy/retry.hpp"

#include <curl/curl.h>

#include <algorithm>
#include <charconv>

namespace dormouse {

using std::chrono::milliseconds;

std::optional<milliseconds> retry_delay(const fetch_message& fetch, const transfer_outcome& outcome,
                                        std::int64_t now_ms, std::mt19937_64& random) {
  if (!outcome.retryable || fetch.attempts > fetch.retry.max_retries) return std::nullopt;
  const bool received = outcome.result.has_value() || outcome.result.error().sent != sent_state::no;
  if (received && !fetch.is_repeatable()) return std::nullopt;
  const auto doublings = std::min<std::uint32_t>(fetch.attempts > 0 ? fetch.attempts - 1 : 0, 30);
  const auto most = std::min<std::int64_t>(fetch.retry.max_delay.count(), fetch.retry.initial_delay.count() *
                                                                              (std::int64_t{1} << doublings));
  milliseconds delay{std::uniform_int_distribution<std::int64_t>(0, std::max<std::int64_t>(most, 0))(random)};
  if (outcome.retry_after)
    delay = std::max(delay, std::min(*outcome.retry_after, fetch.retry.max_delay * 10));
  if (const auto end = fetch.end_ms(); end != 0 && now_ms + delay.count() >= end) return std::nullopt;
  return delay;
}

std::optional<milliseconds> parse_retry_after(const std::string& value, std::int64_t now_ms) {
  constexpr std::int64_t longest_s = 366 * 86'400;
  std::int64_t seconds = 0;
  auto [end, code] = std::from_chars(value.data(), value.data() + value.size(), seconds);
  if (code == std::errc{} && end == value.data() + value.size() && seconds >= 0)
    return milliseconds(std::min(seconds, longest_s) * 1000);
  // In seconds as long as it can be any time: libcurl takes years up to 2147483647.
  if (auto when = curl_getdate(value.c_str(), nullptr); when >= 0)
    return milliseconds(
        std::max<std::int64_t>(0, std::min(std::int64_t{when}, now_ms / 1000 + longest_s) * 1000 - now_ms));
  return std::nullopt;
}

} // namespace dormouse
