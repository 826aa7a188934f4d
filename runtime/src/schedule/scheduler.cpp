#include "schedule/scheduler.hpp"

#include "host/runtime_core.hpp"
#include "proxy/fetch_commit.hpp"
#include "schedule/due_window.hpp"
#include "schedule/next_tick.hpp"
#include "store/unread_ranges.hpp"

#include <caf/event_based_actor.hpp>
#include <caf/send.hpp>

#include <algorithm>
#include <memory>
#include <unordered_set>
#include <utility>

namespace dormouse {
namespace {

using std::chrono::milliseconds;

/// The wall clock may be set: nothing is slept through for longer.
constexpr std::int64_t longest_sleep_ms = 200;

/// The clock was set back, if it goes back by more.
constexpr std::int64_t set_back_ms = 1'000;

/// Each of them is looked up.
constexpr std::size_t ahead_per_look = 1'000;

/// The place of a firing in the window.
class firing_place final : public held_place {
public:
  firing_place(std::shared_ptr<schedule_signals> signals, const keys::due_parts& row)
      : signals_(std::move(signals)), row_(row) {}
  ~firing_place() override { signals_->over(row_); }

  std::shared_ptr<held_place> step_aside(std::shared_ptr<held_place> self) override {
    if (!std::exchange(is_aside_, true)) signals_->aside(row_);
    return self;
  }

private:
  const std::shared_ptr<schedule_signals> signals_;
  const keys::due_parts row_;
  bool is_aside_ = false;
};

class scheduler final : public caf::event_based_actor {
public:
  scheduler(caf::actor_config& config, runtime_core& core)
      : event_based_actor(config),
        core_(core),
        to_count_(core.store->scan_readable(
            keys::all('W'), [this](const key_range& rows) { uncounted_.add(rows, core_.clock->now_ms()); })),
        window_(core.settings.max_firing_schedules,
                {.scan =
                     [this](std::string_view from, std::string_view to) {
                       return core_.store->scan_readable(
                           {std::string(from), std::string(to)},
                           [this](const key_range& rows) { unread_.add(rows, core_.clock->now_ms()); });
                     },
                 .hand_over = [this](const keys::due_parts& row,
                                     keys::schedule_parts of) { return hand_over(row, std::move(of)); },
                 .bury = [this](const row_cursor& row, const std::string& why) { bury(row, why); },
                 .unreadable =
                     [this](const error& why) {
                       core_.trouble.error("schedules", "the schedules cannot be read: " + to_string(why));
                     }}) {}

  caf::behavior make_behavior() override {
    look();
    return {
        [this](scheduler_look) { look(); },
        [this](scheduler_tick) {
          next_tick_ms_ = due_window::never;
          look();
        },
    };
  }

  void on_exit() override {
    core_.schedules->close();
    to_count_.reset();
  }

private:
  void look() {
    auto told = core_.schedules->take();
    for (const auto& row : told.aside)
      window_.aside(row);
    for (const auto& row : told.over)
      if (window_.over(row)) core_.counts.firing_schedules.sub();
    for (const auto& binding : told.defined)
      window_.defined(binding);
    const auto now = core_.clock->now_ms();
    if (!told.defined.empty() || now + set_back_ms < latest_ms_) ahead_from_ = keys::due(now + 1, 0);
    latest_ms_ = now;
    if (told.earliest) window_.written(*told.earliest);
    if (core_.stopping.load(std::memory_order_relaxed)) return;
    look_again();
    const bool is_full = core_.counts.pending_messages.get() >=
                         core_.settings.max_pending_messages; // what waits with its objects among them
    const bool more = !is_full && window_.read(core_.clock->now_ms());
    const bool more_ahead = !is_full && look_ahead();
    if (count_some() || more || more_ahead)
      send(this, scheduler_look{});
    else
      sleep(is_full ? 0 : std::min({window_.next_ms(), unread_.next_ms(), uncounted_.next_ms()}),
            is_full ? longest_sleep_ms : 1);
  }

  /// The clock may have been set back since, or while no process ran: what recurs comes back to the present.
  /// The object moves its row itself. Whether there is more.
  bool look_ahead() {
    if (ahead_from_.empty()) return false;
    const auto now = core_.clock->now_ms();
    auto row = core_.store->scan_readable({ahead_from_, keys::all('W').second}, [](const key_range&) {});
    for (std::size_t seen = 0; row->valid() && seen < ahead_per_look; row->next(), ++seen) {
      const auto due = keys::parse_due(row->key());
      auto of = keys::parse_schedule(row->value());
      if (!due || !of) continue;
      const auto to = core_.present(std::move(of->where));
      const auto* type = core_.find_class(to->binding);
      if (type == nullptr) continue; // looked at again when it is defined
      of->id.number = due->number;
      const auto what = core_.store->load_schedule(to.get(), of->id);
      if (!what || !*what || !tick_of_the_present(**what, now)) continue;
      auto moves = std::make_shared<envelope>();
      moves->firing = std::make_unique<firing>(firing{std::move(of->id), due->due_ms, {}});
      core_.deliver(to.get(), *type, std::move(moves));
    }
    ahead_from_ = row->valid() ? std::string(row->key()) : std::string();
    return !ahead_from_.empty();
  }

  bool hand_over(const keys::due_parts& row, keys::schedule_parts of) {
    const auto to = core_.present(std::move(of.where)); // the row may have been read before it moved
    const auto* type = core_.find_class(to->binding);
    if (type == nullptr) return false;
    core_.counts.firing_schedules.add();
    auto what = std::make_shared<envelope>();
    of.id.number = row.number;
    what->firing = std::make_unique<firing>(firing{std::move(of.id), row.due_ms, {}});
    what->place = std::make_shared<firing_place>(core_.schedules, row);
    if (!core_.suspects.none() && is_suspect(to.get(), *what)) {
      core_.suspects.hold({to.get(), type, {}, std::move(what)});
      return true;
    }
    core_.deliver(to, *type, std::move(what));
    return true;
  }

  /// A task that sleeps is known by the arguments of its schedule.
  bool is_suspect(const dormouse::address& where, const envelope& what) {
    envelope with_row;
    with_row.firing = std::make_unique<firing>(firing{what.firing->id, what.firing->due_ms, {}});
    auto row = core_.store->load_schedule(where, what.firing->id);
    if (!row) return true; // in doubt it is one
    if (*row) with_row.firing->row = std::move(**row);
    return core_.suspects.is_suspect(where, with_row);
  }

  void bury(const row_cursor& row, const std::string& why) {
    auto burial = std::make_unique<row_burial>(core_.counts);
    core_.store->bury(burial->writes, std::string(row.key()), std::string(row.value()),
                      "due time of a schedule: " + why, core_.clock->now_ms());
    core_.store->submit(std::move(burial));
    core_.counts.schedules.sub();
  }

  /// What could not be read before.
  void look_again() {
    const auto now = core_.clock->now_ms();
    uncounted_.look_again(now, [this](const key_range& rows) {
      std::uint64_t found = 0;
      auto row = core_.store->scan(rows.from, rows.to);
      for (; row->valid(); row->next())
        if (const auto due = keys::parse_due(row->key());
            due && core_.store->is_of_earlier_process(due->number) && !counted_.contains(due->number))
          ++found;
      if (!row->status()) return false;
      core_.counts.schedules.add(found);
      return true;
    });
    unread_.look_again(now, [this](const key_range& rows) {
      auto row = core_.store->scan(rows.from, rows.to);
      while (row->valid())
        row->next();
      if (!row->status()) return false;
      window_.read_again(rows.from);
      return true;
    });
  }

  /// What an earlier process left; a bit at a time. Whether there is more.
  bool count_some() {
    if (!to_count_) return false;
    std::uint64_t found = 0;
    for (std::size_t seen = 0; seen < due_window::rows_per_read && to_count_->valid();
         to_count_->next(), ++seen) {
      if (!uncounted_.contains(to_count_->key())) {
        ++found;
      } else if (const auto due = keys::parse_due(to_count_->key()); // as it is now, not as it was then
                 due && core_.store->is_of_earlier_process(due->number)) {
        counted_.insert(due->number);
        ++found;
      }
    }
    core_.counts.schedules.add(found);
    if (to_count_->valid()) return true;
    to_count_.reset();
    return false;
  }

  void sleep(std::int64_t next, std::int64_t at_least) {
    if (next == due_window::never) return; // who writes a row tells
    const auto now = core_.clock->now_ms();
    const auto wake = now + std::clamp<std::int64_t>(next - now, at_least, longest_sleep_ms);
    if (wake >= next_tick_ms_) return;
    next_tick_ms_ = wake;
    delayed_send(this, milliseconds(wake - now), scheduler_tick{});
  }

  runtime_core& core_;
  unread_ranges unread_;                      ///< by the window
  unread_ranges uncounted_;                   ///< when what an earlier process left was counted
  std::unordered_set<std::uint64_t> counted_; ///< of the rows in `uncounted_`, those that can be read
  std::unique_ptr<row_cursor> to_count_;
  due_window window_;
  std::int64_t latest_ms_ = 0; ///< by the clock, at the last look
  std::string ahead_from_;     ///< where the walk over what is not due yet goes on; empty: there is none
  std::int64_t next_tick_ms_ = due_window::never;
};

} // namespace

caf::actor spawn_scheduler(runtime_core& core) {
  auto made = core.system.spawn<scheduler, caf::hidden>(core);
  core.schedules->attach(made);
  return made;
}

} // namespace dormouse
