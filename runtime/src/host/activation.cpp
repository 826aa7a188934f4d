#include "host/activation.hpp"

#include "host/call_memory.hpp"
#include "host/late_results.hpp"
#include "host/ready_gate.hpp"
#include "host/task_runner.hpp"
#include "host/turn.hpp"
#include "host/turn_commit.hpp"
#include "store/object_rows.hpp"

#include <dormouse/actors/runtime_methods.hpp>
#include <dormouse/runtime/caf.hpp>
#include <dormouse/serialization/url.hpp>

#include <caf/event_based_actor.hpp>
#include <caf/send.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <list>

namespace dormouse {
namespace {

/// A result or post whose handler keeps throwing is tried this often, then becomes a dead letter.
constexpr std::uint32_t max_handler_failures = 5;
constexpr std::chrono::milliseconds first_redelivery{100};
constexpr std::chrono::milliseconds storage_retry{500};

/// What an awake object costs besides its state, for `max_active_bytes`.
constexpr std::size_t activation_bytes = 2048;

call_result<std::string> take_reply(invocation& call) {
  if (call.refusal)
    return tl::unexpected<call_error>(std::move(*call.refusal));
  return std::move(call.reply);
}

class activation final : public caf::event_based_actor, public own_methods {
public:
  activation(caf::actor_config& config, runtime_core& core, directory_entry& entry)
    : event_based_actor(config), core_(core), entry_(entry), schedules_(core, entry.where), memory_(core, entry.where), gate_(std::make_shared<commit_gate>()) {}

  caf::behavior make_behavior() override;
  void on_exit() override;

private:
  enum class readiness : std::uint8_t { ready, wait, late, failed };
  enum class fault : std::uint8_t { handler, disk };

  struct encoded_state {
    std::optional<std::string> bytes; ///< nothing: as it is stored
    write_set jars; ///< those that changed
  };

  caf::result<caf_reply> receive_call(caf_call& call);
  void receive(envelope_ptr what);
  void process(envelope_ptr what);
  void run_call(envelope& what);
  void run_message(const envelope_ptr& what);
  void run_firing(const envelope_ptr& what);
  void fail_firing(const envelope_ptr& what, const error& why);
  void run_task_message(const envelope_ptr& what);
  void run_task_call(envelope& what);
  return_address way_to_memory(const std::string& key) const { return dormouse::way_to_memory(entry_.where, facts_.incarnation, key); }
  void complete_memory(const envelope_ptr& what);
  void forget_call(const envelope_ptr& what);
  void drop_late(const envelope_ptr& what);
  void time_out_call(const envelope_ptr& what);
  bool is_held(const envelope& what);
  void fail_message(const envelope_ptr& what, turn& in_turn, const error& why);
  void refuse(const envelope_ptr& what, const error& why);
  void try_later(const envelope_ptr& what, const error& why);
  void watch_gate();
  void not_ready();
  void turn_away(const envelope_ptr& what, const error& why);
  static std::optional<error> put_below(return_path& path, const return_path& those_who_wait);

  readiness ensure_ready(error& why, const envelope* next = nullptr);
  std::optional<error> load(const envelope* next);
  std::optional<error> run_lifecycle(void (durable_object::*hook)(), std::string_view name, const std::string* unchanged, std::chrono::milliseconds& blocked);
  void discard();

  /// Runs the method; the error of one that threw.
  std::optional<error> enter(const method_descriptor& method, invocation& call, turn& in_turn);
  /// The same, with the turn undone.
  std::optional<error> invoke(const method_descriptor& method, invocation& call, turn& in_turn);
  expected<std::string> run_read(const method_descriptor& method, std::string_view arguments);
  task_runner& tasks();
  task_host::outcome call_own(turn& in_turn, std::string_view method, std::string_view arguments, return_address reply_to) override;
  expected<void> run_started(turn& in_turn);
  expected<std::string> encode_object();
  expected<encoded_state> encode_state();
  expected<encoded_state> encode_after_tasks();
  std::optional<error> take_cookies(const result_message::extension& from, turn& in_turn);
  void count_bytes(std::size_t bytes);
  void commit(turn& in_turn, encoded_state state, turn_commit::consequences then);
  void put_changes(turn_commit& to, turn& in_turn, encoded_state state);
  void commit(turn_commit::consequences then);
  void commit_handled(const envelope_ptr& what, turn_commit::consequences then);
  void add_schedules(turn_commit& to);
  void submit(std::unique_ptr<turn_commit> next);
  void reply(std::unique_ptr<reply_sink> sink, expected<std::string> what);
  void give_up(const envelope_ptr& what, const error& why, fault of = fault::handler);
  void try_again(const envelope_ptr& what, std::chrono::milliseconds after);
  void reply_to_path(return_path& path, expected<std::string> what);

  void finished(const envelope_ptr& what);
  bool settled_or_notified();
  void after_message();
  void try_retire();

  runtime_core& core_;
  directory_entry& entry_; ///< gone once `retire` succeeded
  std::unique_ptr<durable_object> object_;
  object_facts facts_; ///< of that object
  jar_cache jars_;
  storage_overlay rows_; ///< in flight
  schedule_book schedules_;
  call_memory memory_;
  std::uint64_t commits_ = 0; ///< so many were submitted
  std::unique_ptr<task_runner> tasks_; ///< null if it had nothing to do since the object woke
  std::shared_ptr<commit_gate> gate_;
  std::list<envelope_ptr> stash_;        ///< arrived while the state could not be reloaded yet
  ready_gate ready_;
  std::vector<envelope_ptr> backing_off_; ///< counted as pending; come back by themselves
  std::size_t counted_bytes_ = 0;
  std::size_t state_bytes_ = 0;  ///< of the state as it was written last
  bool is_stored_ = false;       ///< the state is on the disk, or on its way there
  bool own_changes_ = false;     ///< a task has called a method that may have changed it since
  bool hibernate_ = false;
  bool woke_ = false;
  bool retired_ = false;
};

caf::behavior activation::make_behavior() {
  return {
    [this](caf_call& call) { return receive_call(call); },
    [this](envelope_ptr& what) {
      receive(std::move(what));
      after_message();
    },
    [this](commits_drained) {
      auto waiting = std::exchange(stash_, {});
      for (auto& what : waiting)
        receive(std::move(what));
      after_message();
      try_retire();
    },
    [this](const look_at_ready_gate& what) {
      if (ready_.is_closed() && ready_.number() == what.number)
        ready_.left().count() > 0 ? watch_gate() : not_ready();
      after_message();
    },
    [this](redeliver& again) {
      if (std::erase(backing_off_, again.what) == 0)
        return; // given up on meanwhile
      receive(std::move(again.what));
      after_message();
    },
    [this](turn_uncommitted& turn) {
      try_again(turn.what, storage_retry);
      after_message();
    },
    [this](retire_if_idle) { try_retire(); },
    [this](stop_activation) {
      hibernate_ = true;
      for (const auto& what : std::exchange(backing_off_, {}))
        finished(what);
      for (const auto& what : ready_.take_waiting())
        turn_away(what, {errc::stopped, "the runtime has stopped"});
      try_retire();
    },
  };
}

void activation::on_exit() {
  tasks_.reset();
  object_.reset();
}

// --- receiving --------------------------------------------------------------------------------------------------------------------------

/// A call from a CAF actor. The common case, a read with nothing in flight, is answered on the spot and allocates nothing of ours.
caf::result<caf_reply> activation::receive_call(caf_call& call) {
  error why;
  if (call.method->read_only && stash_.empty() && ensure_ready(why) == readiness::ready && ready_.is_open()) {
    auto answer = run_read(*call.method, call.arguments);
    if (object_ && gate_->in_flight.load(std::memory_order_acquire) == 0 && !gate_->failed.load(std::memory_order_acquire)) {
      core_.directory.finished(entry_);
      after_message();
      if (answer)
        return caf_reply{std::move(*answer)};
      return to_caf_error(answer.error());
    }
    reply(make_caf_sink(make_response_promise()), std::move(answer));
    core_.directory.finished(entry_);
    after_message();
    return caf::delegated<caf_reply>{};
  }
  auto what = std::make_shared<envelope>();
  what->method = call.method;
  what->arguments = std::move(call.arguments);
  what->sink = make_caf_sink(make_response_promise());
  receive(std::move(what));
  after_message();
  return caf::delegated<caf_reply>{};
}

void activation::receive(envelope_ptr what) {
  if (stash_.empty())
    process(std::move(what));
  else
    stash_.push_back(std::move(what));
}

void activation::process(envelope_ptr what) {
  if (what->firing) {
    auto& due = *what->firing;
    due.row = {};
    if (!object_ && gate_->in_flight.load(std::memory_order_acquire) == 0 && !gate_->failed.load(std::memory_order_acquire))
      if (auto row = core_.store->load_schedule(entry_.where, due.id)) {
        if (!*row || (*row)->due_ms != due.due_ms) { // nobody is woken, or even made, for what was cancelled
          clear_away(core_, entry_.where, due.id, due.due_ms, nullptr);
          return finished(what);
        }
        due.row = std::move(**row);
        if (due.row.method == call_methods::forget) // nor for what is none of its business
          return run_firing(what);
      }
  }
  error why;
  switch (ensure_ready(why, what.get())) {
    case readiness::wait:
      stash_.push_back(std::move(what));
      return;
    case readiness::late:
      core_.store->submit(std::make_unique<late_result_commit>(core_, entry_.where, *what));
      finished(what);
      return;
    case readiness::failed:
      if (what->sink)
        what->sink->resolve(unexpected<error>(why));
      // The messages of an object that this program cannot read stay in its inbox.
      if ((what->inbox_id != 0 || what->firing) && why.code != errc::corrupt && why.code != errc::newer_format)
        return why.code == errc::storage_error ? try_again(what, storage_retry) : give_up(what, why);
      finished(what);
      return;
    case readiness::ready:
      break;
  }
  if (is_held(*what) && core_.stopping.load(std::memory_order_relaxed))
    return turn_away(what, {errc::stopped, "the runtime has stopped"});
  if (is_held(*what))
    return ready_.wait(std::move(what));
  if (what->firing)
    return run_firing(what);
  if (what->inbox_id != 0)
    return run_message(what);
  run_call(*what);
  finished(what);
}

void activation::run_call(envelope& what) {
  if (!what.key.empty() && memory_.answers(what, entry_.type, way_to_memory(what.key), gate_))
    return;
  if (runtime_methods::is_about_tasks(*what.method))
    return run_task_call(what);
  if (what.method->read_only)
    return reply(std::move(what.sink), run_read(*what.method, what.arguments));
  turn in_turn(core_, entry_.where, facts_.incarnation, jars_, rows_, schedules_);
  invocation call{.arguments = what.arguments, .reply = {}, .reply_slot = {}};
  if (auto thrown = invoke(*what.method, call, in_turn))
    return reply(std::move(what.sink), unexpected<error>(std::move(*thrown)));
  auto answer = call.reply_slot ? call_result<std::string>() : take_reply(call);
  auto state = run_started(in_turn).and_then([this] { return encode_state(); });
  if (state && !what.key.empty())
    if (auto remembered = memory_.remember(in_turn, what, call.reply_slot ? std::nullopt : std::optional(answer)); !remembered)
      state = unexpected<error>(remembered.error());
  if (!state) {
    in_turn.undo();
    discard();
    return reply(std::move(what.sink), unexpected<error>(state.error()));
  }
  turn_commit::consequences then;
  if (call.reply_slot && what.sink) {
    // The caller waits at the bottom of the return path of what the reply hangs on.
    auto& path = in_turn.path_of(*call.reply_slot);
    auto own = path.pop();
    auto caller = what.key.empty() ? core_.callers.add(core_.store->next_id(), std::move(what.sink)) : way_to_memory(what.key);
    (what.key.empty() ? then.later_caller : then.remembered_begun) = caller;
    if (!what.key.empty())
      core_.callers.add_to(caller, std::move(what.sink));
    (void)path.push(std::move(caller)); // an empty path has room for two
    (void)path.push(std::move(*own));
  } else {
    then.sink = std::move(what.sink);
    then.reply = std::move(answer);
  }
  commit(in_turn, std::move(*state), std::move(then));
}

/// A schedule that is due. Its row is the message: the commit of the turn erases it, or moves it to its next tick. What was cancelled or replaced
/// since it was read to be due is nothing.
void activation::run_firing(const envelope_ptr& what) {
  auto& due = *what->firing;
  if (due.row.method.empty() || schedules_.is_recent(due.id)) { // not read a moment ago, or `on_wake` has done something to it since
    auto row = schedules_.find(due.id);
    if (!row && row.error().code == errc::storage_error)
      return try_again(what, storage_retry);
    if (!row || !*row || (*row)->due_ms != due.due_ms) {
      if (!schedules_.is_recent(due.id))
        clear_away(core_, entry_.where, due.id, due.due_ms, row ? nullptr : &row.error());
      return finished(what);
    }
    due.row = std::move(**row);
  }
  what->arguments = due.row.arguments;
  if (due.row.method == task_methods::hop)
    return run_task_message(what);
  if (due.row.method == call_methods::timeout)
    return time_out_call(what);
  if (due.row.method == call_methods::forget)
    return forget_call(what);
  what->method = runtime_methods::find(entry_.type, due.row.method);
  if (what->method == nullptr)
    return fail_firing(what, {errc::unknown_method, fmt::format("class {} has no method '{}'", entry_.type.binding, due.row.method)});
  run_message(what);
}

/// The reply to a call with a key that came later.
void activation::complete_memory(const envelope_ptr& what) {
  auto key = memory_.complete(*what->answer);
  if (!key)
    return key.error().code == errc::storage_error ? try_again(what, storage_retry) : give_up(what, key.error(), fault::disk);
  turn_commit::consequences then;
  then.reply = what->answer->answer;
  then.remembered_done = way_to_memory(*key);
  commit_handled(what, std::move(then));
}

/// A call with a key was remembered long enough.
void activation::forget_call(const envelope_ptr& what) {
  if (auto forgotten = memory_.forget(what->firing->row, schedules_); !forgotten)
    return forgotten.error().code == errc::storage_error ? try_again(what, storage_retry) : fail_firing(what, forgotten.error());
  commit_handled(what, {});
}

/// A call has had no answer in time: its record goes, and its continuation finds an error in the inbox.
void activation::time_out_call(const envelope_ptr& what) {
  const auto& row = what->firing->row;
  auto record = read_open_call(row);
  if (!record)
    return fail_firing(what, record.error());
  if (auto fired = schedules_.fire(row); !fired)
    return fail_firing(what, fired.error());
  turn_commit::consequences then;
  then.reply = tl::unexpected<call_error>(timed_out(*record));
  then.reply_path = std::move(record->path);
  commit_handled(what, std::move(then));
}

/// The answer to a call whose time had passed, or that was given up.
void activation::drop_late(const envelope_ptr& what) {
  turn_commit::consequences then;
  then.is_late = true;
  commit_handled(what, std::move(then));
}

/// Whether it waits until the object is ready. A time-out does not: the object may be waiting for that very answer.
bool activation::is_held(const envelope& what) {
  if (!ready_.holds(what))
    return false;
  if (!what.firing)
    return true;
  auto row = schedules_.find(what.firing->id);
  return !row || !*row || (*row)->method != call_methods::timeout;
}

/// Its row moves to a later time, or the tick to the dead letters, in a commit of its own: nothing of it is in memory until then.
void activation::fail_firing(const envelope_ptr& what, const error& why) {
  auto& due = *what->firing;
  if (due.row.method.empty()) { // the object could not be made ready
    auto row = core_.store->load_schedule(entry_.where, due.id);
    if (!row || !*row || (*row)->due_ms != due.due_ms)
      return finished(what);
    due.row = std::move(**row);
  }
  turn_commit::consequences then;
  then.handled = what;
  auto next = std::make_unique<turn_commit>(core_, entry_, gate_, std::move(then));
  next->add_schedules(after_failure(core_, entry_.where, due.row, why));
  submit(std::move(next));
  finished(what);
}

/// What is in the inbox leaves it only with the commit of the turn that handled it: a result, an answer, a call from another object, a post.
void activation::run_message(const envelope_ptr& what) {
  if (what->answer && what->answer->path.top()->method == call_methods::remember)
    return complete_memory(what);
  if (what->answer) {
    auto wanted = is_wanted(schedules_, *what);
    if (!wanted)
      return wanted.error().code == errc::storage_error ? try_again(what, storage_retry) : give_up(what, wanted.error(), fault::disk);
    if (!*wanted)
      return drop_late(what);
  }
  const auto* hop_of_task = what->result ? what->result->path.top() : what->answer ? what->answer->path.top() : nullptr;
  if (hop_of_task != nullptr ? hop_of_task->method == task_methods::hop : runtime_methods::is_about_tasks(*what->method))
    return run_task_message(what);
  const auto* method = what->method;
  invocation call{.arguments = what->arguments, .reply = {}, .reply_slot = {}};
  return_path rest = what->path; // who waits for what this turn comes to
  fetch_result result;
  if (what->result || what->answer) {
    rest = what->result ? what->result->path : what->answer->path;
    auto hop = *rest.pop();
    what->arguments = std::move(hop.context);
    call.arguments = what->arguments;
    method = entry_.type.find(hop.method);
    if (method == nullptr || !(what->result ? method->takes_result : method->takes_answer))
      return give_up(what, {errc::unknown_method, fmt::format("class {} has no method '{}' that takes a {}", entry_.type.binding, hop.method,
                                                              what->result ? "fetch_result" : "call_result")});
  }
  if (what->answer)
    call.answer = &what->answer->answer;
  if (what->result) {
    result = what->result->result; // a copy: if the handler throws it is tried again
    if (what->has_blob) {
      // Only now: what waits in mailboxes, or for its commit, or to be tried again, holds no large body.
      auto body = core_.store->load_response_body(what->result->fetch_id);
      if (!body)
        return body.error().code == errc::storage_error ? try_again(what, storage_retry) : give_up(what, body.error(), fault::disk);
      response_access::body(*result) = std::move(*body);
    }
    call.result = &result;
  }
  turn in_turn(core_, entry_.where, facts_.incarnation, jars_, rows_, schedules_);
  auto failed = what->result ? take_cookies(what->result->extra, in_turn) : what->firing ? in_turn.begin_tick(what->firing->row) : std::nullopt;
  if (what->open_call != 0)
    failed = in_turn.close_call(what->open_call);
  if (!failed)
    failed = invoke(*method, call, in_turn);
  turn_commit::consequences then;
  if (!failed && call.reply_slot)
    failed = put_below(in_turn.path_of(*call.reply_slot), rest);
  encoded_state state;
  if (!failed && !method->read_only) {
    auto encoded = run_started(in_turn).and_then([this] { return encode_state(); });
    if (encoded)
      state = std::move(*encoded);
    else
      failed = encoded.error();
  }
  if (failed && !in_turn.met_storage_error() && !what->path.empty()) {
    in_turn.undo();
    if (!method->read_only)
      discard();
    return refuse(what, *failed);
  }
  if (failed)
    return fail_message(what, in_turn, *failed);
  if (!call.reply_slot && !rest.empty()) {
    then.reply_path = std::move(rest);
    then.reply = take_reply(call);
  }
  then.handled = what;
  if (method->read_only)
    commit(std::move(then));
  else
    commit(in_turn, std::move(state), std::move(then));
  core_.directory.finished(entry_); // the envelope itself lives until its commit is durable: it may have to be handled again
}

// --- tasks ------------------------------------------------------------------------------------------------------------------------------

task_runner& activation::tasks() {
  if (!tasks_)
    tasks_ = std::make_unique<task_runner>(core_, entry_, *this);
  else if (gate_->in_flight.load(std::memory_order_acquire) == 0)
    tasks_->forget_ended();
  return *tasks_;
}

expected<void> activation::run_started(turn& in_turn) {
  return in_turn.has_started() ? tasks().run_started(in_turn) : expected<void>();
}

/// From outside, or a task that was stuck is to be tried again.
void activation::run_task_call(envelope& what) {
  turn in_turn(core_, entry_.where, facts_.incarnation, jars_, rows_, schedules_);
  turn_commit::consequences then;
  return_path waits;
  if (!what.key.empty()) {
    (void)waits.push(way_to_memory(what.key)); // if it does come later
  } else if (what.sink && (what.method->make_task != nullptr || what.method == &runtime_methods::await_task)) {
    auto caller = core_.callers.add(core_.store->next_id(), std::move(what.sink));
    (void)waits.push(caller); // an empty path has room
    then.later_caller = std::move(caller);
  }
  encoded_state state;
  auto ran = tasks().run(in_turn, *what.method, what.arguments, waits).and_then([&](task_reply answer) -> expected<task_reply> {
    return run_started(in_turn).and_then([this] { return encode_after_tasks(); }).map([&](encoded_state bytes) {
      state = std::move(bytes);
      return std::move(answer);
    });
  }).and_then([&](task_reply answer) -> expected<task_reply> {
    if (!what.key.empty())
      if (auto remembered = memory_.remember(in_turn, what, answer.later ? std::nullopt : std::optional(answer.value)); !remembered)
        return unexpected<error>(remembered.error());
    return answer;
  });
  if (!ran) {
    in_turn.undo();
    discard();
    if (then.later_caller)
      what.sink = core_.callers.take(*then.later_caller);
    return reply(std::move(what.sink), unexpected<error>(ran.error()));
  }
  if (!ran->later) {
    then.sink = then.later_caller ? core_.callers.take(*then.later_caller) : std::move(what.sink);
    then.later_caller.reset();
    then.reply = std::move(ran->value);
  } else if (!what.key.empty()) {
    then.remembered_begun = way_to_memory(what.key);
    core_.callers.add_to(*then.remembered_begun, std::move(what.sink));
  }
  commit(in_turn, std::move(state), std::move(then));
}

/// From the inbox: what a step came to, or a call of a task or about one.
void activation::run_task_message(const envelope_ptr& what) {
  turn in_turn(core_, entry_.where, facts_.incarnation, jars_, rows_, schedules_);
  turn_commit::consequences then;
  then.handled = what;
  encoded_state state;
  auto failed = what->result ? take_cookies(what->result->extra, in_turn) : what->firing ? in_turn.begin_tick(what->firing->row) : std::nullopt;
  if (!failed) {
    auto ran = expected<void>();
    if (what->result) {
      const auto& message = *what->result;
      ran = tasks()
               .complete(in_turn, message.path.top()->context, encode(message.result), !message.result, message.fetch_id, what->has_blob)
               .map([&then](bool kept) { then.keeps_body = kept; });
    } else if (what->answer) {
      ran = tasks().complete(in_turn, what->answer->path.top()->context, what->answer->answer, false, 0, false).map([](bool) {});
    } else if (what->method == nullptr) { // a sleep is over
      ran = tasks().complete(in_turn, what->arguments, std::string(), false, 0, false).map([](bool) {});
    } else {
      ran = tasks().run(in_turn, *what->method, what->arguments, what->path).map([&](task_reply answer) {
        if (answer.later || what->path.empty())
          return;
        then.reply_path = what->path;
        then.reply = std::move(answer.value);
      });
    }
    auto encoded = ran.and_then([&] { return run_started(in_turn); }).and_then([this] { return encode_after_tasks(); });
    if (encoded)
      state = std::move(*encoded);
    else
      failed = encoded.error();
  }
  if (failed && failed->code == errc::storage_error) {
    in_turn.undo();
    discard();
    return try_again(what, storage_retry);
  }
  if (failed && failed->code == errc::corrupt) {
    in_turn.undo();
    discard();
    return give_up(what, *failed, fault::disk);
  }
  if (failed)
    return fail_message(what, in_turn, *failed);
  commit(in_turn, std::move(state), std::move(then));
  core_.directory.finished(entry_);
}

/// A method of the object for one of its tasks. If it fails, the turn goes on as if it had not been called.
task_host::outcome activation::call_own(turn& in_turn, std::string_view method, std::string_view arguments, return_address reply_to) {
  const auto refused = [this](error why) { return call_result<std::string>(tl::unexpected<call_error>({why.code, std::move(why.message), entry_.where})); };
  const auto* found = entry_.type.find(method);
  if (found == nullptr || found->invoke == nullptr)
    return refused({errc::unknown_method, fmt::format("class {} has no method '{}'", entry_.type.binding, method)});
  invocation call{.arguments = arguments, .reply = {}, .reply_slot = {}};
  if (found->read_only) {
    auto failed = enter(*found, call, in_turn);
    return failed ? refused(std::move(*failed)) : take_reply(call);
  }
  auto before = encode_object();
  if (!before)
    return refused(before.error());
  own_changes_ = true;
  auto done_before = in_turn.save();
  auto failed = enter(*found, call, in_turn);
  if (!failed && call.reply_slot) {
    return_path waits;
    (void)waits.push(std::move(reply_to)); // an empty path has room
    failed = put_below(in_turn.path_of(*call.reply_slot), waits);
  }
  if (!failed)
    if (auto after = encode_object(); !after)
      failed = after.error();
  if (!failed) {
    hibernate_ = hibernate_ || in_turn.wants_hibernation();
    return call.reply_slot ? task_host::outcome() : task_host::outcome(take_reply(call));
  }
  core_.counts.failed_turns.add();
  in_turn.go_back(std::move(done_before));
  object_ = entry_.type.make();
  entry_.type.load(*object_, *before, facts_.state_version); // what it wrote itself
  return refused(std::move(*failed));
}

// --- failures ---------------------------------------------------------------------------------------------------------------------------

/// Whoever called hears of it and decides; nothing is tried again here.
void activation::refuse(const envelope_ptr& what, const error& why) {
  turn_commit::consequences then;
  then.reply = tl::unexpected<call_error>(call_error{why.code, why.message, entry_.where});
  then.reply_path = what->path;
  commit_handled(what, std::move(then));
}

/// Its handler failed, or it could not get to it.
void activation::try_later(const envelope_ptr& what, const error& why) {
  what->history.push_back({core_.clock->now_ms(), to_string(why)});
  if (++what->failures >= max_handler_failures)
    return give_up(what, why);
  try_again(what, first_redelivery * (1 << what->failures));
}

/// A timer keeps what is left of an activation that has retired, and the time may be long: so it is looked at every now and then.
void activation::watch_gate() {
  delayed_send(this, std::clamp(ready_.left(), std::chrono::milliseconds(1), std::chrono::milliseconds(1'000)), look_at_ready_gate{ready_.number()});
}

/// The object did not become ready in time: it is given up, and those who wait for it are told.
void activation::not_ready() {
  const error why{errc::timeout, fmt::format("object {} was not ready within the {} ms that it had asked for with block_until_ready()", to_string(entry_.where), ready_.timeout().count())};
  discard();
  hibernate_ = true;
  for (const auto& what : ready_.take()) {
    if (what->firing)
      fail_firing(what, why);
    else if (what->inbox_id == 0)
      turn_away(what, why);
    else if (what->path.empty())
      try_later(what, why);
    else
      refuse(what, why);
  }
}

/// What is in the inbox stays there.
void activation::turn_away(const envelope_ptr& what, const error& why) {
  if (what->sink)
    what->sink->resolve(unexpected<error>(why));
  finished(what);
}

/// The handler of something that nobody waits for, or whose sender cannot be asked again, failed: once more later, and in the end to the dead letters.
void activation::fail_message(const envelope_ptr& what, turn& in_turn, const error& why) {
  in_turn.undo();
  discard();
  if (in_turn.met_storage_error())
    return try_again(what, storage_retry);
  if (what->firing)
    return fail_firing(what, why);
  try_later(what, why);
}

/// Puts those who wait below the one that is on the path already. Error: `path_too_long`.
std::optional<error> activation::put_below(return_path& path, const return_path& those_who_wait) {
  auto own = path.pop();
  path = those_who_wait;
  if (auto pushed = path.push(std::move(*own)); !pushed)
    return pushed.error();
  return std::nullopt;
}

// --- the object -------------------------------------------------------------------------------------------------------------------------

/// Whether the object is there for `next`, loading it if need be.
activation::readiness activation::ensure_ready(error& why, const envelope* next) {
  if (object_ && !gate_->failed.load(std::memory_order_acquire))
    return next != nullptr && is_late(*next, facts_.incarnation) ? readiness::late : readiness::ready;
  discard();
  if (!settled_or_notified()) // what is being written now must be readable before the state is loaded again
    return readiness::wait;
  if (auto failed = load(next)) {
    why = std::move(*failed);
    discard();
    return readiness::failed;
  }
  return object_ ? readiness::ready : readiness::late;
}

/// Loads nothing if `next` is for another life of the object: it must not create one.
std::optional<error> activation::load(const envelope* next) {
  gate_ = std::make_shared<commit_gate>();
  rows_.follow(gate_);
  auto stored = core_.store->load_object(entry_.where);
  if (!stored) {
    if (stored.error().code != errc::storage_error)
      core_.note_corrupt(entry_.where, stored.error().message);
    return stored.error();
  }
  if (next != nullptr && is_for_one_life(*next) && (!*stored || is_late(*next, (*stored)->facts.incarnation))) {
    hibernate_ = true;
    return std::nullopt;
  }
  const auto* state = *stored ? &(*stored)->state : nullptr;
  facts_ = *stored ? (*stored)->facts : object_facts{.incarnation = core_.store->next_id()};
  try {
    object_ = entry_.type.make();
    if (state != nullptr)
      entry_.type.load(*object_, *state, facts_.state_version);
  } catch (const std::exception& e) {
    const auto* newer = dynamic_cast<const failure*>(&e);
    if (newer != nullptr && newer->code() != errc::newer_format)
      newer = nullptr;
    error why{newer != nullptr ? errc::newer_format : errc::corrupt,
              fmt::format("the stored state of object {} does not load: {}", to_string(entry_.where), newer != nullptr ? newer->what_failed().message : e.what())};
    core_.note_corrupt(entry_.where, why.message);
    return why;
  }
  facts_.state_version = entry_.type.state_version(); // of what is written from here on
  if (!std::exchange(woke_, true))
    core_.counts.wakes.add();
  is_stored_ = state != nullptr;
  state_bytes_ = is_stored_ ? state->size() : 0;
  count_bytes(activation_bytes + state_bytes_);
  std::chrono::milliseconds blocked{}; // by on_wake, which is asked again each time
  if (state == nullptr && entry_.type.has_on_create)
    if (auto failed = run_lifecycle(&durable_object::on_create, "on_create", nullptr, blocked))
      return failed;
  if (entry_.type.has_on_wake)
    if (auto failed = run_lifecycle(&durable_object::on_wake, "on_wake", state, blocked))
      return failed;
  blocked = std::max(blocked, std::chrono::milliseconds(facts_.unready_ms));
  if (blocked.count() == 0)
    ready_.open();
  else if (ready_.close(blocked))
    watch_gate();
  return std::nullopt;
}

std::optional<error> activation::run_lifecycle(void (durable_object::*hook)(), std::string_view name, const std::string* unchanged, std::chrono::milliseconds& blocked) {
  turn in_turn(core_, entry_.where, facts_.incarnation, jars_, rows_, schedules_);
  in_turn.enter_hook(name);
  object_access::enter(*object_, &in_turn);
  std::optional<error> failed;
  try {
    (object_.get()->*hook)();
  } catch (const failure& e) {
    failed = e.what_failed();
  } catch (const std::exception& e) {
    failed = error{errc::handler_failed, fmt::format("{} of object {} threw: {}", name, to_string(entry_.where), e.what())};
  } catch (...) {
    failed = error{errc::handler_failed, fmt::format("{} of object {} threw something that is not a std::exception", name, to_string(entry_.where))};
  }
  object_access::enter(*object_, nullptr);
  if (failed) {
    core_.counts.failed_turns.add();
    return failed;
  }
  hibernate_ = hibernate_ || in_turn.wants_hibernation();
  if (auto wanted = in_turn.blocks_for(); wanted && name == "on_create")
    facts_.unready_ms = wanted->count(); // on_create will not run again: what it waits for is remembered
  else if (wanted)
    blocked = *wanted;
  auto state = run_started(in_turn).and_then([this] { return encode_state(); });
  if (!state)
    return state.error();
  if (unchanged == nullptr || *unchanged != state->bytes || in_turn.has_effects() || (tasks_ && tasks_->has_effects()) || !state->jars.empty() || (in_turn.says_ready() && facts_.unready_ms != 0))
    commit(in_turn, std::move(*state), {});
  return std::nullopt;
}

/// What the responses of a fetch set, before its handler runs.
std::optional<error> activation::take_cookies(const result_message::extension& from, turn& in_turn) {
  if (from.cookies.empty())
    return std::nullopt;
  try {
    auto* jar = in_turn.jar(from.jar);
    for (const auto& [url, field, time_ms] : from.cookies)
      if (auto origin = parse_url(url))
        (void)jar->receive(*origin, field, time_ms); // what RFC 6265bis ignores is ignored
  } catch (const failure& e) {
    return e.what_failed();
  }
  return std::nullopt;
}

void activation::discard() {
  tasks_.reset(); // what they have done since may never be durable
  object_.reset();
  is_stored_ = own_changes_ = false;
  jars_.clear();
  rows_.clear(); // what commits in flight wrote is in the store before the object is loaded again, or will never be
  schedules_.clear();
  memory_.clear();
}

std::optional<error> activation::enter(const method_descriptor& method, invocation& call, turn& in_turn) {
  std::optional<error> failed;
  object_access::enter(*object_, &in_turn);
  try {
    method.invoke(*object_, call);
  } catch (const failure& e) {
    failed = e.what_failed();
  } catch (const std::exception& e) {
    failed = error{errc::handler_failed, fmt::format("{}.{} of object {} threw: {}", entry_.type.binding, method.name, to_string(entry_.where), e.what())};
  } catch (...) {
    failed = error{errc::handler_failed, fmt::format("{}.{} of object {} threw something that is not a std::exception", entry_.type.binding, method.name,
                                                     to_string(entry_.where))};
  }
  object_access::enter(*object_, nullptr);
  return failed;
}

std::optional<error> activation::invoke(const method_descriptor& method, invocation& call, turn& in_turn) {
  if (auto failed = enter(method, call, in_turn)) {
    core_.counts.failed_turns.add();
    in_turn.undo();
    if (!method.read_only)
      discard(); // the handler may have changed it before it threw
    return failed;
  }
  hibernate_ = hibernate_ || in_turn.wants_hibernation();
  return std::nullopt;
}

expected<std::string> activation::run_read(const method_descriptor& method, std::string_view arguments) {
  core_.counts.reads.add();
  turn in_turn(core_, entry_.where, facts_.incarnation, jars_, rows_, schedules_);
  invocation call{.arguments = arguments, .reply = {}, .reply_slot = {}};
  if (auto failed = invoke(method, call, in_turn))
    return unexpected<error>(std::move(*failed));
  return for_outside(take_reply(call));
}

expected<std::string> activation::encode_object() {
  std::string state;
  try {
    entry_.type.save(*object_, state);
  } catch (const std::exception& e) {
    return fail(errc::handler_failed, fmt::format("serialize() of object {} threw: {}", to_string(entry_.where), e.what()));
  }
  if (state.size() > core_.settings.max_state_bytes)
    return fail(errc::too_large, fmt::format("the state of object {} has {} bytes; the limit is options::max_state_bytes = {}", to_string(entry_.where), state.size(),
                                             core_.settings.max_state_bytes));
  return state;
}

expected<activation::encoded_state> activation::encode_state() {
  auto state = encode_object();
  if (!state)
    return unexpected<error>(state.error());
  own_changes_ = false;
  encoded_state out{std::move(*state), {}};
  if (auto fits = jars_.put_changes(*core_.store, out.jars, entry_.where, core_.settings.max_state_bytes); !fits)
    return unexpected<error>(fits.error());
  return out;
}

// --- leaving ----------------------------------------------------------------------------------------------------------------------------

/// For `max_active_bytes`.
void activation::count_bytes(std::size_t bytes) {
  if (bytes == counted_bytes_)
    return;
  core_.counts.active_bytes.add(bytes - counted_bytes_); // wraps around when it shrinks, as unsigned arithmetic does
  counted_bytes_ = bytes;
}

/// Of a turn of tasks, which seldom change the object itself.
expected<activation::encoded_state> activation::encode_after_tasks() {
  if (!is_stored_ || own_changes_)
    return encode_state();
  encoded_state out;
  if (auto fits = jars_.put_changes(*core_.store, out.jars, entry_.where, core_.settings.max_state_bytes); !fits)
    return unexpected<error>(fits.error());
  return out;
}

void activation::commit(turn& in_turn, encoded_state state, turn_commit::consequences then) {
  auto next = std::make_unique<turn_commit>(core_, entry_, gate_, std::move(then));
  const bool is_last = in_turn.wants_destruction();
  if (in_turn.says_ready())
    facts_.unready_ms = 0;
  if (in_turn.says_ready() || is_last)
    ready_.open();
  if (is_last)
    erase_object(*core_.store, next->writes, entry_.where,
                 gate_->in_flight.load(std::memory_order_acquire) == 0 ? erasure::of_what_is_stored : erasure::of_all_there_may_be);
  else
    put_changes(*next, in_turn, std::move(state));
  next->add_fetches(in_turn.take_fetches());
  next->add_calls(in_turn.take_calls());
  next->add_answers(in_turn.take_cancelled_calls());
  next->add_aborts(in_turn.take_aborts());
  if (is_last)
    tasks().end_all();
  if (tasks_ && tasks_->has_effects())
    next->add_tasks(tasks_->take_effects());
  if (is_last)
    (void)schedules_.erase_all(); // a row that cannot be read is cleared away when it is due
  if (is_last)
    memory_.clear();
  add_schedules(*next);
  submit(std::move(next));
  if (is_last) {
    discard(); // whoever comes next waits until the commit is durable, and finds nothing
    count_bytes(activation_bytes);
    hibernate_ = true;
  }
}

/// What belongs to the object.
void activation::put_changes(turn_commit& to, turn& in_turn, encoded_state state) {
  if (state.bytes) {
    core_.store->put_object(to.writes, entry_.where, facts_, *state.bytes);
    state_bytes_ = state.bytes->size();
    is_stored_ = true;
  }
  std::move(state.jars.begin(), state.jars.end(), std::back_inserter(to.writes));
  if (auto rows = in_turn.take_rows(); !rows.empty()) {
    to.add_rows(rows);
    rows_.add(std::move(rows));
  }
  count_bytes(activation_bytes + state_bytes_ + rows_.rows().bytes);
}

/// Of a turn that left the object as it was.
void activation::commit(turn_commit::consequences then) {
  auto next = std::make_unique<turn_commit>(core_, entry_, gate_, std::move(then));
  add_schedules(*next); // of a tick whose method has become const
  submit(std::move(next));
}

void activation::submit(std::unique_ptr<turn_commit> next) {
  ++commits_;
  gate_->in_flight.fetch_add(1, std::memory_order_relaxed);
  core_.store->submit(std::move(next));
}

/// The same for a message that is done with thereby.
void activation::commit_handled(const envelope_ptr& what, turn_commit::consequences then) {
  then.handled = what;
  commit(std::move(then));
  core_.directory.finished(entry_);
}

void activation::add_schedules(turn_commit& to) {
  const auto settled = commits_ - gate_->in_flight.load(std::memory_order_acquire);
  schedules_.forget(settled);
  memory_.settled(settled);
  memory_.take_changes(to.writes, commits_ + 1);
  if (schedules_.changed())
    to.add_schedules(schedules_.take_changes(commits_ + 1));
}

/// A reply that depends on commits in flight waits for them.
void activation::reply(std::unique_ptr<reply_sink> sink, expected<std::string> what) {
  if (sink)
    reply_behind(core_, gate_, std::move(sink), std::move(what));
}

void activation::try_again(const envelope_ptr& what, std::chrono::milliseconds after) {
  if (core_.stopping.load(std::memory_order_relaxed))
    return finished(what);
  backing_off_.push_back(what);
  delayed_send(this, after, redeliver{what});
}

/// Moves a message from the inbox to the dead letters. Whoever waits for what the handler would have come to hears why; the letter keeps only the
/// way to the handler, so that a retry answers nobody twice.
void activation::give_up(const envelope_ptr& what, const error& why, fault of) {
  if (what->firing)
    return fail_firing(what, why);
  if (what->answer)
    (void)is_wanted(schedules_, *what); // it may not have got so far: then whoever gives the letter back finds the continuation in it
  auto key = keys::inbox(entry_.where, what->inbox_id);
  if (auto row = core_.store->get(key); row && *row) {
    auto commit = std::make_unique<burial_commit>(core_);
    if (what->result || what->answer) {
      auto& path = what->result ? what->result->path : what->answer->path;
      auto rest = path;
      auto own = rest.pop();
      const auto* waits = rest.top();
      const bool rewrites = what->open_call != 0 || (waits != nullptr && !waiting_callers::is_caller(*waits));
      if (own->method == call_methods::remember) {
        own->object = entry_.where;
        commit->callers = core_.callers.take_all(*own);
      } else if (waits != nullptr && waiting_callers::is_caller(*waits)) {
        if (auto caller = core_.callers.take(*waits))
          commit->callers.push_back(std::move(caller));
      } else if (waits != nullptr) {
        commit->waiting_object = answer_object(core_, commit->writes, std::move(rest), tl::unexpected<call_error>(call_error{why.code, why.message, entry_.where}));
      }
      if (rewrites) {
        path = {};
        (void)path.push(std::move(*own)); // an empty path has room
        *row = what->result ? seal_value(frame_type::result, *what->result) : seal_value(frame_type::reply, *what->answer);
      }
      if (what->open_call != 0)
        commit->closes_call = close_stored_call(*core_.store, commit->writes, entry_.where, what->open_call);
    }
    core_.store->bury(commit->writes, std::move(key), std::move(**row), to_string(why), core_.clock->now_ms(), what->history);
    commit->why = why;
    commit->damaged = of == fault::disk;
    core_.store->submit(std::move(commit));
  }
  finished(what);
}

void activation::finished(const envelope_ptr&) {
  core_.directory.finished(entry_);
}

/// Whether no commit is in flight; if one is, `commits_drained` will come.
bool activation::settled_or_notified() {
  if (gate_->in_flight.load(std::memory_order_acquire) == 0)
    return true;
  gate_->notify_when_idle.store(true, std::memory_order_seq_cst);
  if (gate_->in_flight.load(std::memory_order_seq_cst) != 0)
    return false;
  return gate_->notify_when_idle.exchange(false, std::memory_order_seq_cst); // false: the notice is already on its way
}

void activation::after_message() {
  while (ready_.is_opening())
    for (auto& what : ready_.take())
      receive(std::move(what));
  if (hibernate_ || core_.settings.idle_after.count() == 0)
    try_retire();
}

void activation::try_retire() {
  if (retired_ || !stash_.empty() || (ready_.is_closed() && !core_.stopping.load(std::memory_order_relaxed)) || entry_.pending.load(std::memory_order_acquire) != 0 || !settled_or_notified())
    return;
  const auto bytes = std::exchange(counted_bytes_, 0);
  if (!core_.directory.retire(entry_)) {
    counted_bytes_ = bytes;
    return;
  }
  retired_ = true;
  core_.counts.active_bytes.sub(bytes);
  core_.counts.hibernations.add();
  quit();
}

} // namespace

caf::actor spawn_activation(runtime_core& core, directory_entry& entry) {
  return core.system.spawn<activation, caf::hidden + caf::lazy_init>(core, entry);
}

} // namespace dormouse
