#pragma once

/// Which inboxes are being walked, and up to where (inbox_delivery.hpp). A row that becomes durable meanwhile
/// is delivered by who wrote it if the walk has passed its place, and is left to the walk if not: so it does
/// not overtake what is in the inbox already (R1).
///
/// A walk reads a batch of rows and then passes them, all at once. Rows that are on the way to the disk, or
/// that became durable while the batch was being read, may be in it: they are known by their ids, the walk
/// leaves them out, and they are delivered behind the batch, or when they are durable.
///
/// What a walk cannot read it passes over. Should it be read later, what has been delivered meanwhile by who
/// wrote it is known.
///
/// Thread-safe.

#include "host/actor_messages.hpp"
#include "ports/storage_engine.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

namespace dormouse {

class inbox_walks {
public:
  using hand_over = std::function<void(delivery_order)>;

  /// What is written from now on is left to the walk that is to come. Before the class is known.
  void begin(std::string_view binding);

  /// For a new row in an inbox of such a class, to be held until it is durable, or given up; null if that is
  /// not being walked.
  std::shared_ptr<void> on_the_way(std::string_view binding, std::uint64_t id);

  /// A row is durable: back if it is to be delivered now.
  std::optional<delivery_order> arrived(delivery_order what);

  /// The same of a row that the owner of the walk has made durable: whether it is to be delivered now. Not
  /// while a batch is being read.
  bool arrived(const address& where, std::uint64_t id);

  /// Begins to read a batch.
  void read(std::string_view binding);

  /// Hands over the batch, and what became durable meanwhile and belongs before `up_to`. Without `up_to` the
  /// walk ends.
  void pass(std::string_view binding, std::vector<delivery_order> batch,
            const std::optional<std::string>& up_to, const hand_over& deliver);

  /// The walk passes over these rows. Those of them with an id below `first_new_id` that arrive are
  /// remembered from now on.
  void leave_unread(const key_range& rows, std::uint64_t first_new_id);

  /// Whether a row that was passed over has been delivered since.
  bool was_delivered(std::uint64_t id) const;

private:
  struct walk {
    std::string
        passed; ///< every row up to this key, and with it, has been handed over or is its writer's to deliver
    bool reading = false;
    std::vector<delivery_order> meanwhile; ///< became durable while a batch was being read
  };

  struct unread {
    std::string to;
    std::uint64_t first_new_id;
  };

  void forget(std::uint64_t id);
  void note_delivery(const address& where, std::uint64_t id);

  mutable std::mutex mutex_;
  std::map<std::string, walk, std::less<>> walks_;
  std::unordered_set<std::uint64_t> on_the_way_;      ///< and in `meanwhile`
  std::map<std::string, unread, std::less<>> unread_; ///< by their first keys
  std::unordered_set<std::uint64_t> delivered_;       ///< of the rows in `unread_`; as many as were under way
  std::atomic<std::size_t> open_{0};                  ///< walks, and unread ranges: mostly there are none
};

} // namespace dormouse
