#pragma once

/// What the n-th fetch of an object asks for: a function of the two, so that the child that asks, the child
/// that finishes after a crash and the test that judges all know it, and nothing has to be written down. Each
/// fetch has a key of its own at the upstream.

#include "upstream/sample_content.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace dormouse::test {

enum class fetch_kind : std::uint8_t {
  get,        ///< the answer says which hit of the key it answers
  large_get,  ///< the response is kept as a blob
  flaky_get,  ///< the first hit is answered with 503: it is retried
  keyed_post, ///< may be repeated, for it has an idempotency key; its body is a blob
  post,       ///< must never be repeated (R9)
  once_get,   ///< nor must this, for it is `at_most_once`
};

inline constexpr std::size_t small_message_bytes =
    1024; ///< `max_inline_bytes` of the child: what is larger is a blob
inline constexpr std::uint64_t large_body_bytes = 3000;

struct fetch_plan {
  fetch_kind kind;
  std::string key;
  std::string target; ///< behind the upstream's URL

  bool repeatable() const noexcept { return kind != fetch_kind::post && kind != fetch_kind::once_get; }
};

inline std::string key_of(std::string_view object, std::uint64_t sequence) {
  return std::string(object) + "-" + std::to_string(sequence);
}

inline fetch_plan plan_fetch(std::string_view object, std::uint64_t sequence) {
  fetch_plan plan{fetch_kind::get, key_of(object, sequence), {}};
  const auto mixed = samples::value_of(plan.key); // as good as random, and the same on every machine
  constexpr fetch_kind kinds[] = {fetch_kind::get,       fetch_kind::get,       fetch_kind::once_get,
                                  fetch_kind::large_get, fetch_kind::flaky_get, fetch_kind::keyed_post,
                                  fetch_kind::post,      fetch_kind::post};
  plan.kind = kinds[mixed % 8];
  plan.target = "/k/" + plan.key + "?delay_ms=" + std::to_string((mixed >> 8U) % 31);
  if (plan.kind == fetch_kind::large_get) plan.target += "&bytes=" + std::to_string(large_body_bytes);
  if (plan.kind == fetch_kind::flaky_get) plan.target += "&fail_first=1";
  return plan;
}

} // namespace dormouse::test
