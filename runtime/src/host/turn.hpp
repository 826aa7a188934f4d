#pragma once

/// One turn of one object: what a handler did, collected until the turn commits or is thrown away. It knows
/// nothing of how effects become bytes. It checks each fetch as the handler makes it, so that a limit is an
/// error at the call, before anything is committed (R12, R13).

#include "host/aborts_in_flight.hpp"
#include "host/jar_cache.hpp"
#include "host/open_calls.hpp"
#include "host/runtime_core.hpp"
#include "host/turn_rows.hpp"
#include "schedule/schedule_book.hpp"

#include <dormouse/actors/object_host.hpp>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dormouse {

/// A checked fetch with its id and its place in the queue counted, and the file of its body if that is large.
struct admitted_fetch {
  fetch_message message;
  blob_writer_ptr body;
};

/// Errors: `blocked`, `too_large`, `queue_full`, `storage_error` if a large body cannot be written.
///
/// The body is written here, on the thread of the turn, as a copy into the kernel's memory: so the handler
/// that made it is the one that waits, and has an exception where it fetched. What takes long, to get it on
/// the disk, is left to the commit (committer.hpp).
expected<admitted_fetch> admit_fetch(runtime_core& core, fetch_message&& fetch);

/// A checked call to another object.
struct admitted_call {
  present_address to;
  const class_descriptor* type = nullptr;
  call_message message;
  std::shared_ptr<void> in_hand; ///< see `inbox_place`
};

/// A task that begins when its handler has returned.
struct started_task {
  std::uint64_t number = 0;
  std::string method;
  std::string arguments;
};

/// Error: `invalid_request` for a reason over the limit.
expected<void> check_abort_reason(const std::string& reason);

class turn final : public turn_host {
public:
  /// `incarnation`: the life of the object that what it asks for is answered to.
  turn(runtime_core& core, const address& self, std::uint64_t incarnation, jar_cache& jars,
       storage_overlay& in_flight, schedule_book& schedules, const aborts_in_flight& aborted_before)
      : core_(core),
        self_(self),
        incarnation_(incarnation),
        jars_(jars),
        rows_(*core.store, self, in_flight, core.settings.max_state_bytes),
        schedules_(schedules),
        aborted_before_(aborted_before),
        open_calls_(schedules, *core.clock) {}
  turn(const turn&) = delete;
  turn& operator=(const turn&) = delete;

  /// Undone unless its fetches were taken.
  ~turn() override { undo(); }

  /// Gives the fetches' places in the queue back, has the files of their bodies removed, and forgets the
  /// rows. To be done before anybody hears that the turn failed.
  void undo() noexcept;

  expected<std::size_t> enqueue(fetch_message&& fetch) override;
  std::chrono::milliseconds default_timeout() const override { return core_.settings.default_timeout; }
  std::chrono::system_clock::time_point now() const override { return core_.clock->now(); }
  const address& self() const override { return self_; }
  expected<std::size_t> enqueue_call(const address& to, call_message&& what) override;
  expected<taken_call> enqueue_call(const address& to, call_message&& what,
                                    std::chrono::milliseconds within) override;
  expected<bool> cancel_call(const call_id& which) override { return noted(open_calls_.cancel(which)); }
  expected<void> abort(const abort_id& id, std::string reason) override;
  expected<bool> aborted(const abort_id& id) override;
  expected<schedule_id> enqueue_schedule(schedule_message&& what) override {
    return noted(schedules_.add(std::move(what)));
  }
  expected<bool> cancel_schedule(const schedule_id& which) override {
    return noted(schedules_.cancel(which));
  }
  expected<std::vector<schedule_message>> schedules(std::size_t limit) override {
    return noted(schedules_.all(limit));
  }
  std::optional<std::chrono::system_clock::time_point> tick() const override { return tick_; }
  cookie_jar* jar(const std::string& name) override { return &open_jar(name); }
  cookie_jar* empty_jar(const std::string& name) override { return &jars_.open_empty(name); }
  const cookie_jar& peek_jar(const std::string& name) override { return open_jar(name); }
  expected<void> destroy() override;
  expected<void> block_until_ready(std::chrono::milliseconds timeout) override;
  void ready() override { ready_ = true; }
  void hibernate() override { hibernate_ = true; }

  expected<std::optional<std::string>> get_row(std::string_view key) override {
    return noted(rows_.get(key));
  }
  expected<void> put_rows(std::vector<storage_row>&& rows) override {
    return noted(rows_.put(std::move(rows)));
  }
  expected<std::size_t> erase_rows(const std::vector<std::string>& keys) override {
    return noted(rows_.erase(keys));
  }
  expected<std::vector<storage_row>> list_rows(const storage_list_options& which) override {
    return noted(rows_.list(which));
  }
  expected<void> erase_all_rows() override { return noted(rows_.erase_all()); }

  /// This turn is a tick of that schedule.
  std::optional<error> begin_tick(const schedule_message& of);

  /// It handles the answer to a call with a time limit, whose record this is.
  std::optional<error> close_call(std::uint64_t number);

  /// This is not the turn of a message but of that hook; `name` outlives the turn.
  void enter_hook(std::string_view name) noexcept { hook_ = name; }

  /// The life of the object that it is a turn of.
  std::uint64_t incarnation() const noexcept { return incarnation_; }

  /// Of the runtime itself, past the limits of calls and schedules: what has begun must be able to end. Else
  /// as `enqueue_call` and `enqueue_schedule`.
  void enqueue_own_call(call_message&& what);
  [[nodiscard]] expected<schedule_id> enqueue_own_schedule(schedule_message&& what) {
    return noted(schedules_.add_unlimited(std::move(what)));
  }

  /// How long messages are to wait at most, if they are to.
  std::optional<std::chrono::milliseconds> blocks_for() const noexcept {
    return ready_ ? std::nullopt : blocks_for_;
  }
  bool says_ready() const noexcept { return ready_; }
  bool wants_destruction() const noexcept { return destroy_; }
  expected<task_id> start_task(std::string_view method, std::string arguments) override;

  /// What the turn has done so far, to go back to if one of several things that run in it fails, or to be
  /// kept if it does not: then what has changed since is all that it costs. The object's state is not part of
  /// it.
  struct savepoint {
    std::size_t fetches;
    std::size_t calls;
    std::size_t aborts;
    std::size_t started;
    std::pair<std::size_t, std::size_t> open_calls;
    bool destroys;
    bool says_ready;
    bool hibernates;
  };
  savepoint save() {
    jars_.save();
    rows_.save();
    schedules_.save();
    return {fetches_.size(),    calls_.size(), aborts_.size(), started_.size(),
            open_calls_.save(), destroy_,      ready_,         hibernate_};
  }
  void keep() noexcept {
    jars_.keep();
    rows_.keep();
    schedules_.keep();
  }
  void go_back(const savepoint& to);

  bool wants_hibernation() const noexcept { return hibernate_; }
  /// Whether something was refused, or not read, because storage failed: no fault of the handler's.
  bool met_storage_error() const noexcept { return met_storage_error_; }

  /// The return path of what has this slot: fetches have even ones, calls odd ones.
  return_path& path_of(std::size_t slot) {
    return slot % 2 == 0 ? fetches_.at(slot / 2).message.path : calls_.at(slot / 2).message.path;
  }

  std::vector<admitted_fetch> take_fetches() noexcept { return std::exchange(fetches_, {}); }
  std::vector<admitted_call> take_calls() {
    open_calls_.complete(calls_);
    return std::exchange(calls_, {});
  }
  std::vector<waiting_reply> take_cancelled_calls() {
    return open_calls_.take_cancelled();
  } ///< behind `take_calls`
  std::uint64_t fetch_id(std::size_t slot) const { return fetches_.at(slot / 2).message.id; }

  bool has_started() const noexcept { return !started_.empty(); }
  std::vector<started_task> take_started() noexcept { return std::exchange(started_, {}); }
  std::vector<abort_request> take_aborts() noexcept { return std::exchange(aborts_, {}); }
  row_layer take_rows() noexcept { return rows_.take(); }

  /// Whether it did something besides changing the state.
  bool has_effects() const noexcept {
    return !fetches_.empty() || !aborts_.empty() || !calls_.empty() || !rows_.empty() || schedules_.changed();
  }

private:
  template <class T> expected<T> noted(expected<T> outcome) {
    met_storage_error_ = met_storage_error_ || (!outcome && outcome.error().code == errc::storage_error);
    return outcome;
  }

  cookie_jar& open_jar(const std::string& name);
  expected<void> aim(return_path& path);
  void add_call(inbox_place place, call_message&& what);

  runtime_core& core_;
  const address& self_;
  std::uint64_t incarnation_;
  jar_cache& jars_;
  turn_rows rows_;
  schedule_book& schedules_;
  const aborts_in_flight& aborted_before_; ///< by turns whose commits are in flight
  std::optional<std::chrono::system_clock::time_point> tick_;
  std::vector<admitted_fetch> fetches_;
  std::vector<admitted_call> calls_;
  open_calls open_calls_;
  std::vector<abort_request> aborts_;
  std::string_view hook_; ///< empty: a method
  std::optional<std::chrono::milliseconds> blocks_for_;
  bool ready_ = false;
  bool destroy_ = false;
  std::vector<started_task> started_;
  bool hibernate_ = false;
  bool met_storage_error_ = false;
};

} // namespace dormouse
