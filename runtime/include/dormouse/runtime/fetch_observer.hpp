#pragma once

/// A hook into the life of each fetch, for metrics and traces. `runtime_stats` has the sums.
///
///   struct tracer : dormouse::fetch_observer {
///     void stored(const dormouse::fetch_event& e) override { histogram.record(e.since_queued); }
///   };
///   dormouse::runtime runtime({.directory = "d", .observer = std::make_shared<tracer>()});
///
/// Called on threads of the runtime, for one fetch in this order and never two at a time: queued, then
/// started and retried as often as it takes, then stored, then delivered or dropped: each that was queued
/// has one of these ends, perhaps in a later process. One that never went out is not
/// started: it was aborted or its time was over before, its circuit was open, its body or jar could not be
/// read, or it got the result of another one's request (`sharing::single_flight`). After a restart it goes on
/// with what the fetch had not reached: a fetch that was queued by an earlier process is not reported as
/// queued again. A call must be short and must not throw, block or call into the runtime.

#include <dormouse/runtime/stats.hpp>
#include <dormouse/serialization/address.hpp>
#include <dormouse/serialization/fetch_error.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

namespace dormouse {

/// Valid during the call.
struct fetch_event {
  std::uint64_t fetch_id = 0;
  const address& object;  ///< whom the result returns to
  std::string_view queue; ///< empty: the default one
  std::string_view method;
  std::string_view url;
  std::uint32_t attempts = 0;               ///< finished ones
  std::chrono::milliseconds since_queued{}; ///< on the wall clock
  std::chrono::microseconds
      attempt{}; ///< retried and stored: what the last attempt took, from being handed to a worker
  std::chrono::milliseconds delay{};    ///< retried: until the next attempt
  std::uint16_t status = 0;             ///< retried, stored and its end: of the response, 0 if there is none
  std::optional<fetch_errc> error = {}; ///< retried, stored and its end: why there is none
};

class fetch_observer {
public:
  virtual ~fetch_observer() = default;
  virtual void queued(const fetch_event&) {} ///< durable, by the commit of its turn
  virtual void started(const fetch_event&) {
  } ///< handed to a worker: not for one that shares the request of another, nor for one that is refused
  virtual void retried(const fetch_event&) {}   ///< an attempt failed, or was lost with its worker (then with
                                                ///< neither status nor error), and another will be made
  virtual void stored(const fetch_event&) {}    ///< its result is durable
  virtual void delivered(const fetch_event&) {} ///< the turn that handled the result is durable
  /// Instead of delivered: no handler has its result, and that is durable. Its object was destroyed, or the
  /// result is a dead letter; retried from there it may be delivered still. Of a row that is damaged on disk
  /// nothing is told.
  virtual void dropped(const fetch_event&) {}
  virtual void turn_stuck(const stuck_turn&) {} ///< of no fetch: a turn has passed `options::max_turn` (R23);
                                                ///< once for each, from a thread that watches
};

} // namespace dormouse
