#pragma once

/// The way from an inbox to its object: of results as they are stored, and, when a class is defined, of what
/// an earlier process left in the inboxes of its objects; behind that, those of its tasks that are stuck are
/// tried again (R17). It is done in batches, the next when those of the one before have been handled that do
/// not wait for their objects, so that it is no burst of memory; those that wait are bounded by
/// `max_pending_messages`. Each batch reads what is there by then: what was written since the walk began and
/// stands before it is its own to deliver (inbox_walks.hpp).
///
/// Belongs to the dispatcher: a result that is being stored while a batch is read is delivered when that is
/// done, and none but by one of the two.
///
/// Rows that cannot be read are passed over, and looked at again later (unread_ranges.hpp).
///
/// What has killed the process before (suspects.hpp) is left out of the batches, and delivered when all walks
/// have ended, one at a time.

#include "host/runtime_core.hpp"
#include "store/unread_ranges.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>

namespace dormouse {

class inbox_delivery {
public:
  /// `is_being_stored`: whether the result of this fetch is on its way to disk; then it comes to `deliver`.
  inbox_delivery(runtime_core& core, std::function<bool(std::uint64_t)> is_being_stored)
      : core_(core), is_being_stored_(std::move(is_being_stored)) {}

  /// The class is known from here on; what becomes durable is left for the walk until that has begun.
  void announce(const class_descriptor& type);

  void walk_inbox(const class_descriptor& type);

  /// The next batch of a class.
  void recover_some(const std::string& binding);

  /// The same for those that had to wait; to be called every now and then.
  void recover_later();

  /// The next of those that are delivered last, if it is time.
  void nurse();
  void nursed(); ///< the one before is done

  /// A result that has become durable.
  void deliver(std::unique_ptr<result_message> result);

  void stop() {
    walks_.clear();
    unread_.clear();
  }

private:
  struct walk {
    const class_descriptor* type = nullptr; ///< null: nothing is left to do
    std::string from;                       ///< where the next batch begins
    std::uint64_t first_new_id = 0; ///< what was written since the class is known has this id or a later one
    bool stuck_tasks_only = false;  ///< the inbox has been walked
  };

  /// Of a class: what its walk passed over, for it could not be read.
  struct unread_rows {
    const class_descriptor* type = nullptr;
    std::uint64_t first_new_id = 0; ///< rows with this id or a later one are delivered by who wrote them
    unread_ranges inbox;
    unread_ranges stuck_tasks;
  };

  // A batch. Error: `storage_error`; what was not read is read later.
  expected<void> read_batch(walk& on);
  expected<void> wake_tasks(walk& on);
  expected<bool> read_suspect(suspects::one& next);

  // One row. Null: it was buried, is a suspect, or comes by another way.
  envelope_ptr take_inbox_row(const class_descriptor& type, const row_cursor& row, address& to);
  envelope_ptr take_stuck_task(const class_descriptor& type, const row_cursor& row, address& to);

  /// What has been passed over, if it can be read now.
  void look_again();

  runtime_core& core_;
  const std::function<bool(std::uint64_t)> is_being_stored_;
  std::map<std::string, std::uint64_t, std::less<>> announced_; ///< and not walked yet; their first new ids
  std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now(); ///< the latest walk
  std::map<std::string, walk, std::less<>> walks_; ///< classes whose inbox is being delivered
  std::set<std::string, std::less<>>
      later_; ///< of these, those that cannot go on now: storage is in trouble, or too much waits
  std::map<std::string, unread_rows, std::less<>> unread_; ///< by binding
};

/// The envelope of an inbox row. Error: `corrupt`, `unknown_method`.
expected<envelope_ptr> read_inbox_row(runtime_core& core, const class_descriptor& type, std::string_view key,
                                      std::string_view value);

} // namespace dormouse
