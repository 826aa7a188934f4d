#pragma once

/// What the parts of a running runtime share. Built before the first actor and destroyed after the last;
/// actors hold a reference.

#include "host/actor_messages.hpp"
#include "host/counters.hpp"
#include "host/death_notes.hpp"
#include "host/directory.hpp"
#include "host/inbox_walks.hpp"
#include "host/limited_log.hpp"
#include "host/present_address.hpp"
#include "host/suspects.hpp"
#include "host/waiting_callers.hpp"
#include "ports/ports.hpp"
#include "proxy/origin_book.hpp"
#include "proxy/url_policy.hpp"
#include "schedule/schedule_signals.hpp"
#include "store/store.hpp"

#include <dormouse/runtime/clock.hpp>
#include <dormouse/runtime/fetch_observer.hpp>
#include <dormouse/runtime/options.hpp>
#include <dormouse/runtime/stats.hpp>

#include <caf/actor_system.hpp>
#include <spdlog/fwd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <string_view>

namespace dormouse {

/// How many of something there are, for whoever waits until there are none.
class open_count {
public:
  void begin() {
    std::lock_guard guard(mutex_);
    ++count_;
  }
  void end() {
    std::lock_guard guard(mutex_);
    --count_;
    none_.notify_all();
  }
  void wait_for_all() {
    std::unique_lock lock(mutex_);
    none_.wait(lock, [this] { return count_ == 0; });
  }
  bool wait_until(std::chrono::steady_clock::time_point deadline) {
    std::unique_lock lock(mutex_);
    return none_.wait_until(lock, deadline, [this] { return count_ == 0; });
  }

private:
  std::mutex mutex_;
  std::condition_variable none_;
  int count_ = 0;
};

/// For a row in the inbox of an object.
struct inbox_place {
  present_address where;
  const class_descriptor* type = nullptr; ///< of the object; null: not defined
  std::uint64_t id = 0;
  std::shared_ptr<void> in_hand; ///< held until the row is durable, or given up: if it is not defined, a
                                 ///< definition waits for it before it walks; else see `inbox_walks`
};

struct finished_task;

struct runtime_core {
  runtime_core(caf::actor_system& actors, options chosen, ports outside, std::unique_ptr<store> opened,
               url_policy allowed);
  ~runtime_core();

private:
  /// For what may be called when the core is gone.
  struct back_reference {
    std::mutex mutex;
    runtime_core* core = nullptr;
  };
  const std::shared_ptr<back_reference> tell_ = std::make_shared<back_reference>();

public:
  caf::actor_system& system;
  const options settings;
  const ports world;
  const std::shared_ptr<const wall_clock> clock;
  const url_policy policy;
  const std::shared_ptr<spdlog::logger>
      log; ///< the program's own logger "dormouse" if it has registered one, else to standard error
  limited_log trouble; ///< the same, for what may be said again and again
  counters counts;
  death_notes notes;       ///< what runs now
  class suspects suspects; ///< what has killed the process before
  waiting_callers callers;
  class directory directory;
  origin_book origins;
  open_count activations; ///< those whose objects may still be in memory
  std::atomic<bool> stopping{false};
  const std::shared_ptr<counter> mailbox_bytes =
      std::make_shared<counter>(); ///< mailbox_room.hpp; a message may outlive the core
  caf::actor dispatcher;
  const std::shared_ptr<schedule_signals> schedules =
      std::make_shared<schedule_signals>(); ///< what the scheduler is told

  inbox_walks walks;       ///< of the inboxes of classes that are defined
  open_count rows_in_hand; ///< for inboxes of classes that are not defined: not durable yet
  std::mutex defining;     ///< one class is defined at a time, and no dead letter goes back meanwhile

  // Classes, by binding.
  const class_descriptor* find_class(std::string_view binding) const;

  /// For a new row in the inbox of an object: its present name, an id, and whether the object's class is
  /// defined: whoever makes the row hands it to `deliver` if it is, and the walk that begins with a
  /// definition finds it if not. All at once, so that no row belongs to both or to neither, and none is
  /// written under a name that its object leaves.
  inbox_place place_for(const address& to) { return place_of_row(to, 0); }

  /// The same for a row that has its id: one that is put back.
  inbox_place place_of_row(const address& to, std::uint64_t id);

  /// A walk of its inboxes is to come. Returns an id: what was made for this class before has a lower one.
  std::uint64_t add_class(const class_descriptor& type);

  // Bindings that had another name before: addresses with that one are still in messages under way, in dead
  // letters, and in what programs keep.
  void add_renaming(std::string_view old, std::string_view present);
  present_address present(address where) const;
  bool was_renamed(std::string_view binding) const; ///< whether it is the old name of another

  // Named queues, the default one under the empty name.
  struct queue_places {
    queue_places(std::size_t in_flight, std::size_t in_all) : max_in_flight(in_flight), max_queued(in_all) {}

    std::size_t max_in_flight;
    std::size_t max_queued;
    counter queued;
  };
  queue_places* find_queue(const std::string& name);
  void enter_queue(const std::string& name, std::uint64_t count) noexcept; ///< however many are there
  void leave_queue(const std::string& name,
                   std::uint64_t count = 1) noexcept; ///< gives places back, those in the whole too

  /// Tells the observer, if there is one.
  void observe(void (fetch_observer::*what)(const fetch_event&), const fetch_message& fetch);
  void observe(void (fetch_observer::*what)(const fetch_event&), const fetch_message& fetch,
               const fetch_result* result, std::chrono::microseconds attempt,
               std::chrono::milliseconds delay = {});
  void observe(void (fetch_observer::*what)(const fetch_event&), const result_message& result);

  void observe(const finished_task& task); ///< there is one to be told

  /// Logs and counts what user code threw that nobody is to hear of.
  void note_thrown(counter& of, const error& what) noexcept;

  /// Whether more waits for the disk than `max_unwritten_bytes`: who can wait makes no more commits now.
  bool is_disk_behind() const noexcept { return store->committer().bytes() >= settings.max_unwritten_bytes; }

  // Damage.
  void note_corrupt(const address& where, const std::string& reason);
  std::vector<corrupt_object> corrupt_objects() const;

  /// Wakes the object if need be and hands it a message that must not be lost.
  void deliver(const address& to, const class_descriptor& type, envelope_ptr what);

  /// The same for a row of its inbox that is durable now, unless a walk of the inbox will do so.
  void deliver(delivery_order what);

  /// Last: its committer settles commits that use all of the above.
  std::unique_ptr<class store> store;

private:
  void observe(void (fetch_observer::*what)(const fetch_event&), const fetch_event& event);

  std::map<std::string, queue_places> queues_; ///< not changed once made
  void use_present_name(address& where) const; ///< with `classes_mutex_` held

  mutable std::shared_mutex classes_mutex_;
  std::map<std::string, const class_descriptor*, std::less<>> classes_;
  std::map<std::string, std::string, std::less<>> renamed_; ///< the same for old names
  std::atomic<bool> any_renamed_{false};
  mutable std::mutex corrupt_mutex_;
  std::map<address, std::string> corrupt_;
};

} // namespace dormouse
