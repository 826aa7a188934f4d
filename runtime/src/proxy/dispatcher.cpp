#include "proxy/dispatcher.hpp"

#include "host/late_results.hpp"
#include "proxy/dispatcher_actor.hpp"
#include "proxy/fetch_commit.hpp"
#include "proxy/retry.hpp"

#include <caf/send.hpp>
#include <fmt/format.h>
#include <spdlog/logger.h>

#include <algorithm>
#include <future>
#include <thread>
#include <utility>

namespace dormouse {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

constexpr milliseconds store_again_after{500};
constexpr milliseconds worker_patience{2000};
constexpr milliseconds tick_of_a_timer{2};

/// Whether the last attempt took all that was left of the fetch's time. Not asked of the wall clock, which
/// another timer measures than the attempt's.
bool ran_out_of_time(const job& over) {
  return over.rest.count() != 0 && over.last_attempt + tick_of_a_timer >= over.rest;
}

/// What fetches must have in common to share one request. With a jar, that is the life whose jar it is too.
std::string flight_of(const fetch_message& fetch) {
  const bool has_jar = !fetch.extra.jar.empty();
  return encode(fetch.url, fetch.headers.fields(), fetch.idempotency_key, fetch.redirect, fetch.extra.jar,
                has_jar ? fetch.path.top()->object : address{},
                has_jar ? fetch.path.top()->incarnation : std::uint64_t{0});
}

} // namespace

dispatcher::dispatcher(caf::actor_config& config, runtime_core& core)
    : event_based_actor(config),
      core_(core),
      queue_(core, {.contains = [this](std::uint64_t id) { return window_.contains(id); },
                    .add = [this](std::shared_ptr<fetch_message> fetch, std::int64_t due_ms,
                                  std::string origin) { add(std::move(fetch), due_ms, std::move(origin)); }}),
      ready_([&core](const std::string& origin) {
        const auto chosen = options_of(core.settings, origin);
        return ready_queue::origin_rules{chosen.max_in_flight, chosen.rate.per_second, chosen.rate.burst};
      }),
      gates_(core.settings, ready_, core.origins),
      inboxes_(core,
               [this](std::uint64_t id) {
                 auto found = window_.find(id);
                 return found != window_.end() && found->second.state == job_state::storing;
               }),
      random_(core.settings.seed) {}

caf::behavior dispatcher::make_behavior() {
  const auto count = core_.settings.proxy_workers != 0
                         ? core_.settings.proxy_workers
                         : std::max(1U, std::thread::hardware_concurrency() / 2);
  for (std::size_t i = 0; i < count; ++i) {
    workers_.push_back({first_worker(i), {}});
  }
  assignments_.resize(count);
  cancellations_.resize(count);
  recover();
  purge_aborts();
  queue_.refill();
  pump();
  schedule_tick();
  return {
      [this](fetches_queued& what) {
        for (auto& each : *what.fetches)
          take(each);
        pump();
        schedule_tick();
      },
      [this](aborts_requested& what) {
        for (auto& each : *what.aborts) {
          auto from = keys::signal_of(each.id).first;
          aborting_.push_back({std::move(each), std::move(from)});
        }
        end_some_aborted();
        pump();
        schedule_tick();
      },
      [this](attempts_finished& batch) {
        finished(batch);
        pump();
      },
      [this](const attempt_marked& what) { marked(what); },
      [this](const result_stored& what) {
        stored(what);
        pump();
      },
      [this](const store_again& what) {
        if (auto found = window_.find(what.fetch_id); found != window_.end()) write_again(found->second);
      },
      [this](const fetch_moved& what) {
        moved(what);
        pump();
      },
      [this](binding_renamed& what) { rename(what); },
      [this](classes_defined& what) { define(what); },
      [this](classes_settled& what) { walk_inbox(what); },
      [this](const recovery_ready& what) {
        what.binding.empty() ? inboxes_.nursed() : inboxes_.recover_some(what.binding);
      },
      [this](const worker_died& what) {
        if (workers_[what.worker].worker.generation() == what.generation)
          replace_worker(what.worker, what.reason);
      },
      [this](dispatcher_tick) { tick(); },
  };
}

/// Without a thread, or without descriptors, it counts as silent: it is replaced when its lease has run out.
proxy_worker dispatcher::first_worker(std::size_t index) {
  std::string why = "there is no thread for it";
  try {
    proxy_worker made(core_, index, next_generation_++);
    if (made.is_started()) return made;
  } catch (const std::exception& e) {
    why = e.what();
  }
  core_.log->error(fmt::format("proxy worker {} cannot start yet: {}", index, why));
  return proxy_worker();
}

void dispatcher::on_exit() {
  for (auto& slot : workers_)
    slot.worker.revoke();
  const auto deadline = steady_clock::now() + worker_patience;
  for (auto& slot : workers_)
    if (!slot.worker.stop(std::max(milliseconds(0),
                                   std::chrono::duration_cast<milliseconds>(deadline - steady_clock::now()))))
      core_.log->warn("a proxy worker does not stop; its thread is left behind");
  workers_.clear();
  inboxes_.stop();
  window_.clear();
}

// --- coming in ---------------------------------------------------------------------------------------------

void dispatcher::take(queued_fetch& next) {
  if (const auto end = next.fetch.end_ms(); end != 0) next_deadline_ms_ = std::min(next_deadline_ms_, end);
  auto origin = origin_of(next.fetch);
  if (queue_.wants(next.fetch, next.due_ms, origin))
    add(std::make_shared<fetch_message>(std::move(next.fetch)), next.due_ms, std::move(origin));
  else if (auto mark = abort_of(next.fetch); mark && *mark) // not when its time comes, which may be in a year
    end_one(next.fetch.id,
            keys::queue(next.fetch.extra.queue, next.fetch.priority, next.due_ms, next.fetch.id),
            &(*mark)->reason);
}

void dispatcher::add(std::shared_ptr<fetch_message> fetch, std::int64_t due_ms, std::string origin) {
  auto [at, is_new] = window_.try_emplace(fetch->id);
  if (!is_new) return;
  auto& next = at->second;
  next.fetch = std::move(fetch);
  next.due_ms = due_ms;
  next.origin = std::move(origin);
  queue_.entered(*next.fetch, next.due_ms, next.origin);
  if (marks_of_unread_.erase(next.fetch->id) != 0) {
    ++next.fetch->attempts;
    next.state = job_state::waiting;
    return lose_marked(next.fetch->id);
  }
  if (auto mark = abort_of(*next.fetch); mark && *mark)
    return end(next,
               &(*mark)->reason); // aborted before it was asked for, or while nobody was there to hear it
  wait(next);
}

/// Error: one that cannot be read, and none that can be says it was aborted.
expected<std::optional<abort_mark>> dispatcher::abort_of(const fetch_message& fetch) const {
  expected<std::optional<abort_mark>> out;
  for (const auto& source : fetch.extra.signal.sources()) {
    auto mark = core_.store->load_abort(source);
    if (mark && *mark) return mark;
    if (!mark) out = unexpected<error>(mark.error());
  }
  return out;
}

void dispatcher::wait(job& next) {
  next.state = job_state::waiting;
  if (const auto end = next.fetch->end_ms(); end != 0)
    next_deadline_ms_ = std::min(next_deadline_ms_, end); // it may have passed while nobody could act on it
  if (is_held_back(*next.fetch)) return held_back_.push_back(next.fetch->id);
  ready_.add(place_of(next), now_ms());
}

// --- going out ---------------------------------------------------------------------------------------------

void dispatcher::pump() {
  let_suspects_wait();
  while (in_flight_ < core_.settings.max_in_flight && !core_.is_disk_behind()) { // the next tick looks again
    auto id = ready_.take(now_ms());
    if (!id) break;
    ++in_flight_;
    send(window_.at(*id));
  }
  flush_assignments();
}

void dispatcher::send(job& next) {
  if (const auto end_ms = next.fetch->end_ms(); end_ms != 0 && end_ms <= now_ms()) {
    stay(next);
    return end(next, nullptr);
  }
  if (next.lost_workers > 0 && std::none_of(workers_.begin(), workers_.end(), [&](const worker_slot& each) {
        return places_for_suspects(each, next) > 0;
      })) {
    stay(next);
    return set_apart(next);
  }
  if (follows(next)) return stay(next);
  switch (gates_.admit(next.origin, now_ms())) {
  case origin_gates::verdict::go:
    break;
  case origin_gates::verdict::wait:
    stay(next);
    land(next, nullptr);
    return wait(next);
  case origin_gates::verdict::refuse:
    stay(next);
    return store_error(next, fetch_errc::circuit_open,
                       fmt::format("the circuit of {} is open: {} attempts in a row have failed, the limit "
                                   "of its circuit_options::failures",
                                   next.origin, options_of(core_.settings, next.origin).circuit.failures),
                       sent_before(*next.fetch));
  }
  if (next.fetch->is_repeatable())
    assign(next);
  else
    mark(next);
}

/// True if an identical one is out already. If not, this one goes out for those that come.
bool dispatcher::follows(job& next) {
  if (next.fetch->extra.sharing != sharing::single_flight) return false;
  auto flight = flight_of(*next.fetch);
  auto [at, is_new] = flights_.try_emplace(flight, next.fetch->id);
  if (is_new) {
    next.flight = std::move(flight);
    return false;
  }
  next.state = job_state::following;
  next.leader = at->second;
  next.assigned_at = steady_clock::now();
  auto& leader = window_.at(next.leader);
  leader.followers.push_back(next.fetch->id);
  const auto until = next.assigned_at + milliseconds(next.fetch->timeout_ms);
  if (until < leader.assigned_at + milliseconds(leader.fetch->timeout_ms)) {
    next.follows_until = until;
    impatient_.emplace(until, next.fetch->id);
  }
  return true;
}

/// A request that must not be repeated leaves a mark on disk before it goes out: should the process die now,
/// the next one knows.
void dispatcher::mark(job& next) {
  next.state = job_state::marking;
  auto commit = std::make_unique<fetch_commit<attempt_marked>>(core_.dispatcher, next.fetch->id);
  commit->writes.push_back(
      {keys::attempt(next.fetch->id),
       keys::queue(next.fetch->extra.queue, next.fetch->priority, next.due_ms, next.fetch->id)});
  core_.store->submit(std::move(commit));
}

void dispatcher::marked(const attempt_marked& what) {
  auto found = window_.find(what.fetch_id);
  if (found == window_.end() || found->second.state != job_state::marking) return;
  auto& next = found->second;
  if (next.ending || !what.durable) { // aborted meanwhile, or storage is in trouble: nothing went out
    gates_.abandoned(next.origin, now_ms());
    stay(next);
    return next.ending ? end(next, &*next.ending) : wait(next);
  }
  assign(next);
  flush_assignments();
}

void dispatcher::assign(job& next) {
  next.state = job_state::in_flight;
  std::optional<blob_ref> file;
  if (next.fetch->body_is_blob == 1 && next.fetch->body.empty()) {
    auto body = core_.store->find_body(next.fetch->id, blob_side::request);
    if (!body) return keep_back(next, body.error());
    file = body->file;
    next.fetch->body = std::move(body->bytes);
  }
  std::shared_ptr<const stored_jar> jar;
  if (const auto& name = next.fetch->extra.jar; !name.empty()) {
    auto bytes = load_jar_of_life(core_, *next.fetch->path.top(), name);
    if (!bytes)
      return keep_back(next,
                       {bytes.error().code, fmt::format("cookie jar '{}': {}", name, bytes.error().message)});
    jar = jars_.share(std::move(*bytes));
  }
  auto least =
      std::min_element(workers_.begin(), workers_.end(), [&](const worker_slot& a, const worker_slot& b) {
        const bool fits_a = next.lost_workers == 0 || places_for_suspects(a, next) > 0;
        const bool fits_b = next.lost_workers == 0 || places_for_suspects(b, next) > 0;
        return fits_a != fits_b ? fits_a : a.in_flight.size() < b.in_flight.size();
      });
  next.worker = static_cast<std::size_t>(least - workers_.begin());
  next.token = next_token_++;
  next.assigned_at = steady_clock::now();
  by_token_.emplace(next.token, next.fetch->id);
  least->in_flight.insert(next.fetch->id);
  if (next.lost_workers > 0) {
    least->suspects.insert(next.fetch->id);
    least->has_lone_suspect = next.lost_workers > 1;
  }
  auto timeout = milliseconds(next.fetch->timeout_ms);
  next.rest = milliseconds(0);
  if (const auto end = next.fetch->end_ms(); end != 0 && milliseconds(end - now_ms()) <= timeout)
    timeout = next.rest = std::max(milliseconds(1), milliseconds(end - now_ms()));
  core_.counts.attempts.add();
  core_.counts.in_flight_fetches.add();
  core_.origins.note(next.origin, [](origin_stats& of) {
    ++of.attempts;
    ++of.in_flight;
  });
  core_.observe(&fetch_observer::started, *next.fetch);
  assignments_[next.worker].push_back({next.token, next.fetch, timeout, file, std::move(jar)});
}

/// It cannot go out, for its body or its jar cannot be read.
void dispatcher::keep_back(job& next, const error& why) {
  gates_.abandoned(next.origin, now_ms());
  stay(next);
  if (why.code != errc::storage_error)
    return store_error(next, fetch_errc::fetch_failed, why.message, sent_before(*next.fetch));
  land(next, nullptr);
  move(next, store_again_after);
}

void dispatcher::flush_assignments() {
  for (std::size_t i = 0; i < workers_.size(); ++i) {
    if (!assignments_[i].empty())
      caf::anon_send(workers_[i].worker.mailbox(), start_transfers{std::make_shared<std::vector<transfer>>(
                                                       std::exchange(assignments_[i], {}))});
    if (!cancellations_[i].empty())
      caf::anon_send(workers_[i].worker.mailbox(), cancel_transfers{std::exchange(cancellations_[i], {})});
  }
}

void dispatcher::give_places_back(const job& over) {
  ready_.release(over.fetch->extra.queue, over.origin, now_ms());
  --in_flight_;
}

/// It had its places and did not go out: what it does not use of its origin's rate is for the next.
void dispatcher::stay(const job& unsent) {
  ready_.release_unused(unsent.fetch->extra.queue, unsent.origin, now_ms());
  --in_flight_;
}

// --- coming back -------------------------------------------------------------------------------------------

void dispatcher::finished(attempts_finished& batch) {
  if (workers_[batch.worker].worker.generation() != batch.generation) {
    core_.counts.duplicates_dropped.add(batch.outcomes->size()); // its lease ran out; others have its fetches
    return;
  }
  for (auto& outcome : *batch.outcomes)
    finished(outcome);
}

void dispatcher::finished(transfer_outcome& outcome) {
  auto token = by_token_.find(outcome.token);
  if (token == by_token_.end()) {
    core_.counts.duplicates_dropped.add();
    return;
  }
  auto& over = window_.at(token->second);
  leave_worker(over);
  judge(over, outcome);
  auto& fetch = *over.fetch;
  ++fetch.attempts;
  const bool time_is_over =
      !outcome.result && outcome.result.error().code == fetch_errc::timeout && ran_out_of_time(over);
  const auto delay = time_is_over ? std::nullopt : retry_delay(fetch, outcome, now_ms(), random_);
  land(over, time_is_over ? nullptr : &outcome,
       delay); // its own time is no answer to those that share its request
  if (delay) return repeat(over, outcome, *delay);
  if (time_is_over && fetch.extra.signal.at_ms() == fetch.end_ms())
    outcome.result.error() = {fetch_errc::aborted, "the time of the abort signal has come",
                              outcome.result.error().sent, 0};
  if (!outcome.result) {
    outcome.result.error().attempts = fetch.attempts;
    if (outcome.result.error().code == fetch_errc::blocked) core_.counts.blocked.add();
    if (outcome.result.error().code == fetch_errc::aborted) core_.counts.aborted.add();
  }
  store_result(over, std::move(outcome.result), std::move(outcome.body), std::move(outcome.cookies));
}

/// What the attempt says of its origin.
void dispatcher::judge(const job& over, const transfer_outcome& outcome) {
  core_.origins.note(over.origin, [&](origin_stats& of) {
    of.durations.add(over.last_attempt);
    if (outcome.result) {
      ++of.responses;
      ++of.by_class[std::min<std::size_t>(outcome.result->status() / 100U, of.by_class.size() - 1)];
    } else {
      ++of.errors;
    }
  });
  // What is worth a retry may be this machine's own trouble: a disk that does not take or give a body.
  const auto failed_there = [&outcome] {
    const auto code = outcome.result.error().code;
    return outcome.retryable && (code == fetch_errc::timeout || code == fetch_errc::network_error);
  };
  if (outcome.result ? outcome.result->status() >= 500 : failed_there())
    gates_.failed(over.origin, now_ms());
  else if (outcome.result)
    gates_.succeeded(over.origin, now_ms());
  else
    gates_.abandoned(over.origin, now_ms());
}

void dispatcher::leave_worker(job& over) {
  over.last_attempt =
      std::chrono::duration_cast<std::chrono::microseconds>(steady_clock::now() - over.assigned_at);
  by_token_.erase(over.token);
  auto& slot = workers_[over.worker];
  slot.in_flight.erase(over.fetch->id);
  if (slot.suspects.erase(over.fetch->id) != 0) ++suspects_cleared_;
  slot.has_lone_suspect = slot.has_lone_suspect && !slot.suspects.empty();
  core_.counts.in_flight_fetches.sub();
  core_.origins.note(over.origin, [](origin_stats& of) { --of.in_flight; });
  give_places_back(over);
}

void dispatcher::repeat(job& over, const transfer_outcome& outcome, milliseconds delay) {
  core_.counts.retries.add();
  core_.origins.note(over.origin, [](origin_stats& of) { ++of.retries; });
  core_.observe(&fetch_observer::retried, *over.fetch, &outcome.result, over.last_attempt, delay);
  move(over, delay);
}

/// The request that others shared has ended: with this outcome, which is of an attempt of theirs too, or, if
/// there is none, they go on by themselves. Those that are to be repeated as the leader is, after `delay`,
/// are repeated together with it, to share the next request too.
void dispatcher::land(job& leader, const transfer_outcome* outcome, std::optional<milliseconds> delay) {
  if (leader.flight.empty()) return;
  flights_.erase(std::exchange(leader.flight, {}));
  std::optional<joint_retry> together;
  if (delay) together = joint_retry{leader.fetch->retry, *delay};
  for (auto id : std::exchange(leader.followers, {})) {
    auto& follower = window_.at(id);
    stop_following(follower);
    if (outcome != nullptr)
      share(follower, leader, *outcome, together);
    else
      wait(follower);
  }
}

void dispatcher::stop_following(job& follower) {
  follower.leader = 0;
  if (const auto until = std::exchange(follower.follows_until, std::nullopt))
    impatient_.erase({*until, follower.fetch->id});
}

/// The request is shared, but not the leader's patience: one that waits for longer goes on by itself, and
/// each has the retries that it asked for.
void dispatcher::share(job& follower, const job& leader, const transfer_outcome& outcome,
                       std::optional<joint_retry>& together) {
  auto& fetch = *follower.fetch;
  if (!outcome.result && outcome.result.error().code == fetch_errc::timeout &&
      fetch.timeout_ms > leader.fetch->timeout_ms)
    return wait(follower);
  auto copy =
      outcome.body ? core_.store->blobs()->link(*outcome.body, fetch.id, blob_side::response) : nullptr;
  if (outcome.body && !copy) return wait(follower);
  ++fetch.attempts;
  follower.last_attempt = leader.last_attempt;
  if (auto delay = retry_delay(fetch, outcome, now_ms(), random_)) {
    if (!together) together = joint_retry{fetch.retry, *delay};
    const auto end = fetch.end_ms();
    if (together->policy == fetch.retry && (end == 0 || now_ms() + together->delay.count() < end))
      delay = together->delay;
    return repeat(follower, outcome, *delay);
  }
  core_.counts.shared.add();
  auto result = outcome.result;
  if (!result) result.error().attempts = fetch.attempts;
  store_result(follower, std::move(result), std::move(copy), outcome.cookies);
}

/// R8: before anything else.
void dispatcher::store_result(job& over, fetch_result result, blob_writer_ptr body,
                              std::vector<received_cookie> cookies) {
  const auto& fetch = *over.fetch;
  over.result = std::make_unique<result_message>();
  over.result->fetch_id = fetch.id;
  over.result->path = fetch.path;
  over.result->result = std::move(result);
  over.result->extra.request = {fetch.method,     fetch.url,
                                fetch.headers,    fetch.body_is_blob == 1 ? std::string() : fetch.body,
                                fetch.body_bytes, fetch.extra.queue,
                                fetch.created_ms, fetch.attempts};
  if (!cookies.empty()) {
    over.result->extra.jar = fetch.extra.jar;
    over.result->extra.cookies = std::move(cookies);
  }
  over.body = std::move(body);
  write_result(over);
}

void dispatcher::store_error(job& over, fetch_errc code, std::string why, sent_state sent) {
  fetch_result result =
      unexpected<fetch_error>(fetch_error{code, std::move(why), sent, over.fetch->attempts});
  land(over, nullptr);
  store_result(over, std::move(result));
}

void dispatcher::write_result(job& over) {
  over.state = job_state::storing;
  auto& object = over.result->path.top()->object;
  object = core_.present(std::move(object));
  auto commit = std::make_unique<fetch_commit<result_stored>>(core_.dispatcher, over.fetch->id);
  core_.store->erase_fetch(*commit, *over.fetch, over.due_ms);
  core_.store->put_result(*commit, *over.result, over.body);
  core_.store->submit(std::move(commit));
}

/// The disk did not take the body, and nobody else has it: to ask again is the only way to have it.
void dispatcher::body_lost(job& over) {
  transfer_outcome lost;
  lost.result = unexpected<fetch_error>(fetch_error{
      fetch_errc::queue_error, "the response's body cannot be stored: " + over.body->why_lost().message,
      sent_state::yes, over.fetch->attempts});
  lost.retryable = true;
  lost.cookies = std::move(over.result->extra.cookies); // they came all the same
  over.result.reset();
  over.body.reset();
  if (auto delay = retry_delay(*over.fetch, lost, now_ms(), random_)) return repeat(over, lost, *delay);
  store_result(over, std::move(lost.result), nullptr, std::move(lost.cookies));
}

void dispatcher::move(job& again, milliseconds delay) {
  land(again, nullptr);
  again.state = job_state::moving;
  again.next_due_ms = now_ms() + delay.count();
  write_move(again);
}

void dispatcher::write_move(const job& again) {
  auto commit = std::make_unique<fetch_commit<fetch_moved>>(core_.dispatcher, again.fetch->id);
  auto stored = *again.fetch;
  if (stored.body_is_blob == 1) stored.body.clear(); // it is in its blob
  core_.store->move_fetch(*commit, stored, again.due_ms, again.next_due_ms);
  core_.store->submit(std::move(commit));
}

/// What could not be written a moment ago.
void dispatcher::write_again(job& what) {
  if (what.state == job_state::storing) write_result(what);
  if (what.state == job_state::moving) write_move(what);
}

void dispatcher::stored(const result_stored& what) {
  auto found = window_.find(what.fetch_id);
  if (found == window_.end() || !found->second.result) return;
  auto& over = found->second;
  if (!what.durable) {
    if (over.body && over.body->is_lost()) return body_lost(over);
    // The response stays in memory, or in its file, and the request is not sent again: the commit is tried
    // until it works or the runtime stops.
    if (!core_.stopping.load()) delayed_send(this, store_again_after, store_again{what.fetch_id});
    return;
  }
  core_.counts.responses_stored.add();
  if (!over.result->result) core_.counts.fetch_errors.add();
  core_.leave_queue(over.fetch->extra.queue);
  core_.observe(&fetch_observer::stored, *over.fetch, &over.result->result, over.last_attempt);
  auto result = std::move(over.result);
  forget(found);
  inboxes_.deliver(std::move(result));
}

void dispatcher::moved(const fetch_moved& what) {
  auto found = window_.find(what.fetch_id);
  if (found == window_.end() || found->second.state != job_state::moving) return;
  auto& again = found->second;
  if (what.durable) again.due_ms = again.next_due_ms;
  if (again.ending) return end(again, &*again.ending);
  if (!what.durable) { // it is still where it was: who sent it from there would not wait between its attempts
    if (!core_.stopping.load()) delayed_send(this, store_again_after, store_again{what.fetch_id});
    return;
  }
  queue_.moved(*again.fetch, again.due_ms);
  if (const auto end_ms = again.fetch->end_ms(); end_ms != 0)
    next_deadline_ms_ = std::min(next_deadline_ms_, end_ms); // as in `wait`
  forget(found);
  schedule_tick();
}

void dispatcher::forget(window::iterator over) {
  queue_.left(*over->second.fetch, over->second.origin);
  window_.erase(over);
  queue_.refill();
}

// --- watching ----------------------------------------------------------------------------------------------

/// From here on everything goes to the present name. Acknowledged when everything that was written to the old
/// one is durable.
void dispatcher::rename(binding_renamed& what) {
  for (auto old : what.type->old_bindings)
    core_.add_renaming(old, what.type->binding);
  core_.rows_in_hand.wait_for_all(); // who has looked for the old name before may not have submitted its row
                                     // yet: behind the barrier, it would be left there
  core_.store->submit(std::make_unique<renaming_barrier>(std::move(what.acknowledge)));
}

/// All are known before any of their objects is woken. From here on whoever writes to the inbox of such an
/// object delivers what it wrote. What was written before is found by a walk, which begins when all of it is
/// durable.
void dispatcher::define(classes_defined& what) {
  for (const auto* type : what.types)
    inboxes_.announce(*type);
  core_.rows_in_hand.wait_for_all(); // who has looked for the class before may not have submitted its row
                                     // yet: behind the barrier, the walk would not find it
  core_.store->submit(
      std::make_unique<class_barrier>(core_.dispatcher, classes_settled{std::move(what.types)}));
  what.acknowledge.reset();
}

void dispatcher::walk_inbox(classes_settled& what) {
  for (const auto* type : what.types)
    inboxes_.walk_inbox(*type);
}

void dispatcher::tick() {
  next_tick_ms_ = never;
  for (std::size_t i = 0; i < workers_.size(); ++i)
    if (workers_[i].worker.silent_for() > core_.settings.worker_lease) replace_worker(i, "its lease ran out");
  recover();
  end_some_aborted();
  expire();
  end_impatient();
  inboxes_.recover_later();
  queue_.look_again();
  queue_.top_up();
  pump();
  schedule_tick();
}

void dispatcher::schedule_tick() {
  constexpr milliseconds longest{200};
  const auto now = now_ms();
  auto patience = longest;
  if (!impatient_.empty())
    patience =
        std::min(patience, std::chrono::ceil<milliseconds>(impatient_.begin()->first - steady_clock::now()));
  const bool has_aborted_left =
      !core_.is_disk_behind() && (!aborting_.empty() || (!recovered_to_.empty() && !aborts_are_known_));
  const auto next =
      std::max(now + 1, std::min({now + patience.count(), next_deadline_ms_, queue_.next_due_ms(),
                                  ready_.next_ms(), has_aborted_left ? now : never}));
  if (next >= next_tick_ms_) return;
  next_tick_ms_ = next;
  delayed_send(this, milliseconds(next - now), dispatcher_tick{});
}

void dispatcher::replace_worker(std::size_t index, std::string_view why) {
  core_.trouble.warn(fmt::format("worker {}", index),
                     fmt::format("proxy worker {} is replaced: {}", index, why));
  auto& slot = workers_[index];
  slot.worker.revoke();
  try {
    proxy_worker next(core_, index, next_generation_++);
    if (!next.is_started()) throw std::runtime_error("there is no thread for it");
    slot.worker = std::move(next);
  } catch (const std::exception& e) {
    // Out of file descriptors or threads. The old one stays silent, so the next tick tries again; until then
    // it keeps what it was given.
    core_.trouble.error(fmt::format("no worker {}", index),
                        fmt::format("proxy worker {} cannot be replaced yet: {}", index, e.what()));
    return;
  }
  core_.counts.worker_restarts.add();
  auto lost = slot.in_flight;
  assignments_[index].clear();
  cancellations_[index].clear();
  for (auto id : lost)
    give_back(window_.at(id), why);
  suspects_cleared_ = 0;
  pump();
}

// --- from outside ------------------------------------------------------------------------------------------

void spawn_dispatcher(runtime_core& core) {
  core.dispatcher = core.system.spawn<dispatcher, caf::hidden + caf::lazy_init>(core);
  caf::anon_send(core.dispatcher, dispatcher_tick{}); // a lazy actor starts with its first message
}

bool stop_dispatcher(runtime_core& core, steady_clock::time_point deadline) {
  auto ended = std::make_shared<std::promise<void>>();
  auto done = ended->get_future();
  core.dispatcher->attach_functor([ended] { ended->set_value(); });
  caf::anon_send_exit(core.dispatcher, caf::exit_reason::user_shutdown);
  if (done.wait_until(deadline) != std::future_status::ready) return false;
  core.dispatcher = nullptr;
  return true;
}

} // namespace dormouse
