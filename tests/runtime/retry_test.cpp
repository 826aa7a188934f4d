#include "proxy/retry.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <random>
#include <string>

namespace dormouse::test::retry_test {

using namespace std::chrono_literals;
using std::chrono::milliseconds;

namespace {

constexpr std::int64_t now_ms = 1'700'000'000'000;

fetch_message get_after(std::uint32_t attempts) {
  fetch_message fetch;
  fetch.method = "GET";
  fetch.attempts = attempts;
  fetch.retry = {.max_retries = 100, .initial_delay = 500ms, .max_delay = 30s};
  return fetch;
}

transfer_outcome lost(sent_state sent) {
  return {1, unexpected<fetch_error>(fetch_error{fetch_errc::network_error, "lost", sent, 0}), true,
          std::nullopt};
}

transfer_outcome answered(std::uint16_t status, std::optional<milliseconds> retry_after = std::nullopt) {
  return {1, response(status, {}, {}), true, retry_after};
}

struct spread {
  milliseconds least = milliseconds::max();
  milliseconds most = milliseconds::min();
};

spread delays(const fetch_message& fetch, const transfer_outcome& outcome) {
  std::mt19937_64 random(1);
  spread seen;
  for (int i = 0; i < 20'000; ++i) {
    const auto delay = retry_delay(fetch, outcome, now_ms, random);
    REQUIRE(delay);
    seen.least = std::min(seen.least, *delay);
    seen.most = std::max(seen.most, *delay);
  }
  return seen;
}

bool is_repeated(const fetch_message& fetch, const transfer_outcome& outcome) {
  std::mt19937_64 random(1);
  return retry_delay(fetch, outcome, now_ms, random).has_value();
}

} // namespace

TEST_CASE("R11: back-off is exponential with full jitter, and bounded") {
  struct {
    std::uint32_t attempts;
    milliseconds bound;
  } const table[] = {{1, 500ms}, {2, 1s}, {3, 2s}, {6, 16s}, {7, 30s}, {8, 30s}, {64, 30s}, {100, 30s}};
  for (const auto& row : table) {
    CAPTURE(row.attempts);
    const auto seen = delays(get_after(row.attempts), lost(sent_state::no));
    CHECK(seen.least >= 0ms);
    CHECK(seen.least < row.bound / 20);
    CHECK(seen.most <= row.bound);
    CHECK(seen.most > row.bound - row.bound / 20);
  }
}

TEST_CASE("R11: the longest delays there may be do not overflow") {
  auto fetch = get_after(100);
  fetch.retry.initial_delay = 24h;
  fetch.retry.max_delay = 24h;
  CHECK(delays(fetch, lost(sent_state::no)).most <= 24h);
  fetch.retry.initial_delay = 0ms;
  CHECK(delays(fetch, lost(sent_state::no)).most == 0ms);
  fetch.retry = {.max_retries = 100, .initial_delay = 1s, .max_delay = 0ms};
  CHECK(delays(fetch, lost(sent_state::no)).most == 0ms);
}

TEST_CASE("R11: the same seed gives the same delays") {
  std::mt19937_64 one(7);
  std::mt19937_64 other(7);
  for (std::uint32_t attempts = 1; attempts < 20; ++attempts)
    CHECK(retry_delay(get_after(attempts), lost(sent_state::no), now_ms, one) ==
          retry_delay(get_after(attempts), lost(sent_state::no), now_ms, other));
}

TEST_CASE("R11: Retry-After is honoured when it asks for longer, up to ten times max_delay") {
  CHECK(delays(get_after(1), answered(503, 5s)).least == 5s);
  CHECK(delays(get_after(1), answered(503, 5s)).most == 5s);
  CHECK(delays(get_after(1), answered(503, 299s)).least == 299s);
  CHECK(delays(get_after(1), answered(503, 24h)).most == 300s);
  const auto seen =
      delays(get_after(1), answered(503, 100ms)); // shorter than some of the jitter: the longer of the two
  CHECK(seen.least == 100ms);
  CHECK(seen.most > 450ms);
}

TEST_CASE("R11: retries are counted, and none are left after max_retries") {
  auto fetch = get_after(1);
  fetch.retry.max_retries = 0;
  CHECK_FALSE(is_repeated(fetch, lost(sent_state::no)));
  fetch.retry.max_retries = 3;
  for (std::uint32_t attempts = 1; attempts <= 3; ++attempts) {
    fetch.attempts = attempts;
    CHECK(is_repeated(fetch, lost(sent_state::no)));
  }
  fetch.attempts = 4;
  CHECK_FALSE(is_repeated(fetch, lost(sent_state::no)));
}

TEST_CASE("R11: what is not retryable by its kind is not repeated") {
  auto outcome = lost(sent_state::no);
  outcome.retryable = false;
  CHECK_FALSE(is_repeated(get_after(1), outcome));
}

TEST_CASE("R9: what may have been received is repeated only if it is safe to") {
  auto fetch = get_after(1);
  for (const std::string method : {"GET", "HEAD", "OPTIONS", "PUT", "DELETE"}) {
    CAPTURE(method);
    fetch.method = method;
    CHECK(is_repeated(fetch, lost(sent_state::maybe)));
    CHECK(is_repeated(fetch, lost(sent_state::yes)));
    CHECK(is_repeated(fetch, answered(503)));
  }
  for (const std::string method : {"POST", "PATCH", "PROPFIND"}) {
    CAPTURE(method);
    fetch.method = method;
    CHECK(is_repeated(fetch, lost(sent_state::no)));
    CHECK_FALSE(is_repeated(fetch, lost(sent_state::maybe)));
    CHECK_FALSE(is_repeated(fetch, lost(sent_state::yes)));
    CHECK_FALSE(is_repeated(fetch, answered(503)));
    fetch.idempotency_key = "order-1";
    CHECK(is_repeated(fetch, lost(sent_state::maybe)));
    CHECK(is_repeated(fetch, lost(sent_state::yes)));
    CHECK(is_repeated(fetch, answered(503)));
    fetch.idempotency_key.clear();
  }
}

TEST_CASE("R10: nothing is repeated whose next attempt would begin after the deadline") {
  auto fetch = get_after(1);
  fetch.deadline_ms = now_ms + 5000;
  CHECK(is_repeated(fetch, answered(503, 4999ms)));
  CHECK_FALSE(is_repeated(fetch, answered(503, 5000ms)));
  CHECK_FALSE(is_repeated(fetch, answered(503, 1h)));
  fetch.deadline_ms = now_ms - 1;
  CHECK_FALSE(is_repeated(fetch, lost(sent_state::no)));
}

TEST_CASE("R11: Retry-After is seconds or a date of RFC 9110") {
  CHECK(parse_retry_after("0", now_ms) == 0ms);
  CHECK(parse_retry_after("120", now_ms) == 120s);
  CHECK(parse_retry_after("9223372036854775807", now_ms) ==
        std::chrono::days(366));                                            // bounded, not overflowed
  CHECK(parse_retry_after("Tue, 14 Nov 2023 22:13:30 GMT", now_ms) == 10s); // now is 22:13:20
  CHECK(parse_retry_after("Tuesday, 14-Nov-23 22:13:30 GMT", now_ms) == 10s);
  CHECK(parse_retry_after("Tue, 14 Nov 2023 22:13:00 GMT", now_ms) == 0ms); // past: at once
  CHECK(parse_retry_after("Fri, 31 Dec 2147483647 23:59:59 GMT", now_ms) ==
        std::chrono::days(366)); // bounded too
  for (const std::string nonsense : {"", "-5", "soon", "12 apples", "99999999999999999999"}) {
    CAPTURE(nonsense);
    CHECK_FALSE(parse_retry_after(nonsense, now_ms));
  }
}

} // namespace dormouse::test::retry_test
