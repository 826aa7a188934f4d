#pragma once

/// A proxy worker: one actor with its own thread and event loop. Its mailbox is the loop: a message wakes it,
/// and what it finishes goes to the dispatcher in batches.
///
/// The worker holds a short lease that it renews from its loop while it lives, however long its fetches take
/// (R10). Whoever sees the lease run out revokes it: what the worker says after that is not believed.

#include "host/actor_messages.hpp"

#include <caf/actor.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>

namespace dormouse {

struct runtime_core;
class worker_loop;

class proxy_worker {
public:
  /// Starts the thread, if there can be one. `generation` tells this worker from those that had its index
  /// before.
  proxy_worker(runtime_core& core, std::size_t index, std::uint64_t generation);

  /// None: it has been silent for ever.
  proxy_worker() = default;
  proxy_worker(proxy_worker&&) noexcept = default;
  proxy_worker& operator=(proxy_worker&&) noexcept = default;
  ~proxy_worker();

  /// False if no thread could be made: it never renews its lease, and does nothing.
  bool is_started() const noexcept { return is_started_; }

  const caf::actor& mailbox() const noexcept { return mailbox_; }
  std::uint64_t generation() const noexcept { return generation_; }

  /// Since it last renewed its lease.
  std::chrono::nanoseconds silent_for() const noexcept;

  /// It is told to stop; nobody waits for it.
  void revoke() noexcept;

  /// Revokes it and waits for its thread, `patience` at the most. False: the thread hangs and is left behind,
  /// holding nothing but its own things.
  bool stop(std::chrono::milliseconds patience);

private:
  std::shared_ptr<worker_loop> loop_;
  caf::actor mailbox_;
  std::uint64_t generation_ = 0;
  bool is_started_ = false;
};

} // namespace dormouse
