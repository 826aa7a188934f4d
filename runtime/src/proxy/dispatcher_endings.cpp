/// What of the dispatcher ends a fetch without an answer, and what it finds when it starts.

#include "proxy/dispatcher_actor.hpp"
#include "proxy/fetch_commit.hpp"
#include "proxy/retry.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

namespace dormouse {
namespace {

constexpr std::size_t most_expired_per_tick = 1024;
constexpr std::size_t most_aborted_per_tick = 1024;
constexpr std::uint32_t most_lost_workers = 5;
constexpr std::int64_t purge_every_ms = 3'600'000;
constexpr std::int64_t read_again_ms = 500;
constexpr std::int64_t damaged_again_ms = 30'000;

} // namespace

/// What an earlier process left: how much is queued, what must not be repeated, and what was aborted. What
/// cannot be read is left to the next tick; until all is counted nothing is taken out of the queue.
void dispatcher::recover() {
  if (!queue_.has_begun() && !recover_queues()) return;
  if (!marks_are_known_)
    (void)recover_marks({keys::all('A').first, keys::all('A').second});
  else
    look_at_marks_again();
  unread_aborts_.look_again(now_ms(), [this](const key_range& rows) {
    auto row = core_.store->scan(rows.from, rows.to);
    while (row->valid())
      row->next();
    if (row->status()) aborts_are_known_ = false;
    return row->status().has_value();
  });
  if (!aborts_are_known_) release_held_back();
  if (!aborts_are_known_) recover_aborts();
}

/// Those of the options, and those that the options name no more but that have rows. False if they could not
/// be read whole: then nothing is counted.
bool dispatcher::recover_queues() {
  std::map<std::string, std::uint64_t> queued;
  expected<void> read;
  const auto skipped = [this](const key_range& rows) { queue_.add_uncounted(rows); };
  const auto count = [&](const std::string& name) {
    queue_.open(name);
    auto& of_it = queued[name];
    for (auto priority : {fetch_priority::high, fetch_priority::normal, fetch_priority::low}) {
      auto row = core_.store->scan_readable(keys::queue_of(name, priority), skipped);
      for (; row->valid(); row->next())
        if (auto parts = keys::parse_queue(row->key());
            !parts || (core_.store->is_of_earlier_process(parts->id) && // others by who queued them
                       queue_.count(row->key(), parts->id)))
          ++of_it;
      read = read.and_then([&row] { return row->status(); });
    }
  };
  count({});
  for (const auto& [name, limits] : core_.settings.queues)
    count(name);
  const auto end = keys::all('N').second;
  for (std::string from = "N";;) {
    auto row = core_.store->scan_readable({from, end}, skipped);
    if (!row->valid()) {
      read = read.and_then([&row] { return row->status(); });
      break;
    }
    auto name = keys::queue_name(row->key());
    if (name && !core_.settings.queues.contains(*name)) count(*name);
    from = name ? keys::behind_queue(*name) : std::string(row->key()) + '\0';
  }
  if (!read)
    core_.trouble.error("queue count",
                        fmt::format("what an earlier process has queued cannot be counted{}: {}",
                                    read.error().code == errc::corrupt ? " whole" : " yet",
                                    to_string(read.error())));
  if (!read &&
      read.error().code != errc::corrupt) // what is damaged will not be better later, and the rest can go on
    return false;
  for (const auto& [name, fetches] : queued) {
    core_.enter_queue(name, fetches);
    if (auto* places = core_.find_queue(name)) ready_.limit_queue(name, places->max_in_flight);
  }
  queue_.begin();
  return true;
}

/// A mark without a result: the process died while a request that must not be repeated was going out (R9).
/// The mark is the key: its value may be damaged, and the request must not go out all the same. False if they
/// could not be read: then nothing is erased, and what must not be repeated is held back until they are. Of a
/// part that is damaged the same holds for the fetches whose marks would be in it.
bool dispatcher::recover_marks(const key_range& where) {
  auto leftover = std::make_unique<row_erasure>();
  std::map<std::uint64_t, std::string> marked; // fetch -> key of its queue row, if the value still says so
  const auto unreadable = [this](const error& why) {
    core_.trouble.error("marks", "the marks of requests that must not be repeated cannot be read yet: " +
                                     to_string(why));
    return false;
  };
  auto mark = core_.store->scan_readable(
      {where.from, where.to}, [this](const key_range& rows) { unread_marks_.add(rows, now_ms()); });
  for (; mark->valid(); mark->next()) {
    auto id = keys::parse_attempt(mark->key());
    if (!id)
      leftover->writes.push_back({std::string(mark->key()), std::nullopt});
    else if (core_.store->is_of_earlier_process(*id)) // the others are of what is going out now
      marked.emplace(*id, mark->value());
  }
  if (auto read = mark->status(); !read) return unreadable(read.error());
  const auto load = [this](std::uint64_t id, std::string_view key, std::string_view value) {
    auto parts = keys::parse_queue(key);
    if (!parts || parts->id != id) return false;
    auto fetch = read_queued(*core_.store, parts, value);
    if (!fetch) return false; // damaged: the refill buries it
    if (auto held = window_.find(id); held != window_.end()) {
      if (held->second.state == job_state::waiting) ++held->second.fetch->attempts;
      return true;
    }
    ++(*fetch)->attempts; // the one that the mark is of: should it be aborted too, it may have been received
                          // all the same
    auto origin = origin_of(**fetch);
    add(std::move(*fetch), parts->due_ms, std::move(origin));
    return true;
  };
  bool look_everywhere = false;
  bool all_is_read = true; // of the queue
  for (auto at = marked.begin(); at != marked.end();) {
    auto row = core_.store->get(at->second);
    if (row && *row && load(at->first, at->second, **row)) {
      lose_marked(at->first);
      at = marked.erase(at);
    } else {
      look_everywhere = true;
      ++at;
    }
  }
  for (char kind : {'Q', 'N'}) {
    if (!look_everywhere) break;
    auto row = core_.store->scan_readable(keys::all(kind),
                                          [&all_is_read](const key_range&) { all_is_read = false; });
    for (; row->valid(); row->next())
      if (auto parts = keys::parse_queue(row->key()); parts && marked.contains(parts->id)) {
        if (load(parts->id, row->key(), row->value())) lose_marked(parts->id);
        marked.erase(parts->id);
      }
    if (auto read = row->status(); !read) return unreadable(read.error());
  }
  for (const auto& [id, key] : marked) {
    if (all_is_read) // of a fetch that was damaged and buried
      leftover->writes.push_back({keys::attempt(id), std::nullopt});
    else
      marks_of_unread_.insert(id);
  }
  if (!leftover->writes.empty()) core_.store->submit(std::move(leftover));
  marks_are_known_ = true;
  release_held_back();
  return true;
}

/// Those that still have a reason for it are held back again.
void dispatcher::release_held_back() {
  for (const auto id : std::exchange(held_back_, {}))
    if (auto held = window_.find(id); held != window_.end() && held->second.state == job_state::waiting) {
      if (auto mark = abort_of(*held->second.fetch); mark && *mark)
        end(held->second, &(*mark)->reason);
      else
        wait(held->second);
    }
}

/// It was going out when an earlier process ended.
void dispatcher::lose_marked(std::uint64_t id) {
  auto found = window_.find(id);
  if (found == window_.end() || found->second.state != job_state::waiting) return;
  auto& lost = found->second;
  ready_.remove(place_of(lost), now_ms());
  store_error(
      lost, fetch_errc::fetch_failed,
      fmt::format(
          "the process ended while the {} was going out; it may have been received, so it is not repeated",
          lost.fetch->method),
      sent_state::maybe);
}

void dispatcher::look_at_marks_again() {
  bool any_read = false;
  unread_marks_.look_again(now_ms(), [this, &any_read](const key_range& rows) {
    auto row = core_.store->scan(rows.from, rows.to);
    while (row->valid())
      row->next();
    if (!row->status() || !recover_marks(rows)) return false;
    any_read = true;
    return true;
  });
  if (any_read) release_held_back();
}

/// What may have been received already, or aborted: while that cannot be read it does not go out.
bool dispatcher::is_held_back(const fetch_message& fetch) const {
  if (!abort_of(fetch)) return true;
  return !fetch.is_repeatable() && core_.store->is_of_earlier_process(fetch.id) &&
         (!marks_are_known_ || unread_marks_.contains(keys::attempt(fetch.id)));
}

/// Aborts that became durable when there was no dispatcher left to act on them. Their rows are in the same
/// order as those of the signals that the fetches hang on, so one walk over both finds all that meet. What a
/// walk that fails has not come to is found by the next; and it goes on with the next tick when it has ended
/// enough fetches, for each of them is in memory until that is durable.
void dispatcher::recover_aborts() {
  if (core_.is_disk_behind()) return;
  auto leftover = std::make_unique<row_erasure>();
  const auto skipped = [this](const key_range& rows) { unread_aborts_.add(rows, now_ms()); };
  auto marks = keys::all('S');
  auto signals = keys::all('G');
  if (const auto from = std::exchange(recovered_to_, {}); !from.empty()) {
    marks.first = keys::abort_mark({}).substr(0, 1) + from.substr(1, keys::abort_mark({}).size() - 1);
    signals.first = from;
  }
  auto mark = core_.store->scan_readable(marks, skipped);
  auto signal = core_.store->scan_readable(signals, skipped);
  std::size_t ended = 0;
  while (mark->valid() && signal->valid()) {
    if (ended == most_aborted_per_tick || core_.is_disk_behind()) {
      recovered_to_ = signal->key();
      break;
    }
    const auto aborted = mark->key().substr(1);
    const auto order = aborted.compare(signal->key().substr(1, aborted.size()));
    if (order < 0) {
      mark->next();
      continue;
    }
    if (order == 0) {
      const auto reason = unseal_value<abort_mark>(frame_type::abort_mark, mark->value())
                              .value_or(abort_mark{})
                              .reason; // a damaged one aborts all the same
      const auto id = keys::parse_signal(signal->key());
      if (!id || end_one(*id, std::string(signal->value()), &reason) == ending::none)
        leftover->writes.push_back({std::string(signal->key()), std::nullopt});
      ++ended;
    }
    signal->next();
  }
  if (!leftover->writes.empty()) core_.store->submit(std::move(leftover));
  if (!recovered_to_.empty()) {
    if (std::exchange(end_is_due_, false)) recovered_to_.clear(); // from the beginning
    return;
  }
  const auto read = mark->status().and_then([&signal] { return signal->status(); });
  if (!read) core_.trouble.error("aborts", "aborts cannot be read: " + to_string(read.error()));
  aborts_are_known_ = (read || read.error().code == errc::corrupt) && !std::exchange(end_is_due_, false);
}

/// Forgets the aborts that are older than `abort_memory`, when they have been acted on. How old a damaged one
/// is nobody can tell, and it aborts all the same: it counts from now.
void dispatcher::purge_aborts() {
  if (!aborts_are_known_) return;
  const auto now = now_ms();
  next_purge_ms_ = now + purge_every_ms;
  const auto oldest = now - std::chrono::milliseconds(abort_memory).count();
  auto old = std::make_unique<row_erasure>();
  for (auto row = core_.store->scan_readable(keys::all('S')); row->valid(); row->next()) {
    auto mark = unseal_value<abort_mark>(frame_type::abort_mark, row->value());
    if (!mark && row->key().size() == keys::abort_mark({}).size())
      old->writes.push_back(
          {std::string(row->key()), seal_value(frame_type::abort_mark, abort_mark{now, {}})});
    else if (!mark || mark->time_ms < oldest)
      old->writes.push_back({std::string(row->key()), std::nullopt});
  }
  if (!old->writes.empty()) core_.store->submit(std::move(old));
}

/// Fetches whose deadline, or whose signal's time, came while they waited. Those in flight end by their
/// attempt's own time limit.
void dispatcher::expire() {
  const auto now = now_ms();
  if (now >= next_purge_ms_) purge_aborts();
  if (next_deadline_ms_ > now) return;
  if (!queue_.has_begun() || core_.is_disk_behind()) {
    next_deadline_ms_ = now + read_again_ms;
    return;
  }
  next_deadline_ms_ = never;
  auto leftover = std::make_unique<row_erasure>(); // deadlines of fetches that were damaged and buried
  std::size_t seen = 0; // but for those that stay where they are and would keep the others from their turn
  bool skipped = false;
  auto row = core_.store->scan_readable(keys::all('E'), [&skipped](const key_range&) { skipped = true; });
  for (; row->valid(); row->next()) {
    auto parts = keys::parse_deadline(row->key());
    if (parts && (parts->deadline_ms > now || seen >= most_expired_per_tick)) {
      next_deadline_ms_ = parts->deadline_ms;
      break;
    }
    const auto ended = parts ? end_one(parts->id, std::string(row->value()), nullptr) : ending::none;
    if (ended == ending::unreadable)
      skipped = true;
    else
      ++seen;
    if (ended == ending::none) leftover->writes.push_back({std::string(row->key()), std::nullopt});
  }
  if (!leftover->writes.empty()) core_.store->submit(std::move(leftover));
  const auto read = row->status();
  if (!read)
    core_.trouble.error("deadlines",
                        "the deadlines of what is queued cannot be read: " + to_string(read.error()));
  if (skipped) next_deadline_ms_ = std::min(next_deadline_ms_, now + damaged_again_ms);
  if (std::exchange(end_is_due_, false) || !read) next_deadline_ms_ = now + read_again_ms;
}

/// Followers whose attempt would be over by now. The request that they share goes on for its other ones.
void dispatcher::end_impatient() {
  const auto now = std::chrono::steady_clock::now();
  while (!impatient_.empty() && impatient_.begin()->first <= now) {
    auto& over = window_.at(impatient_.begin()->second);
    std::erase(window_.at(over.leader).followers, over.fetch->id);
    stop_following(over);
    ++over.fetch->attempts;
    over.last_attempt = std::chrono::duration_cast<std::chrono::microseconds>(now - over.assigned_at);
    transfer_outcome outcome;
    outcome.retryable = true;
    outcome.result = unexpected<fetch_error>(
        fetch_error{fetch_errc::timeout,
                    fmt::format("{} {}: the request that the fetch shares with others has no answer yet; the "
                                "limit is {} ms of fetch_init::timeout",
                                over.fetch->method, over.origin, over.fetch->timeout_ms),
                    sent_state::maybe, over.fetch->attempts});
    if (auto delay = retry_delay(*over.fetch, outcome, now_ms(), random_))
      repeat(over, outcome, *delay);
    else
      store_result(over, std::move(outcome.result));
  }
}

/// The oldest abort first, so many fetches at a time: each of them is in memory from then on until its end is
/// durable. The rest is ended with the next tick.
void dispatcher::end_some_aborted() {
  for (std::size_t ended = 0; !aborting_.empty() && !core_.is_disk_behind();) {
    auto& [what, from] = aborting_.front();
    auto leftover = std::make_unique<row_erasure>();
    auto row =
        core_.store->scan_readable({from, keys::signal_of(what.id).second},
                                   [this](const key_range& rows) { unread_aborts_.add(rows, now_ms()); });
    for (; row->valid() && ended < most_aborted_per_tick && !core_.is_disk_behind(); row->next(), ++ended) {
      auto id = keys::parse_signal(row->key());
      if (!id || end_one(*id, std::string(row->value()), &what.mark.reason) == ending::none)
        leftover->writes.push_back({std::string(row->key()), std::nullopt});
    }
    if (!leftover->writes.empty()) core_.store->submit(std::move(leftover));
    if (std::exchange(end_is_due_, false) || !row->status()) {
      aborts_are_known_ = false; // its mark is on the disk: the next tick looks for all
      recovered_to_.clear();
    }
    if (row->valid()) {
      from = row->key();
      return;
    }
    aborting_.pop_front();
  }
}

/// Because of an abort, or because its time is over. Of one whose row is damaged nothing is known: when it
/// can be read, what comes from the disk is asked for both.
dispatcher::ending dispatcher::end_one(std::uint64_t id, const std::string& queue_key,
                                       const std::string* abort_reason) {
  auto found = window_.find(id);
  if (found == window_.end() && !queue_.has_begun()) // perhaps not counted yet: who looks again then finds it
    return ending::begun;
  if (found == window_.end()) { // it waits on disk
    auto parts = keys::parse_queue(queue_key);
    if (!parts || parts->id != id) return ending::none;
    auto row = core_.store->get(queue_key);
    if (!row) {
      if (row.error().code != errc::corrupt) end_is_due_ = true; // storage is in trouble
      return ending::unreadable;
    }
    if (!*row) return ending::none;
    auto fetch = read_queued(*core_.store, parts, **row);
    if (!fetch) return ending::unreadable; // it is buried when the refill comes to it
    auto origin = origin_of(**fetch);
    add(std::move(*fetch), parts->due_ms, std::move(origin));
    found = window_.find(id);
  }
  auto& late = found->second;
  if (late.ending) return ending::begun; // it ends when the commit comes that is under way for it
  if (abort_reason != nullptr || late.state == job_state::waiting || late.state == job_state::following)
    end(late, abort_reason);
  return ending::begun;
}

/// R9, of one that is not out now. Only what must not be repeated leaves a mark: of anything else that an
/// earlier process has queued nobody knows whether it was out when that ended.
sent_state dispatcher::sent_before(const fetch_message& fetch) const {
  return fetch.attempts > 0 || is_held_back(fetch) ||
                 (fetch.is_repeatable() && core_.store->is_of_earlier_process(fetch.id))
             ? sent_state::maybe
             : sent_state::no;
}

void dispatcher::end(job& late, const std::string* abort_reason) {
  const auto& fetch = *late.fetch;
  auto sent = sent_before(fetch);
  switch (late.state) {
  case job_state::storing:
    return; // its result was first
  case job_state::waiting:
    ready_.remove(place_of(late), now_ms());
    break;
  case job_state::marking:
  case job_state::moving:
    if (!late.ending) {
      late.ending = *abort_reason; // when its mark or its new row is written, for until then nobody knows
                                   // what a restart would find
      return;
    }
    break;
  case job_state::following:
    std::erase(window_.at(late.leader).followers, fetch.id);
    stop_following(late);
    sent = sent_state::maybe;
    break;
  case job_state::in_flight:
    cancellations_[late.worker].push_back(late.token);
    leave_worker(late);
    gates_.abandoned(late.origin, now_ms());
    ++late.fetch->attempts;
    sent = sent_state::maybe;
    break;
  }
  const auto aborts_at = fetch.extra.signal.at_ms();
  if (abort_reason != nullptr) {
    core_.counts.aborted.add();
    store_error(late, fetch_errc::aborted,
                abort_reason->empty() ? std::string("the fetch was aborted")
                                      : "the fetch was aborted: " + *abort_reason,
                sent);
  } else if (aborts_at != 0 && aborts_at == fetch.end_ms()) {
    core_.counts.aborted.add();
    store_error(late, fetch_errc::aborted, "the time of the abort signal has come", sent);
  } else {
    store_error(
        late, fetch_errc::timeout,
        fmt::format("{} {}: the deadline passed while the fetch was waiting; fetch_init::deadline was {} ms",
                    fetch.method, late.origin, fetch.deadline_ms - fetch.created_ms),
        sent);
  }
}

/// One of those that were with a worker when it was lost may be why it was. They come back a few at a time,
/// and more while all goes well; those that were lost twice one by one. So others are seldom with the culprit
/// again.
std::size_t dispatcher::places_for_suspects(const worker_slot& of, const job& next) const {
  constexpr std::size_t well_for_one_more = 8;
  const auto most =
      next.lost_workers > 1 || of.has_lone_suspect ? 1 : 1 + suspects_cleared_ / well_for_one_more;
  return most - std::min(most, of.suspects.size());
}

/// It waits for a place among the suspects of some worker.
void dispatcher::set_apart(job& suspect) {
  suspect.state = job_state::waiting;
  apart_.emplace(suspect.lost_workers, suspect.fetch->id);
}

/// As many as there are places, or about: who finds none is set apart again when it is its turn.
void dispatcher::let_suspects_wait() {
  std::vector<std::uint64_t> next;
  for (auto at = apart_.begin(); at != apart_.end();) {
    auto found = window_.find(at->second);
    const bool is_there = found != window_.end() && found->second.state == job_state::waiting &&
                          found->second.lost_workers == at->first;
    if (is_there) {
      std::size_t places = 0;
      for (const auto& slot : workers_)
        places += places_for_suspects(slot, found->second);
      if (places <= next.size()) break;
      next.push_back(at->second);
    }
    at = apart_.erase(at); // it has ended meanwhile, if it is not there
  }
  for (auto id : next)
    wait(window_.at(id));
}

/// A worker was lost with it. That is no failure of the fetch and costs it no retry; but one that takes every
/// worker down with it is given up on.
void dispatcher::give_back(job& lost, std::string_view why) {
  leave_worker(lost);
  gates_.abandoned(lost.origin, now_ms());
  if (lost.fetch->is_repeatable() && ++lost.lost_workers < most_lost_workers) {
    core_.counts.retries.add();
    core_.origins.note(lost.origin, [](origin_stats& of) { ++of.retries; });
    core_.observe(&fetch_observer::retried, *lost.fetch, nullptr, lost.last_attempt);
    land(lost, nullptr);
    return set_apart(lost);
  }
  ++lost.fetch->attempts;
  store_error(lost, fetch_errc::fetch_failed, fmt::format("the worker that had the fetch was lost: {}", why),
              sent_state::maybe);
}

} // namespace dormouse
