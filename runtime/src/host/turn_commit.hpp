#pragma once

/// The commits that come out of an activation, and what is let out when they are durable (R4).

#include "host/burial.hpp"
#include "host/runtime_core.hpp"
#include "host/task_runner.hpp"
#include "host/turn.hpp"
#include "store/committer.hpp"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace dormouse {

/// Puts what a call came to into the inbox of the object at the top of the path that waits for it; to be
/// delivered when that is durable.
delivery_order answer_object(runtime_core& core, write_set& writes, return_path waiting,
                             call_result<std::string> reply);

/// A committing turn. Lets its reply and its fetches out when durable; when it fails, tells the caller, and
/// gives a handled message back.
class turn_commit final : public pending_commit {
public:
  struct consequences {
    std::unique_ptr<reply_sink> sink;        ///< the caller of this turn
    expected<std::string, call_error> reply; ///< for the sink, or for the top of `reply_path`
    return_path
        reply_path; ///< who waits for this turn's result, if anybody: another object, or a caller outside
    std::optional<return_address>
        later_caller; ///< registered for a reply that comes later; told if the turn fails
    std::optional<return_address>
        remembered_begun; ///< callers wait there for a reply that comes later; told if the turn fails
    std::optional<return_address> remembered_done; ///< callers who wait there get `reply`
    envelope_ptr handled;                          ///< a message from the inbox, erased by this commit
    bool keeps_body = false;                       ///< its large body belongs to a task's journal from now on
    bool is_late = false;                          ///< and was dropped: nobody waited for it any more
  };

  /// `entry` outlives the commit: an activation does not retire while one is in flight.
  turn_commit(runtime_core& core, directory_entry& entry, std::shared_ptr<commit_gate> tied_to,
              consequences then);

  void add_fetches(std::vector<admitted_fetch> fetches);
  void add_aborts(std::vector<abort_request> aborts);
  void add_calls(std::vector<admitted_call> calls);
  void add_tasks(task_effects tasks);
  void add_answers(std::vector<waiting_reply> answers); ///< to objects
  void add_rows(const row_layer& rows);
  void add_schedules(schedule_changes changes);
  void add_burial(burial what); ///< of the message that is handled

  /// It is about to be submitted: what it carries waits until it is settled (R19).
  void count();

  void settle(const expected<void>& outcome) noexcept override;

private:
  void let_out();
  void let_out_buried();
  void tell(const return_address& hop, call_result<std::string> reply);
  void take_back(const error& why);

  runtime_core& core_;
  directory_entry& entry_;
  caf::actor activation_;
  consequences then_;
  std::shared_ptr<std::vector<queued_fetch>> fetches_;
  std::shared_ptr<std::vector<abort_request>> aborts_;
  std::vector<delivery_order> deliveries_;
  std::vector<finished_task> finished_;
  std::vector<waiting_reply> told_; ///< callers outside who waited for tasks
  std::uint32_t messages_ = 1;      ///< the one it is of, and those to other objects; counted as pending
  bool has_rows_ = false;
  std::string cleared_; ///< the key of the death record of what it has handled, if there is one
  std::unique_ptr<schedule_changes> schedules_; ///< few turns have any
  std::unique_ptr<burial> buried_;              ///< or one
};

/// Writes nothing: holds a reply back until everything it could have seen is durable.
class reply_barrier final : public pending_commit {
public:
  reply_barrier(counters& counts, std::shared_ptr<commit_gate> tied_to, std::unique_ptr<reply_sink> sink,
                expected<std::string> reply)
      : counts_(counts), sink_(std::move(sink)), reply_(std::move(reply)) {
    gate = std::move(tied_to);
    more_bytes = reply_ ? reply_->size() : 0;
    counts_.pending_messages.add();
  }

  void settle(const expected<void>& outcome) noexcept override {
    counts_.pending_messages.sub();
    if (outcome)
      sink_->resolve(std::move(reply_));
    else
      sink_->resolve(unexpected<error>(outcome.error()));
  }

private:
  counters& counts_;
  std::unique_ptr<reply_sink> sink_;
  expected<std::string> reply_;
};

/// Replies at once if nothing is in flight, else when everything that is has become durable.
void reply_behind(runtime_core& core, const std::shared_ptr<commit_gate>& gate,
                  std::unique_ptr<reply_sink> sink, expected<std::string> what);

} // namespace dormouse
