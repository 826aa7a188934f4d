#pragma once

/// The small interface that objects need from whoever runs them; the runtime implements it.
///
/// A `fetch_queue` takes fetches. A `turn_host` is one turn of one object: the fetches and rows it takes
/// become real only if the turn commits (R3).

#include <dormouse/serialization/abort.hpp>
#include <dormouse/serialization/address.hpp>
#include <dormouse/serialization/cookie_jar.hpp>
#include <dormouse/serialization/error.hpp>
#include <dormouse/serialization/messages.hpp>
#include <dormouse/serialization/open_call.hpp>
#include <dormouse/serialization/schedule.hpp>
#include <dormouse/serialization/task_id.hpp>

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dormouse {

class fetch_queue {
public:
  virtual ~fetch_queue() = default;

  /// Takes a fetch that has its return path. The value tells its place among the turn's fetches.
  /// Errors name the limit and the option to change: `blocked`, `too_large`, `queue_full`, `invalid_request`,
  /// `storage_error`; outside of a turn `stopped`. In a turn nothing is durable before the turn's commit;
  /// outside of one the fetch is durable on return.
  virtual expected<std::size_t> enqueue(fetch_message&& fetch) = 0;

  /// Ends the fetches that carry this signal with ABORTED. Durability as above. Errors: `invalid_request` for
  /// a reason over `max_abort_reason_bytes`, `storage_error`, `stopped`.
  virtual expected<void> abort(const abort_id& id, std::string reason) = 0;

  /// A cookie jar of the object whose turn this is, loaded and ready to be changed; changes become durable
  /// with the turn. Null outside of a turn. Throws `failure`: `corrupt`, `storage_error`.
  virtual cookie_jar* jar(const std::string&) { return nullptr; }

  /// The same, emptied. A jar that cannot be read is mended so.
  virtual cookie_jar* empty_jar(const std::string& name) {
    auto* found = jar(name);
    if (found != nullptr) found->clear();
    return found;
  }

  /// Used by a fetch that names no timeout.
  virtual std::chrono::milliseconds default_timeout() const = 0;

  /// The runtime's clock.
  virtual std::chrono::system_clock::time_point now() const = 0;
};

/// Which rows of an object's storage to list: those whose key begins with `prefix` and is in [start, end).
/// Keys are compared byte by byte, as unsigned numbers.
struct storage_list_options {
  std::string prefix = {};
  std::string start = {};   ///< inclusive. The page behind the key `last` starts at `last + '\0'`
  std::string end = {};     ///< exclusive; empty: no end
  std::size_t limit = 1000; ///< 1..10,000
  bool reverse = false;     ///< the last key first; `limit` counts from there
};

struct storage_row {
  std::string key;
  std::string value; ///< encoded
};

/// A call with a time limit that was taken.
struct taken_call {
  std::size_t place; ///< among what the turn sends out
  call_id id;
};

class turn_host : public fetch_queue {
public:
  /// Takes a call to another object. The value tells its place among what the turn sends out. Errors:
  /// `invalid_instance_id`, `unknown_binding`, `unknown_method`, `too_large`, `overloaded`.
  virtual expected<std::size_t> enqueue_call(const address& to, call_message&& what) = 0;

  /// The same with a time limit: the answer to the top of its path is an error when it has passed. Errors:
  /// besides, `invalid_request` for a limit out of range, `queue_full` (`max_schedules`).
  virtual expected<taken_call> enqueue_call(const address& to, call_message&& what,
                                            std::chrono::milliseconds within) = 0;

  /// Whether it was open. Errors: `corrupt`, `storage_error`.
  virtual expected<bool> cancel_call(const call_id& which) = 0;

  // The rows of the object's storage as this turn sees them, its own writes included. What storage.hpp says
  // of limits holds here, and what is refused has changed nothing. Errors: `invalid_request`, `too_large`,
  // `corrupt` naming object and key, `storage_error`.
  virtual expected<std::optional<std::string>> get_row(std::string_view key) = 0;
  virtual expected<void> put_rows(std::vector<storage_row>&& rows) = 0;
  virtual expected<std::size_t>
  erase_rows(const std::vector<std::string>& keys) = 0; ///< how many of them there were
  virtual expected<std::vector<storage_row>> list_rows(const storage_list_options& which) = 0;
  virtual expected<void> erase_all_rows() = 0;

  /// Takes a schedule of this object that has its method, arguments and times; one of the same name makes
  /// room for it. The value is its id. A method whose name begins with '#' is the host's own. Errors:
  /// `invalid_request`, `too_large`, `queue_full`, `storage_error`.
  virtual expected<schedule_id> enqueue_schedule(schedule_message&& what) = 0;

  /// Whether there was one. Error: `storage_error`.
  virtual expected<bool> cancel_schedule(const schedule_id& which) = 0;

  /// This object's schedules but for the host's own, the next one first, at most `limit`. Errors: `corrupt`,
  /// `storage_error`.
  virtual expected<std::vector<schedule_message>> schedules(std::size_t limit) = 0;

  /// The time that the schedule was for that caused this turn; nothing if none did.
  virtual std::optional<std::chrono::system_clock::time_point> tick() const = 0;

  /// A cookie jar to look at, also in a read-only turn.
  virtual const cookie_jar& peek_jar(const std::string& name) = 0;

  /// Whether an abort with this id is durable or was made in this turn. Error: `storage_error`.
  virtual expected<bool> aborted(const abort_id& id) = 0;

  /// Begins a task of this object when the handler has returned, in the same turn and commit. Error:
  /// `unknown_method`, `too_large`.
  virtual expected<task_id> start_task(std::string_view method, std::string arguments) = 0;

  virtual const address& self() const = 0;

  /// The object ends with this turn. Error: `invalid_request` in `on_create` and `on_wake`.
  virtual expected<void> destroy() = 0;

  /// Other messages wait from the end of this hook on. Error: `invalid_request`, outside of `on_create` and
  /// `on_wake` too.
  virtual expected<void> block_until_ready(std::chrono::milliseconds timeout) = 0;

  /// They wait no longer.
  virtual void ready() = 0;

  /// Asks for hibernation as soon as the object is idle, without waiting for `idle_after`.
  virtual void hibernate() = 0;
};

} // namespace dormouse
