#include "host/suspects.hpp"

#include "host/runtime_core.hpp"
#include "store/awaited_commit.hpp"

#include <dormouse/actors/runtime_methods.hpp>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <spdlog/logger.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <ctime>
#include <future>
#include <utility>

namespace dormouse {
namespace {

constexpr std::size_t most_quarantined_listed = 100;
constexpr std::size_t most_history = 100;

std::string_view name_of(note_kind kind) {
  switch (kind) {
  case note_kind::message:
    return "a message";
  case note_kind::task:
    return "a task";
  case note_kind::schedule:
    return "a tick of a schedule";
  case note_kind::waking:
    return "the waking of an object";
  case note_kind::destructor:
    return "the destructor of an object";
  case note_kind::call:
    return "a call from outside";
  }
  return "something";
}

/// Whether it keeps its object asleep.
bool is_object(std::uint8_t kind) {
  return kind == static_cast<std::uint8_t>(note_kind::waking) ||
         kind == static_cast<std::uint8_t>(note_kind::destructor);
}

std::string describe(const death_note& what) {
  const auto* signal = what.signal != 0 ? ::sigabbrev_np(what.signal) : nullptr;
  const auto of =
      is_object(static_cast<std::uint8_t>(what.kind))
          ? " " + to_string(what.where)
          : fmt::format(", {}.{} of object {},", what.where.binding, what.method, to_string(what.where));
  return fmt::format("the process died while {}{} was running{}{}{}", name_of(what.kind), of,
                     signal != nullptr ? fmt::format("; signal {} (SIG{})", what.signal, signal) : "",
                     what.place.empty() ? "" : "; at ", what.place);
}

std::string text_of(std::int64_t ms) {
  std::tm parts{};
  const auto seconds = static_cast<std::time_t>(ms / 1'000);
  ::gmtime_r(&seconds, &parts);
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", parts);
}

/// Whether what the record is of is still to be handled: the process may have died when its commit was
/// durable already. In doubt it is.
bool is_there(store& in, const keys::death_parts& what) {
  const auto has = [&in](const std::string& key) {
    auto row = in.get(key);
    return !row || row->has_value();
  };
  switch (static_cast<note_kind>(what.kind)) {
  case note_kind::message:
    return has(keys::inbox(what.where, what.number));
  case note_kind::task:
    return has(keys::task({what.where, what.number}));
  case note_kind::schedule: {
    if (has(keys::schedule(what.where, {what.number, {}}))) return true;
    auto row = in.scan(keys::schedules_of(what.where)); // one with a name has that in its key
    for (; row->valid(); row->next())
      if (auto found = in.read_schedule(row->value()); !found || found->id.number == what.number) return true;
    return !row->status();
  }
  default:
    return true;
  }
}

} // namespace

std::string key_of(const address& where, note_kind kind, std::uint64_t number) {
  return keys::death_record(where, static_cast<std::uint8_t>(kind), number);
}

std::string key_of(const address& where, const envelope& what) {
  if (what.firing) return key_of(where, note_kind::schedule, what.firing->id.number);
  return what.inbox_id != 0 ? key_of(where, note_kind::message, what.inbox_id) : std::string();
}

std::uint64_t task_of(const envelope& what) {
  const return_address* hop = what.result   ? what.result->path.top()
                              : what.answer ? what.answer->path.top()
                                            : nullptr;
  if (hop != nullptr || (what.firing && what.firing->row.method == task_methods::hop)) {
    if (hop != nullptr && hop->method != task_methods::hop) return 0;
    auto place = decode<step_place>(hop != nullptr ? hop->context : what.firing->row.arguments);
    return place ? place->task : 0;
  }
  if (what.method == &runtime_methods::wake_task || what.method == &runtime_methods::restart_task)
    return decode<std::uint64_t>(what.arguments).value_or(0);
  if (what.method == &runtime_methods::cancel_task)
    if (auto asked = decode<std::pair<std::uint64_t, std::string>>(what.arguments)) return asked->first;
  if (what.method == &runtime_methods::settle_step)
    if (auto asked = decode<std::pair<step_place, call_result<std::string>>>(what.arguments))
      return asked->first.task;
  return 0;
}

error why_quarantined(const death_record& record, std::string_view what) {
  std::string last;
  for (const auto& each : record.history)
    last = fmt::format("; last at {}: {}", text_of(each.time_ms), each.failure);
  return {errc::quarantined,
          fmt::format("{} is quarantined: the process died {} times in a row while it was running{}", what,
                      record.deaths, last)};
}

void suspects::read(runtime_core& core) {
  std::map<std::string, death_record> found;
  auto rows = core.store->scan_readable(keys::all('X'));
  for (; rows->valid(); rows->next())
    if (auto record = unseal_value<death_record>(frame_type::death_record, rows->value()))
      found.insert_or_assign(std::string(rows->key()), std::move(*record));
    else
      core.counts.corrupt_rows.add(); // it stays as it is; what it is of begins with no deaths
  if (auto read = rows->status(); !read)
    core.log->error(
        fmt::format("what has killed the process before cannot be read: {}", to_string(read.error())));
  std::lock_guard guard(mutex_);
  records_ = std::move(found);
  count_ = records_.size();
}

void suspects::begin(runtime_core& core) {
  read(core);
  auto commit = std::make_unique<awaited_commit>();
  const auto now = core.clock->now_ms();
  for (const auto& each : core.notes.left()) {
    auto text = describe(each);
    core.log->error(text);
    core.counts.noted_deaths.add();
    if (each.kind == note_kind::call) continue; // nobody calls again by himself
    auto key = key_of(each.where, each.kind, each.number);
    if (!records_.contains(key)) { // it may be in a damaged block, with a newer one in another table
      auto row = core.store->get(key);
      if (row && *row)
        if (auto known = unseal_value<death_record>(frame_type::death_record, **row))
          records_.insert_or_assign(key, std::move(*known));
    }
    auto& record = records_[key];
    if (record.epoch == core.store->epoch()) continue;
    record.epoch = core.store->epoch();
    ++record.deaths;
    record.history.push_back({each.died_ms != 0 ? each.died_ms : now, std::move(text)});
    if (record.history.size() > most_history) record.history.erase(record.history.begin());
    commit->writes.push_back({std::move(key), seal_value(frame_type::death_record, record)});
  }
  for (auto it = records_.begin(); it != records_.end();) {
    const auto parts = keys::parse_death_record(it->first);
    if (!parts || is_there(*core.store, *parts)) {
      if (parts && it->second.deaths >= core.settings.max_deaths && is_object(parts->kind))
        core.log->error(to_string(why_quarantined(it->second, "object " + to_string(parts->where))));
      ++it;
      continue;
    }
    commit->writes.push_back({it->first, std::nullopt}); // behind what counted it: the later one counts
    it = records_.erase(it);
  }
  count_ = records_.size();
  if (commit->writes.empty()) return;
  auto durable = commit->durable();
  core.store->submit(std::move(commit));
  if (auto written = durable.get(); !written)
    core.log->error(fmt::format("the deaths of this start are not counted: {}", to_string(written.error())));
}

std::optional<death_record> suspects::find(const std::string& key) const {
  if (none()) return std::nullopt;
  std::lock_guard guard(mutex_);
  auto found = records_.find(key);
  return found == records_.end() ? std::nullopt : std::optional(found->second);
}

std::uint32_t suspects::deaths(const std::string& key) const {
  if (none()) return 0;
  std::lock_guard guard(mutex_);
  auto found = records_.find(key);
  return found == records_.end() ? 0 : found->second.deaths;
}

void suspects::put(const std::string& key, death_record what) {
  std::lock_guard guard(mutex_);
  records_.insert_or_assign(key, std::move(what));
  count_ = records_.size();
}

void suspects::forget(const std::string& key) {
  std::lock_guard guard(mutex_);
  records_.erase(key);
  count_ = records_.size();
}

std::optional<error> suspects::quarantine_of(const runtime_core& core, const address& where) const {
  if (none()) return std::nullopt;
  for (const auto kind : {note_kind::waking, note_kind::destructor})
    if (auto record = find(key_of(where, kind, 0)); record && record->deaths >= core.settings.max_deaths)
      return why_quarantined(*record, "object " + to_string(where));
  return std::nullopt;
}

std::vector<address> suspects::quarantined_objects(std::uint32_t max_deaths) const {
  std::vector<address> out;
  std::lock_guard guard(mutex_);
  for (const auto& [key, record] : records_) {
    if (record.deaths < max_deaths || out.size() >= most_quarantined_listed) continue;
    auto parts = keys::parse_death_record(key);
    if (!parts) continue;
    if (!is_object(parts->kind)) continue;
    if (out.empty() || out.back() != parts->where) out.push_back(std::move(parts->where));
  }
  return out;
}

bool suspects::is_suspect(const address& where, const envelope& what) const {
  if (none()) return false;
  if (deaths(key_of(where, note_kind::waking, 0)) + deaths(key_of(where, note_kind::destructor, 0)) != 0)
    return true;
  if (auto key = key_of(where, what); !key.empty() && deaths(key) != 0) return true;
  const auto task = task_of(what);
  return task != 0 && deaths(key_of(where, note_kind::task, task)) != 0;
}

void suspects::hold(one what) {
  std::lock_guard guard(mutex_);
  ++held_for_[what.to];
  any_waits_ = true;
  held_.push_back(std::move(what));
  held_count_ = held_.size();
}

void suspects::hold_first(one what) {
  std::lock_guard guard(mutex_);
  ++held_for_[what.to];
  any_waits_ = true;
  held_.push_front(std::move(what));
  held_count_ = held_.size();
}

bool suspects::holds_for(const address& where) const {
  if (!any_waits_.load(std::memory_order_acquire)) return false;
  std::lock_guard guard(mutex_);
  return held_for_.contains(where);
}

std::optional<suspects::one> suspects::next(std::chrono::milliseconds patience) {
  const auto now = std::chrono::steady_clock::now();
  std::lock_guard guard(mutex_);
  if ((under_way_ && now - since_ < patience) || held_.empty()) return std::nullopt;
  under_way_ = true;
  since_ = now;
  auto out = std::move(held_.front());
  held_.pop_front();
  held_count_ = held_.size();
  under_way_for_.push_back(out.to);
  return out;
}

void suspects::over() {
  std::lock_guard guard(mutex_);
  under_way_ = false;
  if (under_way_for_.empty()) return;
  // Not before: what came between taking it and handing it over would be in front of it.
  if (auto of = held_for_.find(under_way_for_.front()); of != held_for_.end() && --of->second == 0)
    held_for_.erase(of);
  under_way_for_.pop_front();
  any_waits_ = !held_for_.empty();
}

} // namespace dormouse
