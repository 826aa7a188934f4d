#include "host/activation.hpp"

#include "host/awake_object.hpp"
#include "host/burial.hpp"
#include "host/late_results.hpp"
#include "host/mailbox_room.hpp"
#include "host/ready_gate.hpp"
#include "proxy/fetch_commit.hpp"
#include "schedule/next_tick.hpp"

#include <dormouse/actors/runtime_methods.hpp>
#include <dormouse/runtime/caf.hpp>
#include <dormouse/serialization/url.hpp>

#include <caf/event_based_actor.hpp>
#include <caf/send.hpp>
#include <fmt/format.h>
#include <spdlog/logger.h>

#include <algorithm>
#include <list>
#include <map>

namespace dormouse {
namespace {

/// A result or post whose handler keeps throwing is tried this often, then becomes a dead letter.
constexpr std::uint32_t max_handler_failures = 5;
constexpr std::size_t longest_failure = 1'000; ///< of the text that is kept of each
constexpr std::chrono::milliseconds first_redelivery{100};
constexpr std::chrono::milliseconds storage_retry{500};
constexpr std::chrono::milliseconds damage_retry{30'000}; ///< it hardly ever mends itself

/// Whether it keeps its place among the messages of its sender: what other objects send, and posts.
bool is_ordered(const envelope& what) noexcept { return what.inbox_id != 0 && what.method != nullptr; }

class activation final : public caf::event_based_actor {
public:
  activation(caf::actor_config& config, runtime_core& core, directory_entry& entry)
      : event_based_actor(config), core_(core), entry_(entry), object_(core, entry, ready_) {
    core.activations.begin();
  }

  caf::behavior make_behavior() override;
  void on_exit() override;

private:
  enum class readiness : std::uint8_t { ready, wait, late, failed };

  caf::result<caf_reply> receive_call(caf_call& call);
  void receive(envelope_ptr what);
  void process(envelope_ptr what);
  bool run_call(envelope& what);
  void run_message(const envelope_ptr& what);
  void run_firing(const envelope_ptr& what);
  void fail_firing(const envelope_ptr& what, const error& why);
  void run_task_message(const envelope_ptr& what);
  bool run_task_call(envelope& what);
  void complete_memory(const envelope_ptr& what);
  void forget_call(const envelope_ptr& what);
  void drop_late(const envelope_ptr& what);
  void time_out_call(const envelope_ptr& what);
  bool is_held(const envelope& what);
  bool bring_in(const envelope_ptr& what);
  bool waits_for_the_disk();
  void fail_turn(const envelope_ptr& what, turn& in_turn, const error& why);
  void fail_message(const envelope_ptr& what, const error& why);
  void answer_for_nobody(const envelope_ptr& what);
  void refuse(const envelope_ptr& what, const error& why);
  void try_later(const envelope_ptr& what, const error& why);
  void watch_gate();
  void not_ready();
  void set_aside(const envelope_ptr& what);
  void turn_away(const envelope_ptr& what, const error& why);

  readiness ensure_ready(error& why, const envelope* next = nullptr);
  void commit_handled(const envelope_ptr& what, turn_commit::consequences then);
  void reply(std::unique_ptr<reply_sink> sink, expected<std::string> what);
  void give_up(const envelope_ptr& what, const error& why, fault of = fault::handler);
  void try_again(const envelope_ptr& what, std::chrono::milliseconds after);
  void fail_to_wake(const envelope_ptr& what, const error& why);
  bool count_failure(const envelope_ptr& what, const error& why);
  void hold_back(envelope_ptr what, std::chrono::milliseconds retry = storage_retry);
  void take_stash();

  void finished(const envelope_ptr& what);
  void after_message();
  void try_retire();

  runtime_core& core_;
  directory_entry& entry_; ///< gone once `retire` succeeded
  ready_gate ready_;
  awake_object object_;           ///< behind the gate it opens
  std::list<envelope_ptr> stash_; ///< arrived while the state could not be reloaded yet
  std::map<std::uint64_t, envelope_ptr>
      held_back_; ///< from the inbox, by its ids: storage failed when they were handled. None that is younger
                  ///< passes them; counted as pending
  std::vector<envelope_ptr> backing_off_; ///< counted as pending; come back by themselves
  std::optional<error>
      not_awake_; ///< why the object did not wake, while those are tried again that were held back
  bool retries_held_back_ = false;
  bool hibernate_ = false; ///< whether or not the object wants it
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
        take_stash();
        after_message();
        try_retire();
      },
      [this](const look_at_ready_gate& what) {
        if (ready_.is_closed() && ready_.number() == what.number)
          ready_.left().count() > 0 ? watch_gate() : not_ready();
        after_message();
      },
      [this](redeliver& again) {
        if (std::erase(backing_off_, again.what) == 0) return; // given up on meanwhile
        receive(std::move(again.what));
        after_message();
      },
      [this](turn_uncommitted& turn) {
        object_.note_given_back();
        hold_back(std::move(turn.what));
        if (!object_.awaits_given_back()) take_stash();
        after_message();
      },
      [this](retry_held_back) {
        retries_held_back_ = true;
        for (auto& [id, what] : std::exchange(held_back_, {}))
          receive(std::move(what)); // if the first one cannot wake the object, it is a try of all of them
        retries_held_back_ = false;
        not_awake_.reset();
        after_message();
      },
      [this](retire_if_idle) { try_retire(); },
      [this](stop_activation) {
        hibernate_ = true;
        for (const auto& what : std::exchange(backing_off_, {}))
          finished(what);
        for (const auto& [id, what] : std::exchange(held_back_, {}))
          finished(what);
        for (const auto& what : ready_.take_waiting())
          turn_away(what, {errc::stopped, "the runtime has stopped"});
        try_retire();
      },
  };
}

/// Its actor may live on for a while, for somebody may hold it; what is not the runtime's own may not.
void activation::on_exit() {
  object_.discard();
  stash_.clear();
  held_back_.clear();
  backing_off_.clear();
  ready_.take_waiting();
  core_.activations.end(); // last: the core may be gone from here on
}

// --- receiving ---------------------------------------------------------------------------------------------

/// A call from a CAF actor. The common case, a read with nothing in flight, is answered on the spot and
/// allocates nothing of ours.
caf::result<caf_reply> activation::receive_call(caf_call& call) {
  error why;
  if (call.method->read_only && stash_.empty() && !core_.is_disk_behind() &&
      ensure_ready(why) == readiness::ready && ready_.is_open()) {
    std::optional<running_note> note(std::in_place, core_.notes, note_kind::call, 0, entry_.where,
                                     call.method->name);
    auto answer = object_.run_read(*call.method, call.arguments);
    note.reset();
    if (object_.is_usable() && object_.is_settled()) {
      core_.directory.finished(entry_);
      after_message();
      if (answer) return caf_reply{std::move(*answer)};
      return to_caf_error(with_origin(answer.error(), entry_.where));
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
  if (!stash_.empty())
    stash_.push_back(std::move(what));
  else if (!held_back_.empty() && is_ordered(*what))
    not_awake_ ? fail_to_wake(what, *not_awake_) : hold_back(std::move(what));
  else
    process(std::move(what));
}

void activation::process(envelope_ptr what) {
  if ((what->inbox_id != 0 || what->firing) && core_.stopping.load(std::memory_order_relaxed))
    return finished(what); // it is on the disk, and the next start has it: stop() waits for no backlog
  if (waits_for_the_disk()) return stash_.push_back(std::move(what));
  if (what->firing) {
    auto& due = *what->firing;
    due.row = {};
    if (object_.is_as_stored())
      if (auto row = core_.store->load_schedule(entry_.where, due.id)) {
        if (!*row || (*row)->due_ms != due.due_ms) { // nobody is woken, or even made, for what was cancelled
          (void)clear_away(core_, entry_.where, due.id, due.due_ms, nullptr);
          return finished(what);
        }
        due.row = std::move(**row);
        if (due.row.method == call_methods::forget || // nor for what is none of its business
            tick_of_the_present(due.row, core_.clock->now_ms()))
          return run_firing(what);
      }
  }
  error why;
  switch (ensure_ready(why, what.get())) {
  case readiness::wait:
    stash_.push_back(std::move(what));
    return;
  case readiness::late:
    if (!bring_in(what)) return;
    if (!what->result && !what->answer) return answer_for_nobody(what);
    core_.store->submit(std::make_unique<late_result_commit>(core_, entry_.where, what));
    finished(what);
    return;
  case readiness::failed:
    if (what->sink) what->sink->resolve(unexpected<error>(with_origin(why, entry_.where)));
    // The messages of an object that this program cannot read, or must not wake, stay in its inbox; another
    // object that waits for an answer is told.
    if (why.code == errc::quarantined && !what->path.empty()) return refuse(what, why);
    if ((what->inbox_id == 0 && !what->firing) || object_.fault() == awake_object::load_fault::damage ||
        object_.fault() == awake_object::load_fault::quarantine)
      return finished(what);
    if (object_.fault() == awake_object::load_fault::storage) return hold_back(what);
    if (retries_held_back_) not_awake_ = why;
    return fail_to_wake(what, why);
  case readiness::ready:
    break;
  }
  if (is_held(*what) && core_.stopping.load(std::memory_order_relaxed))
    return turn_away(what, {errc::stopped, "the runtime has stopped"});
  if (is_held(*what)) return ready_.wait(std::move(what));
  if (!bring_in(what)) return;
  if (what->firing) return run_firing(what);
  if (what->inbox_id == 0) {
    const running_note note(core_.notes, note_kind::call, 0, entry_.where, what->method->name);
    if (!run_call(*what)) return process(std::move(what));
    return finished(what);
  }
  if (what->deaths >= core_.settings.max_deaths) return set_aside(what);
  const auto* hop = what->result   ? what->result->path.top()
                    : what->answer ? what->answer->path.top()
                                   : nullptr;
  const running_note note(core_.notes, note_kind::message, what->inbox_id, entry_.where,
                          hop != nullptr ? std::string_view(hop->method) : what->method->name);
  run_message(what);
}

/// What was left on the disk is read. False: it is not to be handled now, and that has been seen to.
bool activation::bring_in(const envelope_ptr& what) {
  if (!what->left_on_disk) return true;
  auto found = read_again(core_, entry_.type, entry_.where, *what);
  if (found && *found) return true;
  if (found)
    finished(what);
  else if (found.error().code == errc::storage_error)
    hold_back(what);
  else
    give_up(what, found.error(), fault::disk);
  return false;
}

/// While more waits for the disk than `max_unwritten_bytes`, no turn begins before the one before is durable;
/// `commits_drained` comes then. Who has nothing in flight goes on: its next commit is one of so many
/// objects.
bool activation::waits_for_the_disk() { return core_.is_disk_behind() && !object_.settled_or_notified(); }

/// It has killed the process too often (R22).
void activation::set_aside(const envelope_ptr& what) {
  auto record = core_.suspects.find(key_of(entry_.where, *what)).value_or(death_record{});
  const auto why = why_quarantined(record, what->firing ? "the schedule" : "the message");
  core_.log->error(fmt::format("of object {}: {}", to_string(entry_.where), why.message));
  core_.counts.quarantined.add();
  if (!what->firing) {
    what->history = std::move(record.history);
    return give_up(what, why);
  }
  turn_commit::consequences then;
  then.handled = what;
  object_.schedules().failed(
      what->firing->row, quarantine(core_, entry_.where, what->firing->row, why, std::move(record.history)));
  object_.commit(std::move(then));
  finished(what);
}

/// False: nothing has come of it, and it is to be handled once more.
bool activation::run_call(envelope& what) {
  const auto tell = [&](expected<std::string> with) {
    reply(std::move(what.sink), std::move(with));
    return true;
  };
  if (!what.key.empty() &&
      object_.memory().answers(what, entry_.type, object_.way_to_memory(what.key), object_.gate()))
    return true;
  if (runtime_methods::is_about_tasks(*what.method)) return run_task_call(what);
  if (what.method->read_only) return tell(object_.run_read(*what.method, what.arguments));
  auto in_turn = object_.begin_turn();
  invocation call{.arguments = what.arguments, .reply = {}, .reply_slot = {}};
  if (auto thrown = object_.invoke(*what.method, call, in_turn))
    return tell(unexpected<error>(std::move(*thrown)));
  auto answer = call.reply_slot ? call_result<std::string>() : take_reply(call, entry_.where);
  auto state = object_.finish(in_turn);
  if (state && !what.key.empty())
    if (auto remembered =
            object_.memory().remember(in_turn, what, call.reply_slot ? std::nullopt : std::optional(answer));
        !remembered)
      state = unexpected<error>(remembered.error());
  if (!state) {
    in_turn.undo();
    object_.discard();
    return !object_.wants_again() && tell(unexpected<error>(state.error()));
  }
  turn_commit::consequences then;
  if (call.reply_slot && what.sink) {
    // The caller waits at the bottom of the return path of what the reply hangs on.
    auto& path = in_turn.path_of(*call.reply_slot);
    auto own = path.pop();
    auto caller = what.key.empty() ? core_.callers.add(core_.store->next_id(), std::move(what.sink))
                                   : object_.way_to_memory(what.key);
    (what.key.empty() ? then.later_caller : then.remembered_begun) = caller;
    if (!what.key.empty()) core_.callers.add_to(caller, std::move(what.sink));
    (void)path.push(std::move(caller)); // an empty path has room for two
    (void)path.push(std::move(*own));
  } else {
    then.sink = std::move(what.sink);
    then.reply = std::move(answer);
  }
  object_.commit(in_turn, std::move(*state), std::move(then));
  return true;
}

/// A schedule that is due. Its row is the message: the commit of the turn erases it, or moves it to its next
/// tick. What was cancelled or replaced since it was read to be due is nothing.
void activation::run_firing(const envelope_ptr& what) {
  auto& due = *what->firing;
  if (due.row.method.empty() ||
      object_.schedules().is_recent(
          due.id)) { // not read a moment ago, or `on_wake` has done something to it since
    auto row = object_.schedules().find(due.id);
    if (!row && row.error().code == errc::storage_error) return hold_back(what);
    if (!row || !*row || (*row)->due_ms != due.due_ms) {
      if (object_.schedules().is_recent(due.id))
        return commit_handled(what, {}); // with what cancelled it: if that fails, it is still due
      if (!clear_away(core_, entry_.where, due.id, due.due_ms, row ? nullptr : &row.error()))
        return try_again(what, damage_retry);
      return finished(what);
    }
    due.row = std::move(**row);
  }
  if (const auto tick = tick_of_the_present(due.row, core_.clock->now_ms())) { // it is not due
    object_.schedules().postpone(due.row, *tick);
    return commit_handled(what, {});
  }
  what->arguments = due.row.arguments;
  if (core_.suspects.deaths(key_of(entry_.where, *what)) >= core_.settings.max_deaths) return set_aside(what);
  const running_note note(core_.notes, note_kind::schedule, due.id.number, entry_.where, due.row.method);
  if (due.row.method == task_methods::hop) return run_task_message(what);
  if (due.row.method == call_methods::timeout) return time_out_call(what);
  if (due.row.method == call_methods::forget) return forget_call(what);
  what->method = runtime_methods::find(entry_.type, due.row.method);
  if (what->method == nullptr)
    return fail_firing(what, {errc::unknown_method, fmt::format("class {} has no method '{}'",
                                                                entry_.type.binding, due.row.method)});
  run_message(what);
}

/// The reply to a call with a key that came later.
void activation::complete_memory(const envelope_ptr& what) {
  auto key = object_.memory().complete(*what->answer);
  if (!key)
    return key.error().code == errc::storage_error ? hold_back(what)
                                                   : give_up(what, key.error(), fault::disk);
  turn_commit::consequences then;
  then.reply = what->answer->answer;
  then.remembered_done = object_.way_to_memory(*key);
  commit_handled(what, std::move(then));
}

/// A call with a key was remembered long enough.
void activation::forget_call(const envelope_ptr& what) {
  if (auto forgotten = object_.memory().forget(what->firing->row, object_.schedules()); !forgotten)
    return forgotten.error().code == errc::storage_error ? hold_back(what)
                                                         : fail_firing(what, forgotten.error());
  commit_handled(what, {});
}

/// A call has had no answer in time: its record goes, and its continuation finds an error in the inbox.
void activation::time_out_call(const envelope_ptr& what) {
  const auto& row = what->firing->row;
  auto record = read_open_call(row);
  if (!record) return fail_firing(what, record.error());
  if (auto fired = object_.schedules().fire(row); !fired) return fail_firing(what, fired.error());
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

/// Whether it waits until the object is ready. What the object may be waiting for itself does not: the
/// time-out of a call, a step of its task, the task of a task.
bool activation::is_held(const envelope& what) {
  if (!ready_.holds(what)) return false;
  if (const auto* asks = what.path.top(); asks != nullptr && asks->method == task_methods::hop &&
                                          core_.present(asks->object).get() == entry_.where)
    return false;
  if (!what.firing) return true;
  auto row = object_.schedules().find(what.firing->id);
  return !row || !*row || !(*row)->method.starts_with('#');
}

/// Its row moves to a later time, or the tick to the dead letters, in a commit of its own. By way of the
/// object's book, for the object may be awake, and its next turn may cancel the schedule before that is
/// durable.
void activation::fail_firing(const envelope_ptr& what, const error& why) {
  auto& due = *what->firing;
  if (due.row.method.empty()) { // the object could not be made ready
    auto row = object_.schedules().find(due.id);
    if (!row && row.error().code == errc::storage_error) return hold_back(what);
    if (!row) return try_again(what, damage_retry);
    if (!*row || (*row)->due_ms != due.due_ms) return commit_handled(what, {});
    due.row = std::move(**row);
  }
  turn_commit::consequences then;
  then.handled = what;
  object_.schedules().failed(due.row, after_failure(core_, entry_.where, due.row, why));
  object_.commit(std::move(then));
  finished(what);
}

/// What is in the inbox leaves it only with the commit of the turn that handled it: a result, an answer, a
/// call from another object, a post.
void activation::run_message(const envelope_ptr& what) {
  if (what->answer && what->answer->path.top()->method == call_methods::remember)
    return complete_memory(what);
  if (what->answer) {
    auto wanted = is_wanted(object_.schedules(), *what);
    if (!wanted)
      return wanted.error().code == errc::storage_error ? hold_back(what)
                                                        : give_up(what, wanted.error(), fault::disk);
    if (!*wanted) return drop_late(what);
  }
  const auto* hop_of_task = what->result   ? what->result->path.top()
                            : what->answer ? what->answer->path.top()
                                           : nullptr;
  if (hop_of_task != nullptr ? hop_of_task->method == task_methods::hop
                             : runtime_methods::is_about_tasks(*what->method))
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
      return give_up(what, {errc::unknown_method,
                            fmt::format("class {} has no method '{}' that takes a {}", entry_.type.binding,
                                        hop.method, what->result ? "fetch_result" : "call_result")});
  }
  if (what->answer) call.answer = &what->answer->answer;
  if (what->result) {
    result = what->result->result; // a copy: if the handler throws it is tried again
    if (what->has_blob) {
      // Only now: what waits in mailboxes, or for its commit, or to be tried again, holds no large body.
      auto body = core_.store->load_response_body(what->result->fetch_id);
      if (!body)
        return body.error().code == errc::storage_error ? hold_back(what)
                                                        : give_up(what, body.error(), fault::disk);
      response_access::body(*result) = std::move(*body);
    }
    call.result = &result;
  }
  auto in_turn = object_.begin_turn();
  auto failed = what->result   ? object_.take_cookies(what->result->extra, in_turn)
                : what->firing ? in_turn.begin_tick(what->firing->row)
                               : std::nullopt;
  if (what->open_call != 0) failed = in_turn.close_call(what->open_call);
  if (!failed) failed = object_.invoke(*method, call, in_turn);
  turn_commit::consequences then;
  if (!failed && call.reply_slot) failed = put_below(in_turn.path_of(*call.reply_slot), rest);
  awake_object::encoded_state state;
  if (!failed && !method->read_only) {
    auto encoded = object_.finish(in_turn);
    if (encoded) {
      state = std::move(*encoded);
    } else if (object_.wants_again()) {
      in_turn.undo();
      object_.discard();
      return process(what);
    } else if (encoded.error().code == errc::storage_error) { // no fault of the handler
      in_turn.undo();
      object_.discard();
      return hold_back(what);
    } else {
      failed = encoded.error();
    }
  }
  if (failed) return fail_turn(what, in_turn, *failed);
  if (!call.reply_slot && !rest.empty()) {
    then.reply_path = std::move(rest);
    then.reply = take_reply(call, entry_.where);
  }
  then.handled = what;
  if (method->read_only)
    object_.commit(std::move(then));
  else
    object_.commit(in_turn, std::move(state), std::move(then));
  core_.directory.finished(
      entry_); // the envelope itself lives until its commit is durable: it may have to be handled again
}

// --- tasks -------------------------------------------------------------------------------------------------

/// From outside, or a task that was stuck is to be tried again.
bool activation::run_task_call(envelope& what) {
  auto in_turn = object_.begin_turn();
  turn_commit::consequences then;
  return_path waits;
  if (!what.key.empty()) {
    (void)waits.push(object_.way_to_memory(what.key)); // if it does come later
  } else if (what.sink &&
             (what.method->make_task != nullptr || what.method == &runtime_methods::await_task)) {
    auto caller = core_.callers.add(core_.store->next_id(), std::move(what.sink));
    (void)waits.push(caller); // an empty path has room
    then.later_caller = std::move(caller);
  }
  awake_object::encoded_state state;
  auto ran = object_.tasks()
                 .run(in_turn, *what.method, what.arguments, waits)
                 .and_then([&](task_reply answer) -> expected<task_reply> {
                   return object_.finish_of_tasks(in_turn).map([&](awake_object::encoded_state bytes) {
                     state = std::move(bytes);
                     return std::move(answer);
                   });
                 })
                 .and_then([&](task_reply answer) -> expected<task_reply> {
                   if (!what.key.empty())
                     if (auto remembered = object_.memory().remember(
                             in_turn, what, answer.later ? std::nullopt : std::optional(answer.value));
                         !remembered)
                       return unexpected<error>(remembered.error());
                   return answer;
                 });
  if (!ran) {
    in_turn.undo();
    object_.discard();
    if (then.later_caller) what.sink = core_.callers.take(*then.later_caller);
    if (object_.wants_again()) return false;
    reply(std::move(what.sink), unexpected<error>(ran.error()));
    return true;
  }
  if (!ran->later) {
    then.sink = then.later_caller ? core_.callers.take(*then.later_caller) : std::move(what.sink);
    then.later_caller.reset();
    then.reply = std::move(ran->value);
  } else if (!what.key.empty()) {
    then.remembered_begun = object_.way_to_memory(what.key);
    core_.callers.add_to(*then.remembered_begun, std::move(what.sink));
  }
  object_.commit(in_turn, std::move(state), std::move(then));
  return true;
}

/// From the inbox: what a step came to, or a call of a task or about one.
void activation::run_task_message(const envelope_ptr& what) {
  auto in_turn = object_.begin_turn();
  turn_commit::consequences then;
  then.handled = what;
  awake_object::encoded_state state;
  auto failed = what->result   ? object_.take_cookies(what->result->extra, in_turn)
                : what->firing ? in_turn.begin_tick(what->firing->row)
                               : std::nullopt;
  std::optional<error> refused; // of what nobody waits for
  if (!failed) {
    auto ran = expected<void>();
    if (what->result) {
      const auto& message = *what->result;
      ran = object_.tasks()
                .complete(in_turn, message.path.top()->context, encode(message.result), !message.result,
                          message.fetch_id, what->has_blob)
                .map([&then](bool kept) { then.keeps_body = kept; });
    } else if (what->answer) {
      ran = object_.tasks()
                .complete(in_turn, what->answer->path.top()->context, what->answer->answer, false, 0, false)
                .map([](bool) {});
    } else if (what->method == nullptr) { // a sleep is over
      ran =
          object_.tasks().complete(in_turn, what->arguments, std::string(), false, 0, false).map([](bool) {});
    } else {
      ran = object_.tasks()
                .run(in_turn, *what->method, what->arguments, what->path)
                .map([&](task_reply answer) {
                  if (what->method == &runtime_methods::settle_step && what->path.empty() && !answer.value)
                    refused = error{answer.value.error().code, answer.value.error().message};
                  if (answer.later || what->path.empty()) return;
                  then.reply_path = what->path;
                  then.reply = std::move(answer.value);
                });
    }
    auto encoded = ran.and_then([&] { return object_.finish_of_tasks(in_turn); });
    if (encoded)
      state = std::move(*encoded);
    else
      failed = encoded.error();
  }
  if (failed && object_.wants_again()) {
    in_turn.undo();
    object_.discard();
    return process(what);
  }
  if (failed && failed->code == errc::storage_error) {
    in_turn.undo();
    object_.discard();
    return hold_back(what);
  }
  if (failed && failed->code == errc::corrupt) {
    in_turn.undo();
    object_.discard();
    return give_up(what, *failed, fault::disk);
  }
  if (!failed && refused) { // to say it again would not help
    in_turn.undo();
    object_.discard();
    return give_up(what, *refused);
  }
  if (failed) return fail_turn(what, in_turn, *failed);
  object_.commit(in_turn, std::move(state), std::move(then));
  core_.directory.finished(entry_);
}

// --- failures ----------------------------------------------------------------------------------------------

/// Whoever called hears of it and decides; nothing is tried again here.
void activation::refuse(const envelope_ptr& what, const error& why) {
  turn_commit::consequences then;
  then.reply = unexpected<error>(with_origin(why, entry_.where));
  then.reply_path = what->path;
  commit_handled(what, std::move(then));
}

/// The object's constructor, its `serialize` or a hook threw. Posts and sends wait for it in their order;
/// all of them have been tried once more then, whichever of them was the first.
void activation::fail_to_wake(const envelope_ptr& what, const error& why) {
  if (what->firing || !what->path.empty() || !is_ordered(*what)) return fail_message(what, why);
  if (count_failure(what, why)) hold_back(what, first_redelivery * (1 << what->failures));
}

/// Its handler failed, or it could not get to it.
void activation::try_later(const envelope_ptr& what, const error& why) {
  if (count_failure(what, why)) try_again(what, first_redelivery * (1 << what->failures));
}

/// False if that was the last try: it has been given up.
bool activation::count_failure(const envelope_ptr& what, const error& why) {
  what->history.push_back({core_.clock->now_ms(), to_string(why).substr(0, longest_failure)});
  if (++what->failures >= max_handler_failures) {
    give_up(what, why);
    return false;
  }
  if (what->inbox_id == 0) return true;
  // So that the next start goes on counting; should the commit fail, it counts less.
  const auto key = key_of(entry_.where, *what);
  death_record record{.failures = what->failures, .history = what->history};
  auto commit = std::make_unique<row_erasure>();
  commit->writes.push_back({key, seal_value(frame_type::death_record, record)});
  core_.suspects.put(key, std::move(record));
  core_.store->submit(std::move(commit));
  return true;
}

/// A timer keeps what is left of an activation that has retired, and the time may be long: so it is looked at
/// every now and then.
void activation::watch_gate() {
  delayed_send(this,
               std::clamp(ready_.left(), std::chrono::milliseconds(1), std::chrono::milliseconds(1'000)),
               look_at_ready_gate{ready_.number()});
}

/// The object did not become ready in time: it is given up, and those who wait for it are told.
void activation::not_ready() {
  const error why{
      errc::timeout,
      fmt::format("object {} was not ready within the {} ms that it had asked for with block_until_ready()",
                  to_string(entry_.where), ready_.timeout().count())};
  for (const auto& what : ready_.take()) {
    if (what->firing) what->firing->row = {}; // it may have been cancelled or replaced while it waited
    if (what->inbox_id == 0 && !what->firing)
      turn_away(what, why);
    else
      fail_message(what, why);
  }
  object_.discard(); // last: it knows of what is not on the disk yet
  hibernate_ = true;
}

/// What is in the inbox stays there.
void activation::turn_away(const envelope_ptr& what, const error& why) {
  if (what->sink) what->sink->resolve(unexpected<error>(with_origin(why, entry_.where)));
  finished(what);
}

void activation::fail_turn(const envelope_ptr& what, turn& in_turn, const error& why) {
  in_turn.undo();
  object_.discard();
  in_turn.met_storage_error() ? hold_back(what) : fail_message(what, why);
}

/// Who called another object hears of it. What nobody waits for, or whose sender cannot be asked again, is
/// tried once more later, and goes to the dead letters in the end.
void activation::fail_message(const envelope_ptr& what, const error& why) {
  if (what->firing)
    fail_firing(what, why);
  else if (!what->path.empty())
    refuse(what, why);
  else
    try_later(what, why);
}

/// A task is asked for, or told, that an object must have begun, and there is none.
void activation::answer_for_nobody(const envelope_ptr& what) {
  turn_commit::consequences then;
  then.sink = std::move(what->sink);
  then.reply = reply_of_no_object(*what->method, what->arguments, entry_.where);
  then.reply_path = what->path;
  commit_handled(what, std::move(then));
}

// --- the object --------------------------------------------------------------------------------------------

/// Whether the object is there for `next`, loading it if need be.
activation::readiness activation::ensure_ready(error& why, const envelope* next) {
  if (object_.is_usable())
    return next != nullptr && is_late(*next, object_.incarnation()) ? readiness::late : readiness::ready;
  object_.discard();
  if (!object_.settled_or_notified() ||
      object_
          .awaits_given_back()) // what is being written now must be readable before the state is loaded again
    return readiness::wait;
  const auto closings = ready_.number();
  const auto loaded = object_.load(next);
  if (!loaded) {
    why = loaded.error();
    object_.discard();
    return readiness::failed;
  }
  if (ready_.number() != closings) watch_gate();
  return *loaded ? readiness::ready : readiness::late;
}

// --- leaving -----------------------------------------------------------------------------------------------

/// The same for a message that is done with thereby.
void activation::commit_handled(const envelope_ptr& what, turn_commit::consequences then) {
  then.handled = what;
  object_.commit(std::move(then));
  core_.directory.finished(entry_);
}

/// A reply that depends on commits in flight waits for them.
void activation::reply(std::unique_ptr<reply_sink> sink, expected<std::string> what) {
  if (!sink) return;
  reply_behind(core_, object_.gate(), std::move(sink), std::move(what).map_error([this](error&& why) {
    return with_origin(std::move(why), entry_.where);
  }));
}

void activation::try_again(const envelope_ptr& what, std::chrono::milliseconds after) {
  if (core_.stopping.load(std::memory_order_relaxed)) return finished(what);
  what->step_aside();
  leave_on_disk(*what);
  backing_off_.push_back(what);
  delayed_send(this, after, redeliver{what});
}

/// Storage has failed it: it comes again by itself, before all younger ones.
void activation::hold_back(envelope_ptr what, std::chrono::milliseconds retry) {
  if (!is_ordered(*what)) return try_again(what, retry);
  if (core_.stopping.load(std::memory_order_relaxed)) return finished(what);
  if (held_back_.empty()) delayed_send(this, retry, retry_held_back{});
  leave_on_disk(*what);
  const auto id = what->inbox_id;
  held_back_.insert_or_assign(id, std::move(what));
}

void activation::take_stash() {
  for (auto& what : std::exchange(stash_, {}))
    receive(std::move(what));
}

/// Moves a message from the inbox to the dead letters; of a call, its caller hears instead.
void activation::give_up(const envelope_ptr& what, const error& why, fault of) {
  if (what->firing || !what->path.empty()) return fail_message(what, why);
  if (what->answer)
    (void)is_wanted(
        object_.schedules(),
        *what); // it may not have got so far: then whoever gives the letter back finds the continuation in it
  auto letter = bury(core_, entry_.where, object_.schedules(), *what, why, of);
  if (!letter) return hold_back(what);
  if (!*letter) return finished(what);
  turn_commit::consequences then;
  then.handled = what;
  object_.commit(std::move(then), std::move(**letter));
  core_.directory.finished(entry_);
}

void activation::finished(const envelope_ptr&) { core_.directory.finished(entry_); }

void activation::after_message() {
  while (ready_.is_opening())
    for (auto& what : ready_.take())
      receive(std::move(what));
  if (hibernate_ || object_.wants_to_leave() || core_.settings.idle_after.count() == 0) try_retire();
}

void activation::try_retire() {
  if (retired_ || !stash_.empty() ||
      (ready_.is_closed() && !core_.stopping.load(std::memory_order_relaxed)) ||
      entry_.pending.load(std::memory_order_acquire) != 0 || !object_.settled_or_notified())
    return;
  // First: once it has left the directory, another one may be made under its address (R1); and here its
  // destructor can still be noted.
  object_.discard();
  if (!core_.directory.retire(entry_)) return; // something has come meanwhile: it is loaded again
  retired_ = true;
  object_.leave();
  core_.counts.hibernations.add();
  quit();
}

} // namespace

caf::actor spawn_activation(runtime_core& core, directory_entry& entry) {
  return core.system.spawn<activation, caf::hidden + caf::lazy_init>(core, entry);
}

} // namespace dormouse
