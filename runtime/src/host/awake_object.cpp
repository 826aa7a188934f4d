#include "host/awake_object.hpp"

#include "host/late_results.hpp"
#include "proxy/fetch_commit.hpp"

#include <dormouse/actors/user_code.hpp>
#include <dormouse/serialization/url.hpp>

#include <caf/send.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

namespace dormouse {
namespace {

/// Of the state, in one turn, so that methods that tasks call can be undone; about twice as much at most, and
/// the first one always.
constexpr std::size_t most_encoded_for_calls = std::size_t{1} << 20U;

/// Set while it lives.
class flag_while {
public:
  explicit flag_while(bool& flag) : flag_(flag) { flag_ = true; }
  flag_while(const flag_while&) = delete;
  flag_while& operator=(const flag_while&) = delete;
  ~flag_while() { flag_ = false; }

private:
  bool& flag_;
};

/// Full cookie jars that an object keeps decoded, and what a decoded one takes for each byte that is stored.
constexpr std::size_t most_jars = 4;
constexpr std::size_t bytes_per_stored = 3;

/// A turn in which more of them have failed without that is run with it for all.
constexpr std::size_t most_failed_unsaved = 3;

/// What an awake object costs besides its state, for `max_active_bytes`.
constexpr std::size_t activation_bytes = 2048;

} // namespace

awake_object::awake_object(runtime_core& core, directory_entry& entry, ready_gate& ready)
    : core_(core),
      entry_(entry),
      ready_(ready),
      schedules_(core, entry.where),
      memory_(core, entry.where),
      gate_(std::make_shared<commit_gate>()) {}

call_result<std::string> take_reply(invocation& call, const address& of) {
  if (call.refusal) return unexpected<error>(with_origin(std::move(*call.refusal), of));
  return std::move(call.reply);
}

std::optional<error> put_below(return_path& path, const return_path& those_who_wait) {
  auto own = path.pop();
  path = those_who_wait;
  if (auto pushed = path.push(std::move(*own)); !pushed) return pushed.error();
  return std::nullopt;
}

// --- there and not there -----------------------------------------------------------------------------------

expected<bool> awake_object::load(const envelope* next) {
  gate_ = std::make_shared<commit_gate>();
  rows_.follow(gate_);
  if (auto set_aside = core_.suspects.quarantine_of(core_, entry_.where)) {
    fault_ = load_fault::quarantine;
    return unexpected<error>(std::move(*set_aside));
  }
  auto stored = core_.store->load_object(entry_.where);
  if (!stored) {
    fault_ = stored.error().code == errc::storage_error ? load_fault::storage : load_fault::damage;
    if (fault_ == load_fault::damage) core_.note_corrupt(entry_.where, stored.error().message);
    return unexpected<error>(stored.error());
  }
  if (next != nullptr && (*stored ? is_late(*next, (*stored)->facts.incarnation) : creates_nothing(*next))) {
    leaves_ = true;
    return false;
  }
  const auto* state = *stored ? &(*stored)->state : nullptr;
  facts_ = *stored ? (*stored)->facts : object_facts{.incarnation = core_.store->next_id()};
  const running_note note(core_.notes, note_kind::waking, 0, entry_.where,
                          state == nullptr && entry_.type.has_on_create ? "on_create" : "on_wake");
  const auto came_back = [this](error&& why) { // it threw, but the process lives
    clear_deaths(note_kind::waking);
    return unexpected<error>(std::move(why));
  };
  if (auto failed = make(state)) return came_back(std::move(*failed));
  facts_.state_version = entry_.type.state_version(); // of what is written from here on
  if (!std::exchange(woke_, true)) core_.counts.wakes.add();
  is_stored_ = state != nullptr;
  state_bytes_ = is_stored_ ? state->size() : 0;
  count_bytes(activation_bytes + state_bytes_);
  std::chrono::milliseconds blocked{}; // by on_wake, which is asked again each time
  if (state == nullptr && entry_.type.has_on_create)
    if (auto failed = run_hook(&durable_object::on_create, "on_create", nullptr, blocked))
      return came_back(std::move(*failed));
  if (entry_.type.has_on_wake)
    if (auto failed = run_hook(&durable_object::on_wake, "on_wake", state, blocked))
      return came_back(std::move(*failed));
  clear_deaths(note_kind::waking);
  blocked = std::max(blocked, std::chrono::milliseconds(facts_.unready_ms));
  if (blocked.count() == 0)
    ready_.open();
  else
    ready_.close(blocked);
  return true;
}

/// Constructs the object, and gives it what is stored of it.
std::optional<error> awake_object::make(const std::string* state) {
  fault_ = load_fault::program;
  if (auto failed =
          run_user_code({&entry_.where, {}, "the constructor"}, [this] { object_ = entry_.type.make(); }))
    return failed;
  if (state == nullptr) return std::nullopt;
  bool is_unreadable = false; // and not just refused by what the program does when it reads
  auto failed = run_user_code({&entry_.where, {}, "serialize()"}, [&] {
    try {
      entry_.type.load(*object_, *state, facts_.state_version);
    } catch (const cereal::Exception&) {
      is_unreadable = true;
      throw;
    } catch (const failure& e) {
      is_unreadable = e.code() == errc::corrupt || e.code() == errc::newer_format;
      throw;
    }
  });
  if (!failed || !is_unreadable) return failed;
  fault_ = load_fault::damage;
  error why{failed->code == errc::newer_format ? errc::newer_format : errc::corrupt,
            fmt::format("the stored state of object {} does not load: {}", to_string(entry_.where),
                        failed->message)};
  core_.note_corrupt(entry_.where, why.message);
  return why;
}

std::optional<error> awake_object::run_hook(void (durable_object::*hook)(), std::string_view name,
                                            const std::string* unchanged,
                                            std::chrono::milliseconds& blocked) {
  auto in_turn = begin_turn();
  in_turn.enter_hook(name);
  const flag_while in_hook(in_hook_);
  auto failed = enter(in_turn, {}, name, [&] { (object_.get()->*hook)(); });
  if (failed) {
    core_.counts.failed_turns.add();
    if (in_turn.met_storage_error()) fault_ = load_fault::storage;
    return failed;
  }
  leaves_ = leaves_ || in_turn.wants_hibernation();
  if (auto wanted = in_turn.blocks_for(); wanted && name == "on_create")
    facts_.unready_ms = wanted->count(); // on_create will not run again: what it waits for is remembered
  else if (wanted)
    blocked = *wanted;
  auto state = finish(in_turn);
  if (!state) {
    if (state.error().code == errc::storage_error) fault_ = load_fault::storage;
    return state.error();
  }
  if (unchanged == nullptr || *unchanged != state->bytes || in_turn.has_effects() ||
      (tasks_ && tasks_->has_effects()) || !state->jars.empty() ||
      (in_turn.says_ready() && facts_.unready_ms != 0))
    commit(in_turn, std::move(*state), {});
  return std::nullopt;
}

/// It has run to its end.
void awake_object::clear_deaths(note_kind what) {
  if (core_.suspects.none()) return;
  auto key = key_of(entry_.where, what, 0);
  if (!core_.suspects.find(key)) return;
  core_.suspects.forget(key);
  auto commit = std::make_unique<row_erasure>();
  commit->writes.push_back({std::move(key), std::nullopt});
  core_.store->submit(std::move(commit));
}

void awake_object::discard() {
  if (object_) {
    const running_note note(core_.notes, note_kind::destructor, 0, entry_.where, "destructor");
    tasks_.reset(); // what they have done since may never be durable
    destroy_object();
    clear_deaths(note_kind::destructor);
  }
  tasks_.reset();
  lost_.reset();
  is_stored_ = own_changes_ = false;
  jars_.clear();
  rows_.clear(); // what commits in flight wrote is in the store before the object is loaded again, or will
                 // never be
  schedules_.clear();
  aborts_.clear();
  memory_.clear();
}

/// Its destructor is user code too. (It cannot throw: a class whose destructor may does not compile.)
void awake_object::destroy_object() {
  if (!object_) return;
  const user_code what{&entry_.where, {}, "the destructor"};
  const user_code_mark mark(what);
  object_.reset();
}

bool awake_object::settled_or_notified() {
  if (gate_->in_flight.load(std::memory_order_acquire) == 0) return true;
  gate_->notify_when_idle.store(true, std::memory_order_seq_cst);
  if (gate_->in_flight.load(std::memory_order_seq_cst) != 0) return false;
  return gate_->notify_when_idle.exchange(
      false, std::memory_order_seq_cst); // false: the notice is already on its way
}

/// For `max_active_bytes`.
void awake_object::count_bytes(std::size_t bytes) {
  if (bytes == counted_bytes_) return;
  core_.counts.active_bytes.add(bytes -
                                counted_bytes_); // wraps around when it shrinks, as unsigned arithmetic does
  counted_bytes_ = bytes;
}

// --- turns -------------------------------------------------------------------------------------------------

/// Runs something of the object in a turn; the error of what threw. `scope`: the class of a method; empty: a
/// hook.
template <class F>
std::optional<error> awake_object::enter(turn& in_turn, std::string_view scope, std::string_view name,
                                         F&& body) {
  object_access::enter(*object_, &in_turn);
  auto out = run_user_code({&entry_.where, scope, name}, std::forward<F>(body));
  object_access::enter(*object_, nullptr);
  return out;
}

std::optional<error> awake_object::run(const method_descriptor& method, invocation& call, turn& in_turn) {
  if (auto threw = enter(in_turn, entry_.type.binding, method.name, [&] { method.invoke(*object_, call); }))
    return threw;
  if (call.reply.size() <= core_.settings.max_state_bytes) return std::nullopt;
  return error{
      errc::too_large,
      fmt::format("the result of {}.{} of object {} has {} bytes; the limit is options::max_state_bytes = {}",
                  entry_.type.binding, method.name, to_string(entry_.where), call.reply.size(),
                  core_.settings.max_state_bytes),
      entry_.where};
}

std::optional<error> awake_object::invoke(const method_descriptor& method, invocation& call, turn& in_turn) {
  if (auto failed = run(method, call, in_turn)) {
    core_.counts.failed_turns.add();
    in_turn.undo();
    if (!method.read_only) discard(); // the handler may have changed it before it threw
    return failed;
  }
  leaves_ = leaves_ || in_turn.wants_hibernation();
  return std::nullopt;
}

expected<std::string> awake_object::run_read(const method_descriptor& method, std::string_view arguments) {
  core_.counts.reads.add();
  auto in_turn = begin_turn();
  invocation call{.arguments = arguments, .reply = {}, .reply_slot = {}};
  if (auto failed = invoke(method, call, in_turn)) return unexpected<error>(std::move(*failed));
  return take_reply(call, entry_.where);
}

std::optional<error> awake_object::take_cookies(const result_message::extension& from, turn& in_turn) {
  if (from.cookies.empty()) return std::nullopt;
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

turn awake_object::begin_turn() {
  if (tasks_) tasks_->settled(settled_commits());
  jars_.trim(settled_commits(), most_jars * core_.settings.max_jar_bytes);
  state_behind_.reset();
  own_calls_ = encoded_for_them_ = 0;
  ran_unsaved_ = again_ = false;
  return {core_, entry_.where, facts_.incarnation, jars_, rows_, schedules_, aborts_};
}

task_runner& awake_object::tasks() {
  if (!tasks_) tasks_ = std::make_unique<task_runner>(core_, entry_, static_cast<own_methods&>(*this));
  return *tasks_;
}

expected<void> awake_object::settle_tasks(turn& in_turn) {
  if (in_turn.has_started())
    if (auto ran = tasks().run_started(in_turn); !ran) return ran;
  return in_turn.wants_destruction() ? tasks().end_all() : expected<void>();
}

/// A method of the object for one of its tasks. If it fails, the turn goes on as if it had not been called.
task_host::outcome awake_object::call_own(turn& in_turn, std::string_view method, std::string_view arguments,
                                          return_address reply_to) {
  const auto refused = [this](error why) {
    return call_result<std::string>(unexpected<error>(with_origin(std::move(why), entry_.where)));
  };
  if (lost_) return refused(*lost_);
  const auto* found = entry_.type.find(method);
  if (found == nullptr || found->invoke == nullptr)
    return refused(
        {errc::unknown_method, fmt::format("class {} has no method '{}'", entry_.type.binding, method)});
  invocation call{.arguments = arguments, .reply = {}, .reply_slot = {}};
  if (found->read_only) {
    auto failed = run(*found, call, in_turn);
    return failed ? refused(std::move(*failed)) : take_reply(call, entry_.where);
  }
  const auto place = own_calls_++;
  const bool saves =
      saves_all_ || in_hook_ || encoded_for_them_ < most_encoded_for_calls || failed_unsaved_.contains(place);
  const auto encode = [this] {
    return encode_object().map([this](std::string state) {
      encoded_for_them_ += state.size();
      return state;
    });
  };
  expected<std::string> before;
  if (saves) before = state_behind_ ? std::move(*state_behind_) : encode();
  if (!before) return refused(before.error());
  state_behind_.reset();
  own_changes_ = true;
  const auto done_before = in_turn.save();
  auto failed = run(*found, call, in_turn);
  if (!failed && call.reply_slot) {
    return_path waits;
    (void)waits.push(std::move(reply_to)); // an empty path has room
    failed = put_below(in_turn.path_of(*call.reply_slot), waits);
  }
  if (!failed && saves) {
    if (auto after = encode())
      state_behind_ = std::move(*after);
    else
      failed = after.error();
  }
  if (!failed) {
    ran_unsaved_ = ran_unsaved_ || !saves;
    in_turn.keep();
    leaves_ = leaves_ || in_turn.wants_hibernation();
    return call.reply_slot ? task_host::outcome() : task_host::outcome(take_reply(call, entry_.where));
  }
  in_turn.go_back(done_before);
  if (!saves) {
    failed_unsaved_.insert(place);
    saves_all_ = failed_unsaved_.size() > most_failed_unsaved;
    again_ = true;
    lost_ = *failed;
    return refused(std::move(*failed));
  }
  core_.counts.failed_turns.add();
  destroy_object();
  lost_ = make(&*before);
  if (lost_) lost_->code = errc::handler_failed; // it reads what it has just written: nothing is damaged
  return refused(std::move(*failed));
}

expected<std::string> awake_object::encode_object() {
  if (lost_) return unexpected<error>(*lost_);
  std::string state;
  if (auto failed =
          run_user_code({&entry_.where, {}, "serialize()"}, [&] { entry_.type.save(*object_, state); })) {
    failed->code = errc::handler_failed; // also of a `failure`: it is nobody's but the program's
    return unexpected<error>(std::move(*failed));
  }
  if (state.size() > core_.settings.max_state_bytes)
    return fail(errc::too_large,
                fmt::format("the state of object {} has {} bytes; the limit is options::max_state_bytes = {}",
                            to_string(entry_.where), state.size(), core_.settings.max_state_bytes));
  return state;
}

expected<awake_object::encoded_state> awake_object::encode_state() {
  auto state = encode_object();
  if (!state && ran_unsaved_ && !lost_) again_ = saves_all_ = true; // one of the methods is to blame
  if (!state) return unexpected<error>(state.error());
  own_changes_ = false;
  return encode_jars().map([&](encoded_state out) {
    out.bytes = std::move(*state);
    return out;
  });
}

expected<awake_object::encoded_state> awake_object::encode_jars() {
  encoded_state out;
  jars_.put_changes(*core_.store, out.jars, entry_.where, core_.settings.max_jar_bytes, commits_ + 1);
  return out;
}

expected<awake_object::encoded_state> awake_object::finish(turn& in_turn) {
  return settle_tasks(in_turn).and_then([this] { return encode_state(); });
}

expected<awake_object::encoded_state> awake_object::finish_of_tasks(turn& in_turn) {
  return settle_tasks(in_turn).and_then(
      [this] { return is_stored_ && !own_changes_ && !lost_ ? encode_jars() : encode_state(); });
}

// --- commits -----------------------------------------------------------------------------------------------

void awake_object::commit(turn& in_turn, encoded_state state, turn_commit::consequences then) {
  auto next = std::make_unique<turn_commit>(core_, entry_, gate_, std::move(then));
  const bool is_last = in_turn.wants_destruction();
  if (in_turn.says_ready()) facts_.unready_ms = 0;
  if (in_turn.says_ready() || is_last) ready_.open();
  if (is_last)
    erase_object(*core_.store, next->writes, entry_.where,
                 gate_->in_flight.load(std::memory_order_acquire) == 0 ? erasure::of_what_is_stored
                                                                       : erasure::of_all_there_may_be);
  else
    put_changes(*next, in_turn, std::move(state));
  next->add_fetches(in_turn.take_fetches());
  next->add_calls(in_turn.take_calls());
  next->add_answers(in_turn.take_cancelled_calls());
  auto aborted = in_turn.take_aborts();
  aborts_.add(aborted, commits_ + 1);
  next->add_aborts(std::move(aborted));
  if (tasks_ && tasks_->has_effects()) next->add_tasks(tasks_->take_effects());
  if (!in_hook_) { // this was the turn that may have been tried again
    failed_unsaved_.clear();
    saves_all_ = false;
  }
  if (is_last) (void)schedules_.erase_all(); // a row that cannot be read is cleared away when it is due
  if (is_last) memory_.clear();
  add_schedules(*next);
  submit(std::move(next));
  if (is_last) {
    discard(); // whoever comes next waits until the commit is durable, and finds nothing
    count_bytes(activation_bytes);
    leaves_ = true;
  }
}

/// What belongs to the object.
void awake_object::put_changes(turn_commit& to, turn& in_turn, encoded_state state) {
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
  count_bytes(activation_bytes + state_bytes_ + rows_.rows().bytes + bytes_per_stored * jars_.bytes() +
              (tasks_ ? tasks_->bytes() : 0));
}

void awake_object::commit(turn_commit::consequences then) {
  auto next = std::make_unique<turn_commit>(core_, entry_, gate_, std::move(then));
  add_schedules(*next); // of a tick whose method has become const
  submit(std::move(next));
}

void awake_object::commit(turn_commit::consequences then, burial what) {
  then.keeps_body = true; // with the letter
  auto next = std::make_unique<turn_commit>(core_, entry_, gate_, std::move(then));
  next->add_burial(std::move(what));
  add_schedules(*next);
  submit(std::move(next));
}

void awake_object::submit(std::unique_ptr<turn_commit> next) {
  ++commits_;
  if (tasks_) tasks_->committed(commits_);
  gate_->in_flight.fetch_add(1, std::memory_order_relaxed);
  next->count();
  core_.store->submit(std::move(next));
}

void awake_object::add_schedules(turn_commit& to) {
  const auto settled = settled_commits();
  schedules_.forget(settled);
  aborts_.settled(settled);
  memory_.settled(settled);
  memory_.take_changes(to.writes, commits_ + 1);
  if (schedules_.changed()) to.add_schedules(schedules_.take_changes(commits_ + 1));
}

} // namespace dormouse
