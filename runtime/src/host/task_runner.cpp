#include "host/task_runner.hpp"

#include <dormouse/actors/runtime_methods.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <random>

namespace dormouse {
namespace {

std::uint64_t random_bits() {
  thread_local std::random_device source;
  return (std::uint64_t{source()} << 32U) | source();
}

call_result<std::string> no_such_task(const task_id& id) {
  return tl::unexpected<call_error>(
      {errc::not_found, fmt::format("there is no task {}", to_string(id)), id.object});
}

task_host::outcome refused(error why, const address& self) {
  return unexpected<error>(with_origin(std::move(why), self));
}

constexpr std::size_t warning_percent = 80;

/// For the end of one task: they are in its record, which is written whenever there is one more.
constexpr std::size_t most_waiters = 1'000;

/// More rows of a journal are erased as a range, which costs as much as one row, but slows reads of its
/// neighbours until the store has compacted it away.
constexpr std::size_t most_single_erasures = 100;

} // namespace

/// Performs the new operations of a task, as effects of a turn.
class task_runner::performer final : public task_host {
public:
  performer(task_runner& runner, turn& in_turn) : runner_(runner), turn_(in_turn) {}

  outcome fetch(const step_place& place, journal_step& step, fetch_message&& what) override {
    if (auto pushed = what.path.push(hop(place)); !pushed) return refused(pushed.error(), self());
    auto slot = turn_.enqueue(std::move(what));
    if (!slot) return refused(slot.error(), self());
    step.reference = turn_.fetch_id(*slot);
    return std::nullopt;
  }

  outcome call(const step_place& place, journal_step&, const address& to, call_message&& what) override {
    if (auto pushed = what.path.push(hop(place)); !pushed) return refused(pushed.error(), self());
    if (auto slot = turn_.enqueue_call(to, std::move(what)); !slot) return refused(slot.error(), to);
    return std::nullopt;
  }

  outcome call_own(const step_place& place, journal_step&, std::string_view method,
                   std::string arguments) override {
    return runner_.methods_.call_own(turn_, method, arguments, hop(place));
  }

  outcome sleep(const step_place& place, journal_step& step,
                std::chrono::system_clock::time_point until) override {
    schedule_message what;
    what.method = task_methods::hop;
    what.arguments = encode(place);
    what.tick_ms = what.due_ms =
        std::chrono::ceil<std::chrono::milliseconds>(until.time_since_epoch()).count();
    auto id = turn_.enqueue_schedule(std::move(what));
    if (!id) return refused(id.error(), self());
    step.reference = id->number;
    return std::nullopt;
  }

  std::chrono::milliseconds default_timeout() const override { return turn_.default_timeout(); }
  std::chrono::system_clock::time_point now() const override { return turn_.now(); }
  std::uint64_t random() override { return random_bits(); }
  expected<std::string> load_body(std::uint64_t fetch_id) override {
    return runner_.core_.store->load_response_body(fetch_id);
  }

private:
  const address& self() const noexcept { return runner_.entry_.where; }
  return_address hop(const step_place& place) const {
    return {self(), std::string(task_methods::hop), encode(place), turn_.incarnation()};
  }

  task_runner& runner_;
  turn& turn_;
};

// --- what comes from elsewhere -----------------------------------------------------------------------------

expected<task_reply> task_runner::run(turn& in_turn, const method_descriptor& method,
                                      std::string_view arguments, const return_path& caller) {
  const auto bad = [&](const error& why) {
    return fail(errc::bad_arguments,
                fmt::format("the arguments of {} do not decode: {}", method.name, why.message));
  };
  const auto none = [&](std::uint64_t number) { return task_reply{.value = no_such_task(id_of(number))}; };
  if (method.make_task != nullptr) {
    if (auto begun = begin(in_turn, core_.store->next_id(), std::string(method.name), std::string(arguments),
                           caller, false);
        !begun)
      return unexpected<error>(begun.error());
    return task_reply{.later = true};
  }
  if (&method == &runtime_methods::start_task) {
    auto what = decode<std::pair<std::string, std::string>>(arguments);
    if (!what) return bad(what.error());
    const auto number = core_.store->next_id();
    if (auto begun = begin(in_turn, number, std::move(what->first), std::move(what->second), {}, true);
        !begun)
      return unexpected<error>(begun.error());
    return task_reply{.value = encode(id_of(number))};
  }
  if (&method == &runtime_methods::settle_step) {
    auto what = decode<std::pair<step_place, call_result<std::string>>>(arguments);
    if (!what) return bad(what.error());
    auto run = find(what->first.task);
    if (!run) return unexpected<error>(run.error());
    bool settled = false;
    const auto is_open = [&run, &what] {
      const auto& it = **run;
      return !it.ended() && it.has(what->first.step) && it.at(what->first.step).order == 0 &&
             it.at(what->first.step).kind == step_kind::promise;
    };
    if (*run != nullptr && is_open()) {
      if (what->second && !(*run)->awake() && !(*run)->halted()) // to where it waits: there the type is known
        if (auto went = step_on(in_turn, **run); !went) return unexpected<error>(went.error());
      run = find(what->first.task); // it may have begun anew
      if (!run) return unexpected<error>(run.error());
      if (*run != nullptr && what->second && is_open() && !(*run)->halted())
        if (auto good = (*run)->accepts(what->first.step, *what->second); !good)
          return task_reply{.value = unexpected<error>(with_origin(good.error(), entry_.where))};
    }
    if (*run != nullptr && is_open())
      settled = (*run)->complete(what->first.step, std::move(what->second), false);
    if (settled)
      if (auto went = step_on(in_turn, **run); !went) return unexpected<error>(went.error());
    return task_reply{.value = encode(settled)};
  }
  if (&method == &runtime_methods::cancel_task) {
    auto what = decode<std::pair<std::uint64_t, std::string>>(arguments);
    if (!what) return bad(what.error());
    auto run = find(what->first);
    if (!run && run.error().code == errc::corrupt) run = find_unreadable(what->first, run.error());
    if (!run) return unexpected<error>(run.error());
    if (*run == nullptr || (*run)->ended() ||
        ((*run)->record().cancelled_at != 0 && (*run)->record().state != task_state::stuck))
      return task_reply{.value = encode(false)};
    const running_note note(core_.notes, note_kind::task, what->first, entry_.where, (*run)->record().method);
    performer now_doing(*this, in_turn);
    auto& it = **run;
    if (!it.awake() && !it.halted()) it.advance(now_doing); // to where it waits
    if (it.halted() && it.halted()->code == errc::storage_error) return unexpected<error>(*it.halted());
    if (it.halted()) { // stuck: there is no code to unwind
      it.record().cancelled_at = 1;
      it.record().cancel_reason = std::move(what->second);
      if (auto ended = end(in_turn, it); !ended) return unexpected<error>(ended.error());
      return task_reply{.value = encode(true)};
    }
    if (!it.ended() && it.record().cancelled_at != 0) { // stuck after it was cancelled, and can go on now
      if (auto settled = settle(in_turn, it); !settled) return unexpected<error>(settled.error());
      return task_reply{.value = encode(false)};
    }
    if (!it.ended()) it.cancel(now_doing, std::move(what->second));
    if (auto settled = settle(in_turn, it); !settled) return unexpected<error>(settled.error());
    return task_reply{.value = encode(true)};
  }
  auto number = decode<std::uint64_t>(arguments);
  if (!number) return bad(number.error());
  auto run = find(*number);
  if (!run) return unexpected<error>(run.error());
  if (*run == nullptr) return none(*number);
  auto& it = **run;
  if (&method == &runtime_methods::await_task) {
    if (it.record().state >= task_state::completed) return task_reply{.value = it.record().outcome};
    if (it.ended()) return none(*number);
    if (caller.empty()) return task_reply{};
    if (it.record().waiters.size() >= most_waiters)
      return task_reply{.value = tl::unexpected<call_error>(
                            {errc::overloaded,
                             fmt::format("{} callers wait for task {}; there can be no more", most_waiters,
                                         to_string(it.id())),
                             entry_.where})};
    it.record().waiters.push_back(caller);
    core_.store->put_task(effects_.writes, it.id(), it.record());
    return task_reply{.later = true};
  }
  if (&method == &runtime_methods::forget_task) {
    if (it.record().state >= task_state::completed)
      effects_.writes.push_back({keys::task(it.id()), std::nullopt});
    return task_reply{};
  }
  // restart_task, wake_task: it goes on from what is on disk.
  if (!it.ended())
    if (auto went = step_on(in_turn, it); !went) return unexpected<error>(went.error());
  return task_reply{};
}

expected<void> task_runner::run_started(turn& in_turn) {
  for (auto started = in_turn.take_started(); !started.empty();
       started = in_turn.take_started()) // which may start more
    for (auto& each : started)
      if (auto begun =
              begin(in_turn, each.number, std::move(each.method), std::move(each.arguments), {}, true);
          !begun)
        return begun;
  return {};
}

expected<bool> task_runner::complete(turn& in_turn, std::string_view place, call_result<std::string> outcome,
                                     bool failed, std::uint64_t fetch_id, bool body_is_blob) {
  auto where = decode<step_place>(place);
  if (!where) return fail(errc::corrupt, "the place in a task's journal: " + where.error().message);
  auto run = find(where->task);
  if (!run) return unexpected<error>(run.error());
  if (*run == nullptr || (*run)->ended() || !(*run)->complete(where->step, std::move(outcome), failed)) {
    core_.counts.strangers_dropped.add(); // the task has ended, or has been told already
    return false;
  }
  auto& step = (*run)->at(where->step);
  if (body_is_blob) {
    step.body_is_blob = 1;
    step.reference = fetch_id;
  }
  if (auto went = step_on(in_turn, **run); !went) return unexpected<error>(went.error());
  return body_is_blob;
}

call_result<std::string> reply_of_no_object(const method_descriptor& method, std::string_view arguments,
                                            const address& of) {
  if (&method == &runtime_methods::cancel_task || &method == &runtime_methods::settle_step)
    return encode(false);
  if (&method == &runtime_methods::await_task)
    if (auto number = decode<std::uint64_t>(arguments)) return no_such_task({of, *number});
  return std::string();
}

// --- running -----------------------------------------------------------------------------------------------

/// Null if there is no such task.
expected<task_run*> task_runner::find(std::uint64_t number) {
  if (auto known = runs_.find(number); known != runs_.end()) {
    touched_.push_back(number);
    return known->second.run.get();
  }
  auto record = core_.store->load_task(id_of(number));
  if (!record) return unexpected<error>(record.error());
  if (!*record) return nullptr;
  std::erase_if((*record)->waiters, [this](const return_path& waiter) {
    return core_.callers.is_of_the_past(*waiter.top(), *core_.store);
  });
  auto journal = core_.store->load_journal(id_of(number), (*record)->first_step);
  if (!journal) return unexpected<error>(journal.error());
  const auto* method = entry_.type.find((*record)->method);
  const auto steps = journal->size();
  auto run = std::make_unique<task_run>(id_of(number), std::move(**record), std::move(*journal),
                                        method != nullptr ? method->make_task : nullptr, limits());
  if (run->record().state >= task_state::completed) {
    run->set_ended();
    ended_.push_back(number);
  } else if (method == nullptr || method->make_task == nullptr) {
    run->halt({errc::unknown_method,
               fmt::format("class {} has no task '{}'", entry_.type.binding, run->record().method)});
  } else if (auto known = core_.suspects.find(key_of(entry_.where, note_kind::task, number));
             known && known->deaths >= core_.settings.max_deaths) {
    if (run->record().state != task_state::stuck) core_.counts.quarantined.add();
    run->halt(why_quarantined(*known, "task " + to_string(run->id())));
  }
  if (steps != 0) stored_steps_[number] = steps;
  return &hold(number, std::move(run));
}

/// One whose journal is damaged, to be ended. All rows of that go, whatever they are.
expected<task_run*> task_runner::find_unreadable(std::uint64_t number, const error& why) {
  auto record = core_.store->load_task(id_of(number));
  if (!record) return unexpected<error>(record.error());
  if (!*record) return nullptr;
  auto run = std::make_unique<task_run>(id_of(number), std::move(**record), std::vector<journal_step>(),
                                        nullptr, limits());
  run->halt(why);
  stored_steps_[number] = most_single_erasures + 1;
  return &hold(number, std::move(run));
}

task_run& task_runner::hold(std::uint64_t number, std::unique_ptr<task_run> run) {
  core_.counts.awake_tasks.add();
  touched_.push_back(number);
  return *runs_.emplace(number, held_run{std::move(run), 0}).first->second.run;
}

expected<void> task_runner::begin(turn& in_turn, std::uint64_t number, std::string method,
                                  std::string arguments, const return_path& waiter, bool keep) {
  const auto* found = entry_.type.find(method);
  task_record record{.method = std::move(method),
                     .arguments = std::move(arguments),
                     .keep = keep,
                     .cancel_reason = {},
                     .waiters = {},
                     .created_ms = core_.clock->now_ms()};
  if (!waiter.empty()) record.waiters.push_back(waiter);
  auto run = std::make_unique<task_run>(id_of(number), std::move(record), std::vector<journal_step>(),
                                        found != nullptr ? found->make_task : nullptr, limits());
  if (found == nullptr || found->make_task == nullptr)
    return fail(errc::unknown_method,
                fmt::format("class {} has no task '{}'", entry_.type.binding, run->record().method));
  if (const auto bytes = run->record().arguments.size(); bytes > core_.settings.max_inline_bytes)
    return fail(
        errc::too_large,
        fmt::format("the arguments of task {} have {} bytes; the limit is options::max_inline_bytes = {}",
                    run->record().method, bytes, core_.settings.max_inline_bytes));
  core_.counts.tasks_started.add();
  auto& it = hold(number, std::move(run));
  performer now_doing(*this, in_turn);
  it.advance(now_doing);
  if (!it.ended()) core_.store->put_task(effects_.writes, it.id(), it.record());
  return settle(in_turn, it);
}

expected<void> task_runner::step_on(turn& in_turn, task_run& run) {
  if (!run.halted()) {
    const running_note note(core_.notes, note_kind::task, run.id().number, entry_.where, run.record().method);
    performer now_doing(*this, in_turn);
    run.advance(now_doing);
  }
  return settle(in_turn, run);
}

/// Behind each step of the code: what has become of the task.
expected<void> task_runner::settle(turn& in_turn, task_run& run) {
  if (run.halted() && run.halted()->code == errc::storage_error)
    return unexpected<error>(*run.halted()); // no fault of its code: the turn is undone, and tried again
  if (in_turn.met_storage_error())
    return fail(errc::storage_error,
                fmt::format("an operation of task {} met a storage error", to_string(run.id())));
  if (run.halted()) {
    write_steps(run);
    get_stuck(run);
    return {};
  }
  clear_deaths(run); // it got to where it waits, or to its end
  if (run.ended()) return end(in_turn, run);
  auto& record = run.record();
  const bool was_stuck = record.state == task_state::stuck;
  if (was_stuck || run.take_newly_cancelled()) {
    if (was_stuck) effects_.writes.push_back({keys::stuck_task(run.id()), std::nullopt});
    record.state = task_state::running;
    record.outcome = std::string();
    core_.store->put_task(effects_.writes, run.id(), record);
  }
  write_steps(run);
  return {};
}

void task_runner::clear_deaths(const task_run& run) {
  if (core_.suspects.none()) return;
  auto key = key_of(entry_.where, note_kind::task, run.id().number);
  if (!core_.suspects.find(key)) return;
  core_.suspects.forget(key);
  effects_.writes.push_back({std::move(key), std::nullopt});
}

void task_runner::get_stuck(task_run& run) {
  auto& record = run.record();
  if (record.state == task_state::stuck && !record.outcome &&
      record.outcome.error().message == run.halted()->message)
    return;
  record.state = task_state::stuck;
  record.outcome = unexpected<error>(with_origin(*run.halted(), entry_.where));
  core_.store->put_task(effects_.writes, run.id(), record);
  effects_.writes.push_back({keys::stuck_task(run.id()), std::string()});
  core_.trouble.error(fmt::format("stuck {}.{}", entry_.where.binding, record.method),
                      fmt::format("task is stuck: {}", run.halted()->message));
}

expected<void> task_runner::end(turn& in_turn, task_run& run) {
  auto& record = run.record();
  const auto number = run.id().number;
  const auto next_step = record.first_step + run.journal().size();
  if (run.restarts()) {
    show_finished(run, std::string());
    erase_journal(in_turn, run);
    auto next = decode<std::pair<std::string, std::string>>(run.take_restart());
    if (next && !next->first.empty()) record.method = std::move(next->first);
    record.arguments = next ? std::move(next->second) : std::string();
    record.first_step = next_step;
    record.cancelled_at = 0;
    core_.store->put_task(effects_.writes, run.id(), record);
    call_message again;
    again.method = runtime_methods::restart_task.name;
    again.arguments = encode(number);
    in_turn.enqueue_own_call(std::move(again));
    const auto* method = entry_.type.find(record.method);
    runs_[number].run =
        std::make_unique<task_run>(id_of(number), task_record(record), std::vector<journal_step>(),
                                   method->make_task, limits()); // `run` is gone
    return {};
  }
  const bool cancelled = run.was_cancelled() || run.halted();
  auto outcome = run.halted()
                     ? call_result<std::string>(tl::unexpected<call_error>(
                           {errc::cancelled, task_cancelled(record.cancel_reason).what(), entry_.where}))
                     : run.take_outcome();
  if (!run.halted()) show_finished(run, outcome);
  clear_deaths(run);
  erase_journal(in_turn, run);
  (cancelled ? core_.counts.tasks_cancelled
   : outcome ? core_.counts.tasks_completed
             : core_.counts.tasks_failed)
      .add();
  if (!outcome && !cancelled && record.waiters.empty())
    core_.trouble.warn(
        fmt::format("failed {}.{}", entry_.where.binding, record.method),
        fmt::format("task {} ({}) failed: {}", to_string(run.id()), record.method, outcome.error().message));
  for (auto& each : record.waiters)
    effects_.replies.push_back({std::move(each), outcome});
  record.waiters.clear();
  if (record.state == task_state::stuck)
    effects_.writes.push_back({keys::stuck_task(run.id()), std::nullopt});
  if (record.keep != 0) {
    record.state = cancelled ? task_state::cancelled : outcome ? task_state::completed : task_state::failed;
    record.outcome = std::move(outcome);
    record.ended_ms = core_.clock->now_ms();
    record.arguments.clear();
    core_.store->put_task(effects_.writes, run.id(), record);
    schedule_message forget;
    forget.method = runtime_methods::forget_task.name;
    forget.arguments = encode(number);
    forget.tick_ms = forget.due_ms = record.ended_ms + core_.settings.task_results_kept_for.count();
    if (auto kept = in_turn.enqueue_own_schedule(std::move(forget)); !kept)
      return unexpected<error>(kept.error());
  } else {
    effects_.writes.push_back({keys::task(run.id()), std::nullopt});
  }
  run.set_ended();
  ended_.push_back(number);
  return {};
}

void task_runner::show_finished(task_run& run, const call_result<std::string>& outcome) {
  if (!core_.settings.tasks) return;
  finished_task out{run.id(), run.record(), run.journal(), outcome, run.restarts(), {}};
  for (const auto& each : out.journal)
    if (each.body_is_blob != 0)
      if (auto body = core_.store->load_response_body(each.reference))
        out.bodies.emplace(each.reference, std::move(*body));
  effects_.finished.push_back(std::move(out));
}

/// Of what the journal has on disk. What is still under way is not waited for: sleeps are called off, answers
/// will find nobody.
void task_runner::erase_journal(turn& in_turn, task_run& run) {
  auto stored = stored_steps_.extract(run.id().number);
  const auto rows = stored ? stored.mapped() : 0;
  if (const auto changed = run.take_changed(); !changed.empty())
    warn_if_long(run, rows, changed.back() + 1 - run.record().first_step);
  if (rows > most_single_erasures) {
    auto all = keys::steps_of(run.id());
    effects_.writes.push_back({std::move(all.first), std::nullopt, std::move(all.second)});
  } else {
    for (std::uint64_t i = 0; i < rows; ++i)
      effects_.writes.push_back({keys::task_step(run.id(), run.record().first_step + i), std::nullopt});
  }
  for (const auto& each : run.journal()) {
    if (each.body_is_blob != 0) effects_.bodies.push_back(each.reference);
    if (each.kind == step_kind::sleep && each.order == 0) (void)in_turn.cancel_schedule({each.reference, {}});
  }
  run.forget_journal();
}

void task_runner::write_steps(task_run& run) {
  const auto changed = run.take_changed();
  if (changed.empty()) return;
  for (const auto number : changed)
    core_.store->put_step(effects_.writes, run.id(), number, run.at(number));
  auto& stored = stored_steps_[run.id().number];
  const auto before = stored;
  stored = std::max<std::size_t>(stored, changed.back() + 1 - run.record().first_step);
  warn_if_long(run, before, stored);
}

void task_runner::warn_if_long(task_run& run, std::size_t before, std::size_t now) const {
  const auto warn_at = core_.settings.max_task_steps * warning_percent / 100;
  if (before < warn_at && now >= warn_at)
    core_.trouble.warn(
        fmt::format("steps {}.{}", entry_.where.binding, run.record().method),
        fmt::format("task {} ({}) has {} steps; the limit is options::max_task_steps = {}; a loop that runs "
                    "for ever begins a new journal with continue_as()",
                    to_string(run.id()), run.record().method, now, core_.settings.max_task_steps));
}

expected<void> task_runner::end_all() {
  effects_.writes.clear();
  const auto end_one = [this](task_record& record, const std::vector<journal_step>& journal) {
    for (auto& each : record.waiters)
      effects_.replies.push_back(
          {std::move(each),
           tl::unexpected<call_error>({errc::not_found,
                                       fmt::format("object {} was destroyed, and its task '{}' with it",
                                                   to_string(entry_.where), record.method),
                                       entry_.where})});
    record.waiters.clear();
    for (const auto& each : journal)
      if (each.body_is_blob != 0) effects_.bodies.push_back(each.reference);
  };
  for (auto& [number, held] : runs_)
    end_one(held.run->record(), held.run->journal());
  auto rows = core_.store->scan_readable(keys::tasks_of(entry_.where));
  for (; rows->valid(); rows->next()) {
    const auto id = keys::parse_task(rows->key());
    auto record = core_.store->read_task(rows->value());
    if (!id || !record || runs_.contains(id->number)) continue;
    auto journal = core_.store->load_journal(*id, record->first_step);
    if (!journal && journal.error().code == errc::storage_error) return unexpected<error>(journal.error());
    end_one(*record, journal.value_or(std::vector<journal_step>())); // a damaged one goes with the object too
  }
  if (auto read = rows->status(); !read && read.error().code != errc::corrupt) return read;
  return {};
}

std::size_t task_runner::bytes() {
  for (const auto number : std::exchange(touched_, {}))
    if (auto known = runs_.find(number); known != runs_.end()) {
      auto& [run, counted] = known->second;
      bytes_ -= counted;
      counted = run->ended() ? 0 : run->bytes();
      bytes_ += counted;
    }
  return bytes_;
}

void task_runner::committed(std::uint64_t commit) {
  for (const auto number : std::exchange(ended_, {}))
    ending_.emplace_back(commit, number);
}

void task_runner::settled(std::uint64_t commits) {
  for (; !ending_.empty() && ending_.front().first <= commits; ending_.pop_front())
    if (auto known = runs_.find(ending_.front().second); known != runs_.end() && known->second.run->ended()) {
      bytes_ -= known->second.bytes;
      runs_.erase(known);
      core_.counts.awake_tasks.sub();
    }
}

} // namespace dormouse
