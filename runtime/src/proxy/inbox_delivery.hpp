#pragma once

/// The way from an inbox to its object: of results as they are stored, and, when a class is defined, of what an earlier process left in the inboxes
/// of its objects. A long inbox is walked in batches, the next when the one before has been handled, so that it is not a burst of memory.
///
/// Belongs to the dispatcher: a result is either in a walk or is delivered when it is stored, never both.

#include "host/runtime_core.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>

namespace dormouse {

class inbox_delivery {
public:
  explicit inbox_delivery(runtime_core& core) : core_(core) {}

  /// The class is known from here on; results that become durable are left for the walk until that has begun.
  void announce(const class_descriptor& type);

  /// `being_stored`: fetches whose results are on their way to disk; they are delivered by `deliver`.
  void walk_inbox(const class_descriptor& type, std::set<std::uint64_t> being_stored);

  /// The next batch of a class.
  void recover_some(const std::string& binding);

  /// A result that has become durable.
  void deliver(std::unique_ptr<result_message> result);

  void stop() { walks_.clear(); }

private:
  struct walk {
    const class_descriptor* type = nullptr;
    std::unique_ptr<row_cursor> rows;
    std::set<std::uint64_t> being_stored;
    std::uint64_t first_new_id = 0; ///< calls, answers and posts with this id or a later one are delivered by who wrote them
  };

  runtime_core& core_;
  std::map<std::string, std::uint64_t, std::less<>> announced_; ///< and not walked yet; their first new ids
  std::map<std::string, walk, std::less<>> walks_; ///< classes whose inbox is being delivered
};

/// The envelope of an inbox row. Error: `corrupt`, `unknown_method`.
expected<envelope_ptr> read_inbox_row(runtime_core& core, const class_descriptor& type, std::string_view key, std::string_view value);

} // namespace dormouse
