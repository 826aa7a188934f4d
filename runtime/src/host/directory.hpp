#pragma once

/// Who is awake: a sharded map from address to activation, holding awake objects only (R1, R5, R6).
///
/// Delivery and retirement meet under the shard's lock. A delivery counts itself in `pending` under the lock,
/// before its message is on its way; an activation retires under the same lock and only while that count is
/// zero. So a message either keeps its activation or finds none and wakes a new one; it is never sent to one
/// that has left.

#include "host/counters.hpp"

#include <dormouse/actors/class_descriptor.hpp>
#include <dormouse/serialization/address.hpp>
#include <dormouse/serialization/error.hpp>

#include <boost/intrusive/list.hpp>
#include <caf/actor.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <unordered_set>
#include <vector>

namespace dormouse {

struct directory_entry : boost::intrusive::list_base_hook<> {
  directory_entry(address to, const class_descriptor& of) : where(std::move(to)), type(of) {}

  const address where;
  const class_descriptor& type;
  caf::actor activation;
  std::atomic<std::uint32_t> pending{
      0}; ///< messages delivered and not finished; grows under the shard's lock only, or while it is not
          ///< zero, or while a commit is in flight
  std::atomic<std::uint32_t> unwritten{0}; ///< messages that were handled and whose commits are in flight
  std::chrono::steady_clock::time_point last_used; ///< under the shard's lock
};

enum class admission : std::uint8_t {
  bounded, ///< refused past the limits of R19
  always,  ///< a result or a stored post: never refused, its number is bounded where it comes from
};

class directory {
public:
  using spawner = std::function<caf::actor(directory_entry&)>;

  struct limits {
    std::size_t max_mailbox_messages;
    std::size_t max_pending_messages;
  };

  directory(spawner spawn, limits bounds, counters& counts)
      : spawn_(std::move(spawn)), limits_(bounds), counters_(counts) {}

  /// The activation of an object, woken if it sleeps, with one pending message counted: the caller sends
  /// exactly one, and the activation calls `finished`. Errors: `overloaded`, `stopped`.
  expected<caf::actor> pin(const address& to, const class_descriptor& type, admission how);

  /// The activation is done with one message.
  void finished(directory_entry& entry) noexcept;

  /// Takes the entry out if nothing is pending; it is then destroyed and must not be used.
  bool retire(directory_entry& entry);

  /// Those that have been idle since before `before`, and beyond that the least recently used idle ones while
  /// more than `max_active` are awake or their bytes and `unwritten_bytes` pass `max_bytes`. At most a few
  /// thousand at a time.
  std::vector<caf::actor> idle_ones(std::chrono::steady_clock::time_point before, std::size_t max_active,
                                    std::size_t max_bytes, std::size_t unwritten_bytes);

  /// No deliveries from now on; the activations there are.
  std::vector<caf::actor> close();

  /// Until nobody is awake, for so long at most. Whether nobody is.
  bool wait_until_empty(std::chrono::milliseconds at_most);

  std::size_t active() const noexcept { return active_.load(std::memory_order_relaxed); }
  std::size_t active_peak() const noexcept { return peak_.load(std::memory_order_relaxed); }

private:
  struct hash {
    using is_transparent = void;
    std::size_t operator()(const address& where) const noexcept { return std::hash<address>{}(where); }
    std::size_t operator()(const std::unique_ptr<directory_entry>& entry) const noexcept {
      return (*this)(entry->where);
    }
  };
  struct equal {
    using is_transparent = void;
    bool operator()(const std::unique_ptr<directory_entry>& a,
                    const std::unique_ptr<directory_entry>& b) const noexcept {
      return a->where == b->where;
    }
    bool operator()(const address& a, const std::unique_ptr<directory_entry>& b) const noexcept {
      return a == b->where;
    }
    bool operator()(const std::unique_ptr<directory_entry>& a, const address& b) const noexcept {
      return a->where == b;
    }
  };

  struct alignas(64) shard {
    std::mutex mutex;
    std::unordered_set<std::unique_ptr<directory_entry>, hash, equal> entries;
    boost::intrusive::list<directory_entry> by_use; ///< front: most recently used
    bool closed = false;
  };

  static constexpr std::size_t shard_count = 16;

  shard& shard_of(const address& where) noexcept { return shards_[(hash{}(where) >> 7U) % shard_count]; }
  void note_active(std::ptrdiff_t change);

  spawner spawn_;
  limits limits_;
  counters& counters_;
  std::array<shard, shard_count> shards_;
  std::atomic<std::size_t> active_{0};
  std::atomic<std::size_t> peak_{0};
  std::mutex empty_mutex_;
  std::condition_variable empty_;
};

} // namespace dormouse
