#pragma once

/// The small interface that objects need from whoever runs them; the runtime implements it.
///
/// A `fetch_queue` takes fetches. A `turn_host` is one turn of one object: the fetches it takes become real only if the turn commits (R3).

#include <dormouse/serialization/address.hpp>
#include <dormouse/serialization/messages.hpp>

#include <chrono>
#include <cstddef>

namespace dormouse {

class fetch_queue {
public:
  virtual ~fetch_queue() = default;

  /// Takes a fetch that has its return path. The value tells its place among the turn's fetches.
  /// Errors name the limit and the option to change: `blocked`, `too_large`, `queue_full`, `invalid_request`.
  /// In a turn nothing is durable before the turn's commit; outside of one the fetch is durable on return.
  virtual expected<std::size_t> enqueue(fetch_message&& fetch) = 0;

  /// Used by a fetch that names no timeout.
  virtual std::chrono::milliseconds default_timeout() const = 0;

  /// The runtime's clock.
  virtual std::chrono::system_clock::time_point now() const = 0;
};

class turn_host : public fetch_queue {
public:
  virtual const address& self() const = 0;

  /// Asks for hibernation as soon as the object is idle, without waiting for `idle_after`.
  virtual void hibernate() = 0;
};

} // namespace dormouse
