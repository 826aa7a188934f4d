#include "proxy/queue_window.hpp"

#include "proxy/fetch_commit.hpp"
#include "proxy/origin_gates.hpp"

#include <dormouse/serialization/url.hpp>

#include <algorithm>
#include <vector>

namespace dormouse {

std::string origin_of(const fetch_message& fetch) {
  if (fetch.target.value) return fetch.target.value->origin();
  auto target = parse_url(fetch.url);
  return target ? target->origin() : shown_url(fetch.url); // it is named in errors
}

expected<std::shared_ptr<fetch_message>>
read_queued(const store& from, const std::optional<keys::queue_parts>& parts, std::string_view row) {
  if (!parts) return fail(errc::corrupt, "the key is malformed");
  auto fetch = from.read_fetch(row);
  if (!fetch) return unexpected<error>(fetch.error());
  if (fetch->id != parts->id || fetch->priority != parts->priority || fetch->extra.queue != parts->queue)
    return fail(errc::corrupt, "key and message disagree");
  return std::make_shared<fetch_message>(std::move(*fetch));
}

void queue_window::open(const std::string& queue) {
  for (auto priority : {fetch_priority::high, fetch_priority::normal, fetch_priority::low}) {
    auto [at, is_new] = backlogs_.try_emplace({queue, priority});
    if (is_new) at->second.from = keys::queue_of(queue, priority).first;
  }
}

std::size_t queue_window::held_by(const std::string& origin) const {
  auto found = by_origin_.find(origin);
  return found == by_origin_.end() ? 0 : found->second;
}

/// Those in flight are in the window too: an origin that may have many of them must not have to wait for
/// their end.
std::size_t queue_window::in_flight_of(const std::string& origin) const {
  return std::min(options_of(core_.settings, origin).max_in_flight, core_.settings.max_window / 2);
}

/// Besides those: a part of what is left, and however little that is, a small part of the whole. Else a
/// window that many origins fill evenly would have each of them looked for in the whole backlog by itself,
/// again and again.
std::size_t queue_window::granted(const backlog& rest) const {
  const auto window = core_.settings.max_window;
  const auto left = window - std::min(rest.in_window, window);
  return std::max({std::size_t{1}, left / 4, window / 64});
}

bool queue_window::has_its_share(const backlog& rest, const std::string& origin) const {
  return held_by(origin) >= std::min(core_.settings.max_window - 1, in_flight_of(origin) + granted(rest));
}

bool queue_window::wants_more(const backlog& rest, const std::string& origin) const {
  return held_by(origin) <= in_flight_of(origin) + granted(rest) / 2 && !has_its_share(rest, origin);
}

void queue_window::park(backlog& rest, const std::string& origin, std::string key) {
  auto [at, is_new] = rest.parked.try_emplace(origin, std::move(key));
  if (!is_new && key < at->second) at->second = std::move(key);
}

bool queue_window::wants(const fetch_message& fetch, std::int64_t due_ms, const std::string& origin) {
  auto& rest = behind(fetch);
  auto key = keys::queue(fetch.extra.queue, fetch.priority, due_ms, fetch.id);
  if (due_ms > core_.clock->now_ms()) {
    rest.next_due_ms = std::min(rest.next_due_ms, due_ms);
    rest.from = std::min(rest.from, key);
    return false;
  }
  if (rest.more_due || rest.in_window >= core_.settings.max_window) {
    rest.more_due = true;
    rest.from = std::min(rest.from, key);
    return false;
  }
  if (has_its_share(rest, origin) || rest.parked.contains(origin)) {
    park(rest, origin, std::move(key));
    return false;
  }
  // Nothing older is left on disk, so the next scan may begin behind this one and not wade through what is
  // gone.
  if (rest.next_due_ms > due_ms) rest.from = std::max(rest.from, key);
  return true;
}

bool queue_window::count(std::string_view key, std::uint64_t id) {
  return !uncounted_.contains(key) || counted_.insert(id).second;
}

void queue_window::entered(const fetch_message& fetch, std::int64_t due_ms, const std::string& origin) {
  open(fetch.extra.queue); // its rows may have been hidden by damage when the queues were counted
  if (!uncounted_.empty() && core_.store->is_of_earlier_process(fetch.id))
    if (const auto key = keys::queue(fetch.extra.queue, fetch.priority, due_ms, fetch.id);
        uncounted_.contains(key) && count(key, fetch.id))
      core_.enter_queue(fetch.extra.queue, 1);
  ++behind(fetch).in_window;
  ++by_origin_[origin];
}

void queue_window::left(const fetch_message& fetch, const std::string& origin) {
  --behind(fetch).in_window;
  if (auto held = by_origin_.find(origin); held != by_origin_.end() && --held->second == 0)
    by_origin_.erase(held);
}

void queue_window::moved(const fetch_message& fetch, std::int64_t due_ms) {
  auto& rest = behind(fetch);
  rest.next_due_ms = std::min(rest.next_due_ms, due_ms);
  rest.from = std::min(rest.from, keys::queue(fetch.extra.queue, fetch.priority, due_ms, fetch.id));
}

void queue_window::read(std::size_t least_room) {
  if (!has_begun_) return;
  const auto now = core_.clock->now_ms();
  for (auto& [of, rest] : backlogs_) {
    const auto has_room = [this, least_room, &of_it = rest] {
      return of_it.in_window + least_room <= core_.settings.max_window;
    };
    if (rest.next_due_ms <= now) rest.more_due = true;
    if (rest.more_due && has_room()) read_on(of, rest);
    if (rest.parked.empty() || !has_room()) continue;
    std::vector<std::string> ready;
    for (const auto& [origin, from] : rest.parked)
      if (wants_more(rest, origin)) ready.push_back(origin);
    for (const auto& origin : ready)
      read_parked(of, rest, origin);
  }
}

void queue_window::read_on(const backlogs::key_type& of, backlog& rest) {
  const auto now = core_.clock->now_ms();
  rest.next_due_ms = never;
  auto row = core_.store->scan_readable(
      {rest.from, keys::queue_of(of.first, of.second).second},
      [now, &unread = rest.unread](const key_range& rows) { unread.add(rows, now); });
  for (; row->valid(); row->next()) {
    auto parts = keys::parse_queue(row->key());
    rest.from = row->key();
    if (parts && parts->due_ms > now) {
      rest.next_due_ms = parts->due_ms;
      break;
    }
    if (rest.in_window >= core_.settings.max_window) return;
    if (parts && owner_.contains(parts->id)) continue;
    auto fetch = read_queued(*core_.store, parts, row->value());
    if (!fetch) {
      bury(*row, fetch.error());
      continue;
    }
    auto origin = origin_of(**fetch);
    if (has_its_share(rest, origin) || rest.parked.contains(origin))
      park(rest, origin, std::string(row->key()));
    else
      owner_.add(std::move(*fetch), parts->due_ms, std::move(origin));
  }
  rest.more_due = false;
  if (auto read = row->status(); !read) {
    core_.trouble.error("queue", "the queue cannot be read: " + to_string(read.error()));
    rest.more_due = true;
  }
}

/// The rows of others that it passes are passed once: each scan begins where the one before stopped.
void queue_window::read_parked(const backlogs::key_type& of, backlog& rest, const std::string& origin) {
  const auto now = core_.clock->now_ms();
  auto& from = rest.parked.at(origin);
  auto row = core_.store->scan_readable(
      {from, keys::queue_of(of.first, of.second).second},
      [now, &unread = rest.unread](const key_range& rows) { unread.add(rows, now); });
  for (; row->valid(); row->next()) {
    auto parts = keys::parse_queue(row->key());
    if (parts && parts->due_ms > now) break;
    if (!parts || owner_.contains(parts->id)) continue;
    auto fetch = read_queued(*core_.store, parts, row->value());
    if (!fetch || origin_of(**fetch) != origin) continue; // a damaged one is buried by whoever reads all
    if (has_its_share(rest, origin)) {
      from = row->key();
      return;
    }
    from = std::string(row->key()) + '\0';
    owner_.add(std::move(*fetch), parts->due_ms, origin);
  }
  if (auto read = row->status(); !read)
    return core_.trouble.error("queue", "the queue cannot be read: " +
                                            to_string(read.error())); // from there again when there is room
  rest.parked.erase(origin);
}

void queue_window::look_again() {
  if (!has_begun_) return;
  const auto now = core_.clock->now_ms();
  uncounted_.look_again(now, [this](const key_range& rows) {
    std::map<std::string, std::uint64_t> found;
    auto row = core_.store->scan(rows.from, rows.to);
    for (; row->valid(); row->next())
      if (auto parts = keys::parse_queue(row->key());
          parts && core_.store->is_of_earlier_process(parts->id) && // others were counted by who queued them
          !counted_.contains(parts->id))
        ++found[parts->queue];
    if (!row->status()) return false;
    for (const auto& [name, fetches] : found)
      core_.enter_queue(name, fetches);
    return true;
  });
  for (auto& [of, rest] : backlogs_)
    rest.unread.look_again(now, [this, &to = rest](const key_range& rows) {
      auto row = core_.store->scan(rows.from, rows.to);
      while (row->valid())
        row->next();
      if (!row->status()) return false;
      to.from = std::min(to.from, rows.from);
      to.more_due = true;
      return true;
    });
}

/// Nobody can be told: who asked is in the row that cannot be read.
void queue_window::bury(const row_cursor& row, const error& why) {
  const auto parts = keys::parse_queue(row.key());
  auto burial = std::make_unique<row_burial>(
      core_.counts, [this, name = parts ? parts->queue : std::string()] { core_.leave_queue(name); });
  core_.store->bury(burial->writes, std::string(row.key()), std::string(row.value()),
                    "queue row: " + to_string(why), core_.clock->now_ms());
  core_.store->submit(std::move(burial));
}

std::int64_t queue_window::next_due_ms() const noexcept {
  auto next = never;
  if (!has_begun_) return next;
  for (const auto& [of, rest] : backlogs_)
    next = std::min({next, rest.next_due_ms, rest.unread.next_ms()});
  return std::min(next, uncounted_.next_ms());
}

} // namespace dormouse
