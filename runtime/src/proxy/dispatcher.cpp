#include "proxy/dispatcher.hpp"

#include "host/runtime_core.hpp"
#include "proxy/fetch_commit.hpp"
#include "proxy/ready_queue.hpp"
#include "proxy/retry.hpp"
#include "proxy/worker.hpp"

#include <dormouse/serialization/url.hpp>

#include <caf/event_based_actor.hpp>
#include <caf/send.hpp>
#include <fmt/format.h>
#include <spdlog/logger.h>

#include <algorithm>
#include <array>
#include <future>
#include <limits>
#include <set>
#include <thread>
#include <unordered_map>

namespace dormouse {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds longest_tick{200};
constexpr milliseconds store_again_after{500};
constexpr std::size_t recovery_batch = 512;
constexpr std::size_t most_expired_per_tick = 1024;
constexpr milliseconds worker_patience{2000};
constexpr std::uint32_t most_lost_workers = 5;
constexpr std::int64_t never = std::numeric_limits<std::int64_t>::max();

enum class job_state : std::uint8_t {
  waiting,   ///< for its turn
  marking,   ///< the mark that it goes out is being written
  in_flight, ///< a worker has it
  storing,   ///< its result is being written
  moving,    ///< its next due time is being written
};

struct job {
  std::shared_ptr<fetch_message> fetch;
  std::int64_t due_ms = 0; ///< with priority and id, its key
  std::string origin;
  job_state state = job_state::waiting;
  std::uint64_t token = 0; ///< of the attempt in flight
  std::size_t worker = 0;
  std::uint32_t lost_workers = 0; ///< that had it when they were replaced
  std::unique_ptr<result_message> result; ///< while storing
  std::int64_t next_due_ms = 0;           ///< while moving
};

struct worker_slot {
  proxy_worker worker;
  std::set<std::uint64_t> in_flight; ///< fetch ids
};

/// The part of the queue with one priority that is on disk and not in the window.
struct backlog {
  std::size_t in_window = 0;
  bool more_due = true; ///< due rows may be on disk that are not in the window
  std::string from;     ///< every due row before this key is in the window
  std::int64_t next_due_ms = never; ///< a row that becomes due later
};

/// A walk over what was in the inboxes of a class when it was defined.
struct recovery {
  const class_descriptor* type = nullptr;
  std::unique_ptr<row_cursor> rows;
  std::set<std::uint64_t> being_stored; ///< in the walk, but delivered when `result_stored` comes
};

class dispatcher final : public caf::event_based_actor {
public:
  dispatcher(caf::actor_config& config, runtime_core& core)
    : event_based_actor(config), core_(core), ready_(core.settings.max_in_flight_per_origin), random_(core.settings.seed) {}

  caf::behavior make_behavior() override;
  void on_exit() override;

private:
  // Coming in.
  void recover();
  void take(queued_fetch& next);
  void add(std::shared_ptr<fetch_message> fetch, std::int64_t due_ms);
  void refill();
  void refill(fetch_priority priority, backlog& behind);
  void expire();
  bool expire_one(std::uint64_t id, const std::string& queue_key);
  expected<std::shared_ptr<fetch_message>> read_queued(const std::optional<keys::queue_parts>& parts, std::string_view row) const;

  // Going out.
  void pump();
  void mark(job& next);
  void assign(job& next);
  void flush_assignments();

  // Coming back.
  void finished(attempts_finished& batch);
  void finished(transfer_outcome& outcome);
  void leave_worker(job& over);
  void give_back(job& lost, std::string_view why);
  void store_result(job& over, fetch_result result);
  void write_result(job& over);
  void move(job& again, milliseconds delay);
  void stored(const result_stored& what);
  void moved(const fetch_moved& what);
  void forget(std::unordered_map<std::uint64_t, job>::iterator over);

  // To the objects.
  void define(class_defined& what);
  void recover_some(const std::string& binding);
  void deliver(std::unique_ptr<result_message> result);

  // Watching.
  void tick();
  void schedule_tick();
  void replace_worker(std::size_t index, std::string_view why);

  backlog& behind(fetch_priority priority) { return backlogs_[static_cast<std::size_t>(priority)]; }

  runtime_core& core_;
  std::unordered_map<std::uint64_t, job> window_;
  std::array<backlog, 3> backlogs_;
  ready_queue ready_;
  std::vector<worker_slot> workers_;
  std::vector<std::vector<transfer>> assignments_; ///< by worker, sent together
  std::unordered_map<std::uint64_t, std::uint64_t> by_token_; ///< attempt -> fetch
  std::uint64_t next_token_ = 1;
  std::uint64_t next_generation_ = 1;
  std::size_t in_flight_ = 0;
  std::int64_t next_deadline_ms_ = never;
  std::int64_t next_tick_ms_ = never;
  std::map<std::string, recovery, std::less<>> recoveries_; ///< classes whose inbox is being delivered
  std::mt19937_64 random_;
};

caf::behavior dispatcher::make_behavior() {
  const auto count = core_.settings.proxy_workers != 0 ? core_.settings.proxy_workers : std::max(1U, std::thread::hardware_concurrency() / 2);
  for (std::size_t i = 0; i < count; ++i)
    workers_.push_back({proxy_worker(core_, i, next_generation_++), {}});
  assignments_.resize(count);
  recover();
  pump();
  schedule_tick();
  return {
    [this](fetches_queued& what) {
      for (auto& each : *what.fetches)
        take(each);
      pump();
    },
    [this](attempts_finished& batch) {
      finished(batch);
      pump();
    },
    [this](const attempt_marked& what) {
      auto found = window_.find(what.fetch_id);
      if (found == window_.end())
        return;
      if (what.durable) {
        assign(found->second);
        flush_assignments();
      } else { // storage is in trouble: nothing went out
        ready_.release(found->second.origin);
        --in_flight_;
        found->second.state = job_state::waiting;
        ready_.add(found->second.origin, found->second.fetch->priority, what.fetch_id);
      }
    },
    [this](const result_stored& what) {
      stored(what);
      pump();
    },
    [this](const store_again& what) {
      if (auto found = window_.find(what.fetch_id); found != window_.end())
        write_result(found->second);
    },
    [this](const fetch_moved& what) {
      moved(what);
      pump();
    },
    [this](class_defined& what) { define(what); },
    [this](const recovery_ready& what) { recover_some(what.binding); },
    [this](const worker_died& what) {
      if (workers_[what.worker].worker.generation() == what.generation)
        replace_worker(what.worker, what.reason);
    },
    [this](dispatcher_tick) { tick(); },
  };
}

void dispatcher::on_exit() {
  for (auto& slot : workers_)
    slot.worker.revoke();
  for (auto& slot : workers_)
    if (!slot.worker.stop(worker_patience))
      core_.log->warn("a proxy worker does not stop; its thread is left behind");
  workers_.clear();
  recoveries_.clear();
  window_.clear();
}

// --- coming in --------------------------------------------------------------------------------------------------------------------------

/// What an earlier process left: how much is queued, and what must not be repeated.
void dispatcher::recover() {
  // A mark without a result: the process died while a request that must not be repeated was going out (R9). The mark is the key: its value may
  // be damaged, and the request must not go out all the same.
  std::set<std::uint64_t> marked;
  auto leftover = std::make_unique<row_erasure>();
  for (auto row = core_.store->scan(keys::all('A')); row->valid(); row->next()) {
    if (auto id = keys::parse_attempt(row->key()))
      marked.insert(*id);
    else
      leftover->writes.push_back({std::string(row->key()), std::nullopt});
  }
  std::uint64_t queued = 0;
  for (auto row = core_.store->scan(keys::all('Q')); row->valid(); row->next()) {
    ++queued;
    auto parts = keys::parse_queue(row->key());
    if (!parts || marked.erase(parts->id) == 0)
      continue;
    auto fetch = read_queued(parts, row->value());
    if (!fetch)
      continue; // damaged: the refill buries it
    add(std::move(*fetch), parts->due_ms);
    auto& lost = window_.at(parts->id);
    ready_.remove(lost.origin, lost.fetch->priority, parts->id);
    ++lost.fetch->attempts;
    store_result(lost, unexpected<fetch_error>(fetch_error{fetch_errc::fetch_failed,
                                                           fmt::format("the process ended while the {} was going out; it may have been received, so it is not repeated", lost.fetch->method),
                                                           sent_state::maybe, lost.fetch->attempts}));
  }
  core_.counts.queued_fetches.add(queued);
  for (auto id : marked) // of a fetch that was damaged and buried
    leftover->writes.push_back({keys::attempt(id), std::nullopt});
  if (!leftover->writes.empty())
    core_.store->submit(std::move(leftover));
  for (auto row = core_.store->scan(keys::all('E')); row->valid(); row->next()) {
    if (auto parts = keys::parse_deadline(row->key())) {
      next_deadline_ms_ = parts->deadline_ms;
      break;
    }
  }
  for (auto priority : {fetch_priority::high, fetch_priority::normal, fetch_priority::low})
    behind(priority).from = keys::queue_of(priority).first;
  refill();
}

void dispatcher::take(queued_fetch& next) {
  auto& rest = behind(next.fetch.priority);
  if (next.fetch.deadline_ms != 0)
    next_deadline_ms_ = std::min(next_deadline_ms_, next.fetch.deadline_ms);
  if (!rest.more_due && rest.in_window < core_.settings.max_window) {
    // Nothing older is left on disk, so the next scan may begin behind this one and not wade through what is gone.
    if (rest.next_due_ms > next.due_ms)
      rest.from = std::max(rest.from, keys::queue(next.fetch.priority, next.due_ms, next.fetch.id));
    return add(std::make_shared<fetch_message>(std::move(next.fetch)), next.due_ms);
  }
  rest.more_due = true;
  rest.from = std::min(rest.from, keys::queue(next.fetch.priority, next.due_ms, next.fetch.id));
}

void dispatcher::add(std::shared_ptr<fetch_message> fetch, std::int64_t due_ms) {
  auto target = parse_url(fetch->url);
  const auto id = fetch->id;
  const auto priority = fetch->priority;
  auto [at, is_new] = window_.try_emplace(id);
  if (!is_new)
    return;
  at->second.origin = target ? target->origin() : fetch->url;
  at->second.fetch = std::move(fetch);
  at->second.due_ms = due_ms;
  ++behind(priority).in_window;
  ready_.add(at->second.origin, priority, id);
}

void dispatcher::refill() {
  for (auto priority : {fetch_priority::high, fetch_priority::normal, fetch_priority::low})
    if (auto& rest = behind(priority); rest.more_due && rest.in_window <= core_.settings.max_window / 2)
      refill(priority, rest);
}

void dispatcher::refill(fetch_priority priority, backlog& rest) {
  const auto now = core_.clock->now_ms();
  rest.next_due_ms = never;
  auto row = core_.store->scan(rest.from, keys::queue_of(priority).second);
  for (; row->valid(); row->next()) {
    auto parts = keys::parse_queue(row->key());
    if (parts && parts->due_ms > now) {
      rest.next_due_ms = parts->due_ms;
      break;
    }
    if (rest.in_window >= core_.settings.max_window) {
      rest.from = row->key();
      return;
    }
    rest.from = row->key();
    if (parts && window_.contains(parts->id))
      continue;
    auto fetch = read_queued(parts, row->value());
    if (fetch) {
      add(std::move(*fetch), parts->due_ms);
      continue;
    }
    // Nobody can be told: who asked is in the row that cannot be read.
    auto burial = std::make_unique<row_burial>(core_.counts);
    core_.store->bury(burial->writes, std::string(row->key()), std::string(row->value()),
                      "queue row: " + to_string(fetch.error()), now);
    core_.store->submit(std::move(burial));
    core_.counts.queued_fetches.sub();
  }
  rest.more_due = false;
  if (auto read = row->status(); !read) {
    core_.log->error("the queue cannot be read: {}", to_string(read.error()));
    rest.more_due = true;
  }
}

/// What a row of the queue holds, if it is what its key says and tells who asked.
expected<std::shared_ptr<fetch_message>> dispatcher::read_queued(const std::optional<keys::queue_parts>& parts, std::string_view row) const {
  if (!parts)
    return fail(errc::corrupt, "the key is malformed");
  auto fetch = core_.store->read_fetch(row);
  if (!fetch)
    return unexpected<error>(fetch.error());
  if (fetch->id != parts->id || fetch->priority != parts->priority)
    return fail(errc::corrupt, "key and message disagree");
  if (fetch->path.empty())
    return fail(errc::corrupt, "a fetch without a return path");
  return std::make_shared<fetch_message>(std::move(*fetch));
}

/// Fetches whose deadline passed while they waited. Those in flight end by their attempt's own time limit.
void dispatcher::expire() {
  const auto now = core_.clock->now_ms();
  if (next_deadline_ms_ > now)
    return;
  next_deadline_ms_ = never;
  auto leftover = std::make_unique<row_erasure>(); // deadlines of fetches that were damaged and buried
  std::size_t seen = 0;
  for (auto row = core_.store->scan(keys::all('E')); row->valid(); row->next()) {
    auto parts = keys::parse_deadline(row->key());
    if (parts && (parts->deadline_ms > now || ++seen > most_expired_per_tick)) {
      next_deadline_ms_ = parts->deadline_ms;
      break;
    }
    if (!parts || !expire_one(parts->id, std::string(row->value())))
      leftover->writes.push_back({std::string(row->key()), std::nullopt});
  }
  if (!leftover->writes.empty())
    core_.store->submit(std::move(leftover));
}

/// False if there is no such fetch.
bool dispatcher::expire_one(std::uint64_t id, const std::string& queue_key) {
  auto found = window_.find(id);
  if (found == window_.end()) { // it waits on disk
    auto parts = keys::parse_queue(queue_key);
    if (!parts || parts->id != id)
      return false;
    auto row = core_.store->get(queue_key);
    if (!row)
      return true; // storage is in trouble
    if (!*row)
      return false;
    auto fetch = read_queued(parts, **row);
    if (!fetch)
      return true; // it is buried when the refill comes to it
    add(std::move(*fetch), parts->due_ms);
    found = window_.find(id);
  }
  auto& late = found->second;
  if (late.state != job_state::waiting || !ready_.remove(late.origin, late.fetch->priority, id))
    return true;
  store_result(late, unexpected<fetch_error>(fetch_error{fetch_errc::timeout, "the deadline passed while the fetch was waiting",
                                                         late.fetch->attempts > 0 ? sent_state::maybe : sent_state::no, late.fetch->attempts}));
  return true;
}

// --- going out --------------------------------------------------------------------------------------------------------------------------

void dispatcher::pump() {
  while (in_flight_ < core_.settings.max_in_flight) {
    auto id = ready_.take();
    if (!id)
      break;
    auto& next = window_.at(*id);
    ++in_flight_;
    if (next.fetch->is_repeatable())
      assign(next);
    else
      mark(next);
  }
  flush_assignments();
}

/// A request that must not be repeated leaves a mark on disk before it goes out: should the process die now, the next one knows.
void dispatcher::mark(job& next) {
  next.state = job_state::marking;
  auto commit = std::make_unique<fetch_commit<attempt_marked>>(core_.dispatcher, next.fetch->id);
  commit->writes.push_back({keys::attempt(next.fetch->id), keys::queue(next.fetch->priority, next.due_ms, next.fetch->id)});
  core_.store->submit(std::move(commit));
}

void dispatcher::assign(job& next) {
  next.state = job_state::in_flight;
  if (next.fetch->body_is_blob != 0 && next.fetch->body.empty()) {
    auto body = core_.store->read_request_body(*next.fetch);
    if (!body) {
      leave_worker(next);
      return store_result(next, unexpected<fetch_error>(fetch_error{fetch_errc::fetch_failed, body.error().message, sent_state::no, next.fetch->attempts}));
    }
    next.fetch->body = std::move(*body);
  }
  auto least = std::min_element(workers_.begin(), workers_.end(), [](const worker_slot& a, const worker_slot& b) { return a.in_flight.size() < b.in_flight.size(); });
  next.worker = static_cast<std::size_t>(least - workers_.begin());
  next.token = next_token_++;
  by_token_.emplace(next.token, next.fetch->id);
  least->in_flight.insert(next.fetch->id);
  auto timeout = milliseconds(next.fetch->timeout_ms);
  if (next.fetch->deadline_ms != 0)
    timeout = std::clamp(milliseconds(next.fetch->deadline_ms - core_.clock->now_ms()), milliseconds(1), timeout);
  core_.counts.attempts.add();
  core_.counts.in_flight_fetches.add();
  assignments_[next.worker].push_back({next.token, next.fetch, timeout});
}

void dispatcher::flush_assignments() {
  for (std::size_t i = 0; i < assignments_.size(); ++i) {
    if (assignments_[i].empty())
      continue;
    auto batch = std::make_shared<std::vector<transfer>>(std::exchange(assignments_[i], {}));
    caf::anon_send(workers_[i].worker.mailbox(), start_transfers{std::move(batch)});
  }
}

// --- coming back ------------------------------------------------------------------------------------------------------------------------

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
  ++over.fetch->attempts;
  if (auto delay = retry_delay(*over.fetch, outcome, core_.clock->now_ms(), random_)) {
    core_.counts.retries.add();
    return move(over, *delay);
  }
  if (!outcome.result) {
    outcome.result.error().attempts = over.fetch->attempts;
    if (outcome.result.error().code == fetch_errc::blocked)
      core_.counts.blocked.add();
  }
  store_result(over, std::move(outcome.result));
}

void dispatcher::leave_worker(job& over) {
  if (by_token_.erase(over.token) != 0) {
    workers_[over.worker].in_flight.erase(over.fetch->id);
    core_.counts.in_flight_fetches.sub();
  }
  ready_.release(over.origin);
  --in_flight_;
}

/// A worker was lost with it. That is no failure of the fetch and costs it no retry; but one that takes every worker down with it is given up on.
void dispatcher::give_back(job& lost, std::string_view why) {
  leave_worker(lost);
  if (lost.fetch->is_repeatable() && ++lost.lost_workers < most_lost_workers) {
    core_.counts.retries.add();
    lost.state = job_state::waiting;
    return ready_.add(lost.origin, lost.fetch->priority, lost.fetch->id);
  }
  ++lost.fetch->attempts;
  store_result(lost, unexpected<fetch_error>(fetch_error{fetch_errc::fetch_failed, fmt::format("the worker that had the fetch was lost: {}", why), sent_state::maybe,
                                                         lost.fetch->attempts}));
}

/// R8: before anything else.
void dispatcher::store_result(job& over, fetch_result result) {
  over.result = std::make_unique<result_message>();
  over.result->fetch_id = over.fetch->id;
  over.result->path = over.fetch->path;
  over.result->result = std::move(result);
  write_result(over);
}

void dispatcher::write_result(job& over) {
  over.state = job_state::storing;
  auto commit = std::make_unique<fetch_commit<result_stored>>(core_.dispatcher, over.fetch->id);
  core_.store->erase_fetch(commit->writes, *over.fetch, over.due_ms);
  core_.store->put_result(commit->writes, *over.result);
  core_.store->submit(std::move(commit));
}

void dispatcher::move(job& again, milliseconds delay) {
  again.state = job_state::moving;
  again.next_due_ms = core_.clock->now_ms() + delay.count();
  auto commit = std::make_unique<fetch_commit<fetch_moved>>(core_.dispatcher, again.fetch->id);
  auto stored = *again.fetch;
  if (stored.body_is_blob != 0)
    stored.body.clear(); // it is in its blob
  core_.store->move_fetch(commit->writes, stored, again.due_ms, again.next_due_ms);
  core_.store->submit(std::move(commit));
}

void dispatcher::stored(const result_stored& what) {
  auto found = window_.find(what.fetch_id);
  if (found == window_.end() || !found->second.result)
    return;
  if (!what.durable) {
    // The response stays in memory and the request is not sent again: the commit is tried until it works or the runtime stops.
    if (!core_.stopping.load())
      delayed_send(this, store_again_after, store_again{what.fetch_id});
    return;
  }
  core_.counts.responses_stored.add();
  if (!found->second.result->result)
    core_.counts.fetch_errors.add();
  core_.counts.queued_fetches.sub();
  auto result = std::move(found->second.result);
  forget(found);
  deliver(std::move(result));
}

void dispatcher::moved(const fetch_moved& what) {
  auto found = window_.find(what.fetch_id);
  if (found == window_.end() || found->second.state != job_state::moving)
    return;
  auto& again = found->second;
  auto& rest = behind(again.fetch->priority);
  if (!what.durable) { // it is still where it was
    again.state = job_state::waiting;
    return ready_.add(again.origin, again.fetch->priority, what.fetch_id);
  }
  rest.next_due_ms = std::min(rest.next_due_ms, again.next_due_ms);
  rest.from = std::min(rest.from, keys::queue(again.fetch->priority, again.next_due_ms, what.fetch_id));
  forget(found);
  schedule_tick();
}

void dispatcher::forget(std::unordered_map<std::uint64_t, job>::iterator over) {
  --behind(over->second.fetch->priority).in_window;
  window_.erase(over);
  refill();
}

// --- to the objects ---------------------------------------------------------------------------------------------------------------------

/// Results for a class are delivered from here on, and what is in its inbox first. All in one actor: a result is either in the walk
/// that begins now or is delivered when it is stored, never both.
void dispatcher::define(class_defined& what) {
  recovery walk{what.type, core_.store->scan(keys::inbox_of(what.type->binding)), {}};
  core_.add_class(*what.type); // behind the scan: a post is taken from here on, and it must not be in the walk as well
  for (const auto& [id, each] : window_)
    if (each.state == job_state::storing)
      walk.being_stored.insert(id);
  const std::string binding(what.type->binding);
  recoveries_.insert_or_assign(binding, std::move(walk));
  what.acknowledge.reset();
  recover_some(binding);
}

/// The next batch of an inbox; the one after it when these have been handled, so that a long inbox is not a burst of memory.
void dispatcher::recover_some(const std::string& binding) {
  auto found = recoveries_.find(binding);
  if (found == recoveries_.end())
    return;
  auto& [type, rows, being_stored] = found->second;
  auto again = std::shared_ptr<void>(nullptr, [to = caf::actor_cast<caf::weak_actor_ptr>(core_.dispatcher), binding](void*) {
    if (auto alive = caf::actor_cast<caf::actor>(to))
      caf::anon_send(alive, recovery_ready{binding});
  });
  for (std::size_t taken = 0; taken < recovery_batch && rows->valid(); rows->next(), ++taken) {
    auto parts = keys::parse_inbox(rows->key());
    if (parts && being_stored.contains(parts->id))
      continue;
    auto what = std::make_shared<envelope>();
    std::optional<error> damaged;
    if (!parts) {
      damaged = error{errc::corrupt, "the key is malformed"};
    } else if (auto result = core_.store->read_result(rows->value())) {
      what->has_blob = result->body_is_blob != 0;
      what->result = std::make_unique<result_message>(std::move(*result));
    } else if (auto post = core_.store->read_post(rows->value())) {
      what->method = type->find(post->method);
      what->arguments = std::move(post->arguments);
      if (what->method == nullptr)
        damaged = error{errc::unknown_method, fmt::format("class {} has no method '{}'", binding, post->method)};
    } else {
      damaged = result.error();
    }
    if (damaged) {
      auto burial = std::make_unique<row_burial>(core_.counts);
      core_.store->bury(burial->writes, std::string(rows->key()), std::string(rows->value()), "inbox row: " + to_string(*damaged), core_.clock->now_ms());
      core_.store->submit(std::move(burial));
      continue;
    }
    what->inbox_id = parts->id;
    what->recovery = again;
    core_.deliver(parts->where, *type, std::move(what));
  }
  if (!rows->valid())
    recoveries_.erase(found);
}

void dispatcher::deliver(std::unique_ptr<result_message> result) {
  const auto to = result->path.top()->object;
  const auto* type = core_.find_class(to.binding);
  if (type == nullptr) {
    core_.counts.undeliverable.add(); // it stays in the inbox until its class is defined
    return;
  }
  auto what = std::make_shared<envelope>();
  what->inbox_id = result->fetch_id;
  what->has_blob = result->body_is_blob != 0;
  what->result = std::move(result);
  core_.deliver(to, *type, std::move(what));
}

// --- watching ---------------------------------------------------------------------------------------------------------------------------

void dispatcher::tick() {
  next_tick_ms_ = never;
  for (std::size_t i = 0; i < workers_.size(); ++i)
    if (workers_[i].worker.silent_for() > core_.settings.worker_lease)
      replace_worker(i, "its lease ran out");
  expire();
  const auto now = core_.clock->now_ms();
  for (auto& rest : backlogs_)
    if (rest.next_due_ms <= now)
      rest.more_due = true;
  refill();
  pump();
  schedule_tick();
}

void dispatcher::schedule_tick() {
  const auto now = core_.clock->now_ms();
  auto next = std::min(now + longest_tick.count(), next_deadline_ms_);
  for (const auto& rest : backlogs_)
    next = std::min(next, rest.next_due_ms);
  next = std::max(next, now + 1);
  if (next >= next_tick_ms_)
    return;
  next_tick_ms_ = next;
  delayed_send(this, milliseconds(next - now), dispatcher_tick{});
}

void dispatcher::replace_worker(std::size_t index, std::string_view why) {
  core_.log->warn("proxy worker {} is replaced: {}", index, why);
  auto& slot = workers_[index];
  slot.worker.revoke();
  try {
    slot.worker = proxy_worker(core_, index, next_generation_++);
  } catch (const std::exception& e) {
    // Out of file descriptors or threads. The old one stays silent, so the next tick tries again; until then it keeps what it was given.
    core_.log->error("proxy worker {} cannot be replaced yet: {}", index, e.what());
    return;
  }
  core_.counts.worker_restarts.add();
  auto lost = slot.in_flight;
  assignments_[index].clear();
  for (auto id : lost)
    give_back(window_.at(id), why);
  pump();
}

} // namespace

void spawn_dispatcher(runtime_core& core) {
  core.dispatcher = core.system.spawn<dispatcher, caf::hidden + caf::lazy_init>(core);
  caf::anon_send(core.dispatcher, dispatcher_tick{}); // a lazy actor starts with its first message
}

void stop_dispatcher(runtime_core& core) {
  auto ended = std::make_shared<std::promise<void>>();
  auto done = ended->get_future();
  core.dispatcher->attach_functor([ended] { ended->set_value(); });
  caf::anon_send_exit(core.dispatcher, caf::exit_reason::user_shutdown);
  done.wait();
  core.dispatcher = nullptr;
}

} // namespace dormouse
