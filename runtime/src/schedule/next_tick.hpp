#pragma once

/// When a schedule is due again, and how long a tick that failed waits.

#include <dormouse/serialization/error.hpp>
#include <dormouse/serialization/schedule.hpp>

#include <chrono>
#include <cstdint>
#include <optional>

namespace dormouse {

/// A tick whose handler keeps throwing is tried once and then this often again.
inline constexpr std::size_t max_firing_retries = 6;

/// The tick behind the one that `what` is at: the next, or, if missed ones count once, the next that has not
/// passed. Nothing if there is none. Error: `invalid_request` for an expression or a zone that this system
/// does not know (any more).
expected<std::optional<std::int64_t>> next_tick(const schedule_message& what, std::int64_t now_ms);

/// Of a schedule that recurs and whose tick is further ahead than it can be, for the clock was set back: the
/// tick that is next now. Nothing if it is as it should be.
std::optional<std::int64_t> tick_of_the_present(const schedule_message& what, std::int64_t now_ms);

/// 2 s after the first failure, doubling to 64 s, each a quarter more or less. The same seed gives the same.
std::chrono::milliseconds firing_back_off(std::uint64_t seed, std::uint64_t number, std::size_t failures);

} // namespace dormouse
