#pragma once

/// Whether attempts to an origin may go out now: its circuit breaker, on top of the ready queue that knows
/// its places and its rate. An origin whose breaker is closed and without failures is not in here.

#include "proxy/circuit_breaker.hpp"
#include "proxy/origin_book.hpp"
#include "proxy/ready_queue.hpp"

#include <dormouse/runtime/options.hpp>

#include <string>
#include <unordered_map>

namespace dormouse {

/// What the options say of an origin.
inline origin_options options_of(const options& settings, const std::string& origin) {
  if (auto own = settings.origins.find(origin); own != settings.origins.end()) return own->second;
  return {settings.max_in_flight_per_origin, settings.rate_per_origin, settings.circuit_breaker};
}

class origin_gates {
public:
  enum class verdict : std::uint8_t { go, refuse, wait };

  origin_gates(const options& settings, ready_queue& ready, origin_book& book)
      : settings_(settings), ready_(ready), book_(book) {}

  /// Asked for a fetch that was taken from the ready queue. `wait`: it goes back there and is held.
  verdict admit(const std::string& origin, std::int64_t now_ms) {
    auto found = circuits_.find(origin);
    if (found == circuits_.end() || found->second.admit(now_ms)) {
      if (found != circuits_.end()) note(origin, found->second);
      return verdict::go;
    }
    if (options_of(settings_, origin).circuit.then == open_circuit::fail) {
      book_.note(origin, [](origin_stats& of) { ++of.rejected; });
      return verdict::refuse;
    }
    hold(origin, found->second, now_ms);
    return verdict::wait;
  }

  void failed(const std::string& origin, std::int64_t now_ms) {
    const auto circuit = options_of(settings_, origin).circuit;
    if (circuit.failures == 0) return;
    auto& breaker = circuits_.try_emplace(origin, circuit.failures, circuit.open_for.count()).first->second;
    if (breaker.failed(now_ms) && circuit.then == open_circuit::wait) hold(origin, breaker, now_ms);
    note(origin, breaker);
  }

  void succeeded(const std::string& origin, std::int64_t now_ms) {
    auto found = circuits_.find(origin);
    if (found == circuits_.end()) return;
    const bool was_closed = found->second.state() == circuit_state::closed;
    found->second.succeeded();
    note(origin, found->second);
    circuits_.erase(found);
    if (was_closed) return;
    ready_.narrow(origin, std::nullopt, now_ms);
    ready_.hold(origin, 0, now_ms);
  }

  /// An attempt that says nothing of the origin's health.
  void abandoned(const std::string& origin, std::int64_t now_ms) {
    auto found = circuits_.find(origin);
    if (found == circuits_.end()) return;
    found->second.abandoned();
    if (found->second.state() == circuit_state::half_open) ready_.hold(origin, 0, now_ms);
  }

private:
  /// Until the probe may go, and then for one at a time.
  void hold(const std::string& origin, const circuit_breaker& breaker, std::int64_t now_ms) {
    ready_.narrow(origin, 1, now_ms);
    ready_.hold(origin,
                breaker.state() == circuit_state::half_open ? ready_queue::until_told
                                                            : breaker.open_until_ms(),
                now_ms);
  }

  void note(const std::string& origin, const circuit_breaker& breaker) {
    book_.note(origin, [state = breaker.state()](origin_stats& of) { of.circuit = state; });
  }

  const options& settings_;
  ready_queue& ready_;
  origin_book& book_;
  std::unordered_map<std::string, circuit_breaker> circuits_;
};

} // namespace dormouse
