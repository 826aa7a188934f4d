#include "schedule/schedule_book.hpp"

#include "host/runtime_core.hpp"
#include "schedule/next_tick.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace dormouse {
namespace {

constexpr std::int64_t late_after_ms = 1'000;

} // namespace

expected<void> schedule_book::check(const schedule_message& what) const {
  const auto& settings = core_.settings;
  if (what.id.name.size() > max_schedule_name_bytes || !is_valid_utf8(what.id.name))
    return fail(errc::invalid_request,
                fmt::format("schedule name {:?} has {} bytes; a name is 1..{} bytes of UTF-8",
                            what.id.name.substr(0, 100), what.id.name.size(), max_schedule_name_bytes));
  if (what.interval_ms != 0 && what.interval_ms < settings.min_schedule_interval.count())
    return fail(
        errc::invalid_request,
        fmt::format(
            "a schedule of {}.{} recurs every {} ms; the limit is options::min_schedule_interval = {} ms",
            of_.binding, what.method, what.interval_ms, settings.min_schedule_interval.count()));
  if (const auto bytes = what.arguments.size() + what.id.name.size(); bytes > settings.max_inline_bytes)
    return fail(errc::too_large, fmt::format("a schedule of {}.{} (arguments and name) has {} bytes; the "
                                             "limit is options::max_inline_bytes = {}",
                                             of_.binding, what.method, bytes, settings.max_inline_bytes));
  if (const auto now = static_cast<std::int64_t>(core_.counts.schedules.get() + now_.made);
      now >= static_cast<std::int64_t>(settings.max_schedules))
    return fail(errc::queue_full,
                fmt::format("{} schedules are on disk; the limit is options::max_schedules = {}", now,
                            settings.max_schedules));
  return {};
}

expected<schedule_id> schedule_book::add(schedule_message&& what) {
  if (auto good = check(what); !good) return unexpected<error>(good.error());
  row before;
  if (!what.id.name.empty()) {
    auto found = find({0, what.id.name});
    if (!found && found.error().code != errc::corrupt) // a damaged one is overwritten
      return unexpected<error>(found.error());
    if (found) before = std::move(*found);
  }
  return take(std::move(what), std::move(before));
}

expected<schedule_id> schedule_book::add_unlimited(schedule_message&& what) {
  return take(std::move(what), std::nullopt);
}

schedule_id schedule_book::take(schedule_message&& what, row before) {
  what.id.number = core_.store->next_id();
  what.tick_ms = std::max<std::int64_t>(what.tick_ms, 0);
  what.due_ms = what.tick_ms;
  what.tries.clear();
  auto id = what.id;
  change(id, std::move(before), std::move(what));
  ++now_.made;
  return id;
}

expected<bool> schedule_book::cancel(const schedule_id& id) {
  auto found = find(id);
  if (!found) return unexpected<error>(found.error());
  if (!*found) return false;
  change(id, std::move(*found), std::nullopt);
  return true;
}

void schedule_book::set_arguments(const schedule_id& id, std::string arguments) {
  if (auto recent = now_.recent.find(keys::schedule(of_, id));
      recent != now_.recent.end() && recent->second.now)
    recent->second.now->arguments = std::move(arguments);
}

expected<schedule_book::row> schedule_book::find(const schedule_id& id) {
  if (id.number == 0 && id.name.empty()) return std::nullopt;
  auto recent = now_.recent.find(keys::schedule(of_, id));
  if (recent == now_.recent.end()) return core_.store->load_schedule(of_, id);
  const auto& now = recent->second.now;
  return now && (id.number == 0 || now->id.number == id.number) ? now : std::nullopt;
}

/// Those that are due first. There is no order of due times by object, so all its rows are read; no more than
/// twice as many as are wanted are kept at a time.
expected<std::vector<schedule_message>> schedule_book::all(std::size_t limit) {
  std::vector<schedule_message> out;
  const auto cut = [&out, limit] {
    std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) {
      return std::pair(a.due_ms, a.id.number) < std::pair(b.due_ms, b.id.number);
    });
    if (out.size() > limit) out.resize(limit);
  };
  const auto keep = [&](schedule_message&& what) {
    if (what.method.starts_with('#')) return; // the runtime's own
    out.push_back(std::move(what));
    if (out.size() / 2 >= std::max<std::size_t>(limit, 1)) cut();
  };
  auto rows = core_.store->scan(keys::schedules_of(of_));
  for (; rows->valid(); rows->next()) {
    if (now_.recent.contains(std::string(rows->key()))) continue;
    auto what = core_.store->read_schedule(rows->value());
    if (!what)
      return fail(what.error().code,
                  fmt::format("a schedule of object {}: {}", to_string(of_), what.error().message));
    keep(std::move(*what));
  }
  if (auto read = rows->status(); !read) return unexpected<error>(read.error());
  for (const auto& [key, recent] : now_.recent)
    if (recent.now) keep(schedule_message(*recent.now));
  cut();
  return out;
}

expected<void> schedule_book::erase_all() {
  auto rows = core_.store->scan(keys::schedules_of(of_));
  for (; rows->valid(); rows->next()) {
    if (now_.recent.contains(std::string(rows->key()))) continue;
    // Of a damaged one the due time is not known: the row that leads here is cleared away when it is due.
    auto what = core_.store->read_schedule(rows->value());
    auto parts = keys::parse_schedule(rows->key());
    if (what)
      change(what->id, *what, std::nullopt);
    else if (parts)
      change(parts->id, schedule_message{.id = parts->id}, std::nullopt);
  }
  if (auto read = rows->status(); !read) return unexpected<error>(read.error());
  for (auto& [key, recent] : now_.recent)
    if (recent.now) change(recent.now->id, recent.now, std::nullopt);
  return {};
}

expected<void> schedule_book::fire(const schedule_message& what) {
  const auto now = core_.clock->now_ms();
  auto next = next_tick(what, now);
  if (!next) return unexpected<error>(next.error());
  row after;
  if (*next) {
    after = what;
    after->tick_ms = after->due_ms = **next;
    after->tries.clear();
  }
  change(what.id, what, std::move(after));
  ++now_.fired;
  if (what.tries.empty() && now - what.tick_ms > late_after_ms) ++now_.fired_late;
  return {};
}

void schedule_book::postpone(const schedule_message& what, std::int64_t until_ms) {
  row after = what;
  after->tick_ms = after->due_ms = until_ms;
  after->tries.clear();
  change(what.id, what, std::move(after));
}

void schedule_book::failed(const schedule_message& what, failed_firing&& outcome) {
  change(what.id, what, std::move(outcome.next));
  now_.failed += outcome.is_of_handler ? 1 : 0;
  now_.buried += outcome.letter.empty() ? 0 : 1;
  std::move(outcome.letter.begin(), outcome.letter.end(), std::back_inserter(now_.letters));
}

void schedule_book::change(const schedule_id& id, row before, row after) {
  auto key = keys::schedule(of_, id);
  if (is_saved_) {
    auto known = now_.recent.find(key);
    changes_.push_back({key, known == now_.recent.end() ? std::nullopt : std::optional(known->second),
                        !now_.changed.contains(key)});
  }
  now_.changed.try_emplace(key, std::move(before)); // the first change knows what is there without this turn
  now_.recent.insert_or_assign(std::move(key), recent_row{std::move(after), 0});
}

void schedule_book::save() {
  keep();
  is_saved_ = true;
  figures_then_ = static_cast<const figures&>(now_);
}

void schedule_book::keep() noexcept {
  is_saved_ = false;
  changes_.clear();
}

void schedule_book::go_back() {
  for (auto each = changes_.rbegin(); each != changes_.rend(); ++each) {
    if (each->is_first) now_.changed.erase(each->key);
    if (each->recent)
      now_.recent.insert_or_assign(std::move(each->key), std::move(*each->recent));
    else
      now_.recent.erase(each->key);
  }
  static_cast<figures&>(now_) = figures_then_;
  keep();
}

schedule_changes schedule_book::take_changes(std::uint64_t commit) {
  schedule_changes out;
  out.made = std::exchange(now_.made, 0);
  out.fired = std::exchange(now_.fired, 0);
  out.fired_late = std::exchange(now_.fired_late, 0);
  out.failed = std::exchange(now_.failed, 0);
  out.buried = std::exchange(now_.buried, 0);
  out.writes = std::exchange(now_.letters, {});
  for (auto& [key, before] : now_.changed) {
    auto& recent = now_.recent.at(key);
    if (before) out.erase(*core_.store, of_, *before);
    if (recent.now)
      out.put(*core_.store, of_,
              *recent.now); // behind the erasure: of two writes to one key the later one counts
    out.more += (recent.now ? 1 : 0) - (before ? 1 : 0);
    recent.commit = commit;
    now_.in_flight.emplace_back(commit, key);
  }
  now_.changed.clear();
  return out;
}

void schedule_book::forget(std::uint64_t commits) {
  for (; !now_.in_flight.empty() && now_.in_flight.front().first <= commits; now_.in_flight.pop_front())
    if (auto found = now_.recent.find(now_.in_flight.front().second);
        found != now_.recent.end() && found->second.commit == now_.in_flight.front().first)
      now_.recent.erase(found);
}

void schedule_book::clear() noexcept {
  now_ = {};
  keep();
}

} // namespace dormouse
