#pragma once

/// The durable tasks of one activation (R16, R17).
///
/// A task that has done something since the object woke has its frame here, and is resumed; any other has
/// only rows: its record ('T') and its journal ('J'). The first message for it loads those and replays them.
/// Everything a task does happens in a turn of its object and is committed with that turn: what it has
/// changed of its rows, whom it answers, and what it sent out. If the turn is undone or its commit fails, the
/// whole runner is thrown away with the object, and what is on disk is replayed.
///
/// A task that has ended stays known until the commit is settled that says so: its rows may still be on the
/// disk, and must not be taken for a running one.
///
/// Threads: the activation's.

#include "host/turn.hpp"

#include <dormouse/actors/class_descriptor.hpp>
#include <dormouse/actors/replay.hpp>
#include <dormouse/actors/task_run.hpp>

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace dormouse {

/// Runs a method of the object for one of its tasks, in the turn that is under way.
class own_methods {
public:
  /// Nothing if the reply comes later.
  virtual task_host::outcome call_own(turn& in_turn, std::string_view method, std::string_view arguments,
                                      return_address reply_to) = 0;

protected:
  ~own_methods() = default;
};

/// What the tasks did in a turn, for its commit.
struct task_effects {
  write_set writes;
  std::vector<waiting_reply> replies;
  std::vector<finished_task> finished; ///< if somebody watches
  std::vector<std::uint64_t> bodies;   ///< of responses that nobody needs any more: fetch ids
};

/// What the caller of a method that is about tasks gets.
struct task_reply {
  bool later = false; ///< it is among those who wait for the task
  call_result<std::string> value = std::string();
};

class task_runner {
public:
  task_runner(runtime_core& core, const directory_entry& entry, own_methods& methods)
      : core_(core), entry_(entry), methods_(methods) {}
  task_runner(const task_runner&) = delete;
  task_runner& operator=(const task_runner&) = delete;
  ~task_runner() { core_.counts.awake_tasks.sub(runs_.size()); }

  // Each within a turn, whose commit takes the effects. Error: what the whole turn fails with,
  // `storage_error` or `corrupt`.

  /// A method that `is_about_tasks`. `caller` waits for the reply; empty: nobody does.
  expected<task_reply> run(turn& in_turn, const method_descriptor& method, std::string_view arguments,
                           const return_path& caller);

  /// What a handler of the object started.
  expected<void> run_started(turn& in_turn);

  /// What a step came to. Whether the response's body was taken over, and is not to be erased with the
  /// message.
  expected<bool> complete(turn& in_turn, std::string_view place, call_result<std::string> outcome,
                          bool failed, std::uint64_t fetch_id, bool body_is_blob);

  /// The object ends, and its rows with it: whoever waits for one of its tasks is told.
  expected<void> end_all();

  /// Of the tasks in memory, for `max_active_bytes`. Looks at those that did something since it was asked
  /// last.
  std::size_t bytes();

  task_effects take_effects() noexcept { return std::exchange(effects_, {}); }
  bool has_effects() const noexcept {
    return !effects_.writes.empty() || !effects_.replies.empty() || !effects_.bodies.empty();
  }

  /// What has ended since the last commit ends with this one: its place among those of the activation.
  void committed(std::uint64_t commit);

  /// So many commits of the activation are settled: what has ended with them is forgotten.
  void settled(std::uint64_t commits);

private:
  class performer;

  task_id id_of(std::uint64_t number) const { return {entry_.where, number}; }
  task_limits limits() const { return {core_.settings.max_task_steps, core_.settings.max_state_bytes}; }
  expected<task_run*> find(std::uint64_t number);
  expected<task_run*> find_unreadable(std::uint64_t number, const error& why);
  expected<void> begin(turn& in_turn, std::uint64_t number, std::string method, std::string arguments,
                       const return_path& waiter, bool keep);
  expected<void> step_on(turn& in_turn, task_run& run);
  expected<void> settle(turn& in_turn, task_run& run);
  expected<void> end(turn& in_turn, task_run& run);
  void clear_deaths(const task_run& run);
  void get_stuck(task_run& run);
  void show_finished(task_run& run, const call_result<std::string>& outcome);
  void write_steps(task_run& run);
  void warn_if_long(task_run& run, std::size_t before, std::size_t now) const;
  void erase_journal(turn& in_turn, task_run& run);

  runtime_core& core_;
  const directory_entry& entry_;
  own_methods& methods_;
  struct held_run {
    std::unique_ptr<task_run> run;
    std::size_t bytes = 0; ///< as they are in `bytes_`
  };

  task_run& hold(std::uint64_t number, std::unique_ptr<task_run> run);

  std::unordered_map<std::uint64_t, held_run> runs_;
  std::size_t bytes_ = 0;              ///< of all runs, but for what `touched_` have changed
  std::vector<std::uint64_t> touched_; ///< did something since
  std::unordered_map<std::uint64_t, std::size_t>
      stored_steps_;                 ///< how many rows its journal has, of one that has any
  std::vector<std::uint64_t> ended_; ///< since the last commit
  std::deque<std::pair<std::uint64_t, std::uint64_t>> ending_; ///< in flight: commit and task, in order
  task_effects effects_;
};

/// What a caller gets who asks for a task of an object that is not there; `method` is about a begun task.
call_result<std::string> reply_of_no_object(const method_descriptor& method, std::string_view arguments,
                                            const address& of);

} // namespace dormouse
