#pragma once

/// The object of one activation: its state while it is loaded, what its turns need beside that, and how what
/// a turn did becomes a commit. It knows nothing of messages and their order, which are the activation's.
///
/// A turn is begun, something runs in it, what it left is encoded, and it is committed, or undone and the
/// object discarded. Turns do not wait for commits (R4); if one fails, the object is worth nothing any more:
/// it is discarded, and loaded again when nothing of it is in flight.
///
/// Threads: the activation's. Commits settle on the store's.

#include "host/call_memory.hpp"
#include "host/directory.hpp"
#include "host/jar_cache.hpp"
#include "host/ready_gate.hpp"
#include "host/runtime_core.hpp"
#include "host/task_runner.hpp"
#include "host/turn.hpp"
#include "host/turn_commit.hpp"
#include "store/object_rows.hpp"

#include <dormouse/actors/durable_object.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>

namespace dormouse {

class awake_object final : own_methods {
public:
  /// What a turn leaves of the object itself.
  struct encoded_state {
    std::optional<std::string> bytes; ///< nothing: as it is stored
    write_set jars;                   ///< those that changed
  };

  /// `ready`: opened by the commit of a turn that says so, closed when the object is loaded and its hooks ask
  /// for it.
  awake_object(runtime_core& core, directory_entry& entry, ready_gate& ready);
  awake_object(const awake_object&) = delete;
  awake_object& operator=(const awake_object&) = delete;

  /// Whether turns can run: it is loaded, and no commit of it has failed.
  bool is_usable() const noexcept { return object_ && !gate_->failed.load(std::memory_order_acquire); }

  /// Whether what is stored is all there is: not loaded, and nothing in flight that could change it.
  bool is_as_stored() const noexcept { return !object_ && is_settled(); }

  /// Whether everything that turns have done is durable.
  bool is_settled() const noexcept {
    return gate_->in_flight.load(std::memory_order_acquire) == 0 &&
           !gate_->failed.load(std::memory_order_acquire);
  }

  /// Whether no commit is in flight; if one is, the activation is sent `commits_drained`.
  bool settled_or_notified();

  /// Whether messages whose commits failed are still on their way back: none that is younger may be handled
  /// before them.
  bool awaits_given_back() const noexcept { return gate_->given_back.load(std::memory_order_acquire) != 0; }
  void note_given_back() noexcept { gate_->given_back.fetch_sub(1, std::memory_order_relaxed); }

  /// From the store, or new; runs its hooks, whose turns are committed. False: it is not there, and `next`,
  /// which is for another life of it or about a task of one, must not create it. Nothing of it may be in
  /// flight. Errors: `storage_error`, `corrupt`, `newer_format`, what a hook failed with; then it is to be
  /// discarded.
  expected<bool> load(const envelope* next);

  /// Why the last `load` failed.
  enum class load_fault : std::uint8_t {
    storage, ///< it cannot be read now
    damage,  ///< what is stored of it is no state of its class: messages wait for a program that can read it
    program, ///< its constructor, its `serialize` or a hook threw: to be tried again
    quarantine, ///< it has killed the process too often (R22): messages wait until it is released
  };
  load_fault fault() const noexcept { return fault_; }

  /// Forgets what is in memory.
  void discard();

  /// Of what is loaded.
  std::uint64_t incarnation() const noexcept { return facts_.incarnation; }
  return_address way_to_memory(const std::string& key) const {
    return dormouse::way_to_memory(entry_.where, facts_.incarnation, key);
  }

  /// Whether a turn asked for hibernation, or the object is not there any more.
  bool wants_to_leave() const noexcept { return leaves_; }

  schedule_book& schedules() noexcept { return schedules_; }
  call_memory& memory() noexcept { return memory_; }
  task_runner& tasks();
  const std::shared_ptr<commit_gate>& gate() const noexcept { return gate_; }

  // A turn.

  turn begin_turn();

  /// Runs the method; the error of one that threw: then the turn is undone, and the object discarded if the
  /// method could have changed it.
  std::optional<error> invoke(const method_descriptor& method, invocation& call, turn& in_turn);

  /// What the responses of a fetch set, before its handler runs.
  std::optional<error> take_cookies(const result_message::extension& from, turn& in_turn);

  /// When the method has returned: begins the tasks it started, or ends all if it destroys the object, and
  /// encodes what it left. Errors: `handler_failed`, `too_large`, `storage_error`, as of tasks.
  expected<encoded_state> finish(turn& in_turn);
  /// The same for a turn of tasks, which seldom change the object itself.
  expected<encoded_state> finish_of_tasks(turn& in_turn);

  /// Whether the last turn has to be undone, the object discarded, and the same message handled once more: a
  /// method that a task has called of its own object failed, and the state before it had not been kept. The
  /// next time it is. At most a few times in a row.
  bool wants_again() const noexcept { return again_; }

  /// Of nobody's doing: neither commits nor leaves anything behind.
  expected<std::string> run_read(const method_descriptor& method, std::string_view arguments);

  // Its commit.

  void commit(turn& in_turn, encoded_state state, turn_commit::consequences then);
  /// Of a turn that left the object as it was.
  void commit(turn_commit::consequences then);
  // Of something that is no turn of the object.
  void commit(turn_commit::consequences then, burial what);

  /// It has retired: it counts no more.
  void leave() { count_bytes(0); }

private:
  std::optional<error> make(const std::string* state);
  void destroy_object();
  std::optional<error> run_hook(void (durable_object::*hook)(), std::string_view name,
                                const std::string* unchanged, std::chrono::milliseconds& blocked);
  template <class F>
  std::optional<error> enter(turn& in_turn, std::string_view scope, std::string_view name, F&& body);
  std::optional<error> run(const method_descriptor& method, invocation& call, turn& in_turn);
  task_host::outcome call_own(turn& in_turn, std::string_view method, std::string_view arguments,
                              return_address reply_to) override;
  expected<void> settle_tasks(turn& in_turn);
  expected<std::string> encode_object();
  expected<encoded_state> encode_state();
  expected<encoded_state> encode_jars();
  void put_changes(turn_commit& to, turn& in_turn, encoded_state state);
  void add_schedules(turn_commit& to);
  void submit(std::unique_ptr<turn_commit> next);
  std::uint64_t settled_commits() const noexcept {
    return commits_ - gate_->in_flight.load(std::memory_order_acquire);
  }
  void count_bytes(std::size_t bytes);
  void clear_deaths(note_kind what);

  runtime_core& core_;
  directory_entry& entry_;
  ready_gate& ready_;
  std::unique_ptr<durable_object> object_;
  object_facts facts_; ///< of that object
  jar_cache jars_;
  storage_overlay rows_; ///< in flight
  schedule_book schedules_;
  aborts_in_flight aborts_; ///< in flight
  call_memory memory_;
  std::unique_ptr<task_runner> tasks_; ///< null if it had nothing to do since the object woke
  std::shared_ptr<commit_gate> gate_;
  std::uint64_t commits_ = 0; ///< so many were submitted
  std::size_t counted_bytes_ = 0;
  std::size_t state_bytes_ = 0; ///< of the state as it was written last
  load_fault fault_ = load_fault::storage;
  std::optional<error> lost_; ///< it could not be put back to what it was before a call of its task
  bool is_stored_ = false;    ///< the state is on the disk, or on its way there
  bool own_changes_ = false;  ///< a task has called a method that may have changed it since

  // The state as it was before a method that a task calls, to be put back if that fails. To encode it costs
  // its size, so when a turn has encoded much, further methods run without.
  std::optional<std::string> state_behind_; ///< the last of them in this turn; nothing: not encoded
  std::size_t own_calls_ = 0;               ///< of this turn
  std::size_t encoded_for_them_ = 0;        ///< bytes
  bool ran_unsaved_ = false;                ///< one of them
  bool again_ = false;
  std::set<std::size_t> failed_unsaved_; ///< by their places, in a turn that has to be tried again
  bool saves_all_ = false;               ///< the same: too many have
  bool in_hook_ = false;                 ///< those are not tried again
  bool woke_ = false;
  bool leaves_ = false;
};

/// What a method said, when it has returned and did not leave it to another.
call_result<std::string> take_reply(invocation& call, const address& of);

/// Puts those who wait below the one that is on the path already. Error: `path_too_long`.
std::optional<error> put_below(return_path& path, const return_path& those_who_wait);

} // namespace dormouse
