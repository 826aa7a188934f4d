#include "host/runtime_core.hpp"

#include "host/activation.hpp"
#include "host/caf_visit.hpp"
#include "host/guarded_clock.hpp"
#include "host/log.hpp"
#include "host/mailbox_room.hpp"

#include <dormouse/actors/replay.hpp>
#include <dormouse/actors/user_code.hpp>

#include <caf/send.hpp>
#include <fmt/format.h>
#include <spdlog/logger.h>

#include <algorithm>
#include <bit>
#include <functional>
#include <limits>
#include <mutex>
#include <thread>

namespace dormouse {
namespace {

std::string_view name_of(void (fetch_observer::*what)(const fetch_event&)) {
  return what == &fetch_observer::queued          ? "fetch_observer::queued"
         : what == &fetch_observer::started       ? "fetch_observer::started"
         : what == &fetch_observer::retried       ? "fetch_observer::retried"
         : what == &fetch_observer::stored        ? "fetch_observer::stored"
         : what == &fetch_observer::dropped       ? "fetch_observer::dropped"
         : what == &fetch_observer::dead_lettered ? "fetch_observer::dead_lettered"
                                                  : "fetch_observer::delivered";
}

/// The program's clock, if it has one, and what it throws is caught; ours do not throw.
std::shared_ptr<const wall_clock> make_clock(std::shared_ptr<const wall_clock> given,
                                             std::function<void(const error&)> threw) {
  if (!given) return std::make_shared<const wall_clock>();
  if (dynamic_cast<const manual_clock*>(given.get()) != nullptr) return given;
  return std::make_shared<const guarded_clock>(std::move(given), std::move(threw));
}

} // namespace

runtime_core::runtime_core(caf::actor_system& actors, options chosen, ports outside,
                           std::unique_ptr<class store> opened, url_policy allowed)
    : system(actors),
      settings(std::move(chosen)),
      world(std::move(outside)),
      clock(make_clock(settings.clock,
                       [to = tell_](const error& what) { // a worker that was left behind may ask it later
                         std::lock_guard guard(to->mutex);
                         if (to->core != nullptr)
                           to->core->note_thrown(to->core->counts.thrown_by_observers, what);
                       })),
      policy(std::move(allowed)),
      log(make_log()),
      trouble(log),
      notes(settings.directory,
            std::clamp<std::size_t>(
                2 * std::max<std::size_t>(settings.scheduler_threads, std::thread::hardware_concurrency()),
                64, 4'096)),
      directory(
          [this](directory_entry& entry) {
            caf_visit visit; // whoever calls an object may wake it
            return spawn_activation(*this, entry);
          },
          {settings.max_mailbox_messages, settings.max_pending_messages}, counts),
      store(std::move(opened)) {
  tell_->core = this;
  queues_.try_emplace(std::string(), settings.max_in_flight,
                      std::numeric_limits<std::size_t>::max()); // max_queued_fetches is for all
  store->damage().tell([this](const damage_book::entry& what) {
    trouble.error(
        "damage: " + what.reason, // which names the block: one line for all of its rows
        fmt::format("the store is damaged: {} cannot be read: {}", describe_rows(what.rows), what.reason));
  });
  for (const auto& [name, limits] : settings.queues)
    queues_.try_emplace(name, limits.max_in_flight, limits.max_queued);
}

runtime_core::~runtime_core() {
  std::lock_guard guard(tell_->mutex);
  tell_->core = nullptr;
}

runtime_core::queue_places* runtime_core::find_queue(const std::string& name) {
  auto found = queues_.find(name);
  return found == queues_.end() ? nullptr : &found->second;
}

void runtime_core::enter_queue(const std::string& name, std::uint64_t count) noexcept {
  counts.queued_fetches.add(count);
  if (auto* queue = find_queue(name)) queue->queued.add(count);
}

void runtime_core::leave_queue(const std::string& name, std::uint64_t count) noexcept {
  counts.queued_fetches.sub(count);
  if (auto* queue = find_queue(name)) // null: rows of a queue that is named no more
    queue->queued.sub(count);
}

const class_descriptor* runtime_core::find_class(std::string_view binding) const {
  std::shared_lock guard(classes_mutex_);
  auto found = classes_.find(binding);
  return found == classes_.end() ? nullptr : found->second;
}

inbox_place runtime_core::place_of_row(const address& to, std::uint64_t id) {
  present_address where(to);
  std::shared_lock guard(classes_mutex_);
  use_present_name(where.where_);
  if (id == 0) id = store->next_id();
  if (auto found = classes_.find(where->binding); found != classes_.end()) {
    auto in_hand = walks.on_the_way(where->binding, id);
    return {std::move(where), found->second, id, std::move(in_hand)};
  }
  rows_in_hand.begin();
  return {std::move(where), nullptr, id,
          std::shared_ptr<void>(nullptr, [this](void*) { rows_in_hand.end(); })};
}

std::uint64_t runtime_core::add_class(const class_descriptor& type) {
  std::unique_lock guard(classes_mutex_);
  walks.begin(type.binding);
  classes_.emplace(std::string(type.binding), &type);
  return store->next_id();
}

void runtime_core::add_renaming(std::string_view old, std::string_view present) {
  std::unique_lock guard(classes_mutex_);
  renamed_.insert_or_assign(std::string(old), std::string(present));
  any_renamed_ = true;
}

present_address runtime_core::present(address where) const {
  present_address out(std::move(where));
  if (!any_renamed_.load(std::memory_order_acquire)) return out;
  std::shared_lock guard(classes_mutex_);
  use_present_name(out.where_);
  return out;
}

void runtime_core::use_present_name(address& where) const {
  if (auto found = renamed_.find(where.binding); found != renamed_.end()) where.binding = found->second;
}

bool runtime_core::was_renamed(std::string_view binding) const {
  std::shared_lock guard(classes_mutex_);
  return renamed_.contains(binding);
}

void runtime_core::observe(void (fetch_observer::*what)(const fetch_event&), const fetch_event& event) {
  const auto failed =
      run_user_code({.name = name_of(what)}, [&] { (settings.observer.get()->*what)(event); });
  if (failed) note_thrown(counts.thrown_by_observers, *failed);
}

void runtime_core::observe(const finished_task& task) {
  const auto failed = run_user_code({.name = "task_observer::ended"}, [&] { settings.tasks->ended(task); });
  if (failed) note_thrown(counts.thrown_by_observers, *failed);
}

/// An observer may throw at every event: the log has the first time, and then each time that there are twice
/// as many.
void runtime_core::note_thrown(counter& of, const error& what) noexcept {
  of.add();
  if (const auto so_far = of.get(); std::has_single_bit(so_far))
    log->error(fmt::format("{} ({} times something was thrown there)", what.message, so_far));
}

void runtime_core::observe(void (fetch_observer::*what)(const fetch_event&), const fetch_message& fetch) {
  observe(what, fetch, nullptr, {});
}

void runtime_core::observe(void (fetch_observer::*what)(const fetch_event&), const fetch_message& fetch,
                           const fetch_result* result, std::chrono::microseconds attempt,
                           std::chrono::milliseconds delay) {
  if (!settings.observer) return;
  const auto to = present(fetch.path.top()->object); // the event refers to it
  fetch_event event{.fetch_id = fetch.id, .object = to};
  event.queue = fetch.extra.queue;
  event.method = fetch.method;
  event.url = fetch.url;
  event.attempts = fetch.attempts;
  event.since_queued =
      std::chrono::milliseconds(std::max<std::int64_t>(0, clock->now_ms() - fetch.created_ms));
  event.attempt = attempt;
  event.delay = delay;
  if (result != nullptr && *result)
    event.status = (*result)->status();
  else if (result != nullptr)
    event.error = result->error().code;
  observe(what, event);
}

void runtime_core::observe(void (fetch_observer::*what)(const fetch_event&), const result_message& result) {
  if (!settings.observer) return;
  const auto& asked = result.extra.request;
  const auto to = present(result.path.top()->object); // the event refers to it
  fetch_event event{.fetch_id = result.fetch_id, .object = to};
  event.queue = asked.queue;
  event.method = asked.method;
  event.url = asked.url;
  event.attempts = asked.attempts;
  event.since_queued =
      std::chrono::milliseconds(std::max<std::int64_t>(0, clock->now_ms() - asked.created_ms));
  if (result.result)
    event.status = result.result->status();
  else
    event.error = result.result.error().code;
  observe(what, event);
}

void runtime_core::note_corrupt(const address& where, const std::string& reason) {
  constexpr std::size_t most_listed = 100;
  std::lock_guard guard(corrupt_mutex_);
  if (corrupt_.size() < most_listed) corrupt_.emplace(where, reason);
}

std::vector<corrupt_object> runtime_core::corrupt_objects() const {
  std::lock_guard guard(corrupt_mutex_);
  std::vector<corrupt_object> all;
  for (const auto& [where, reason] : corrupt_)
    all.push_back({where, reason});
  return all;
}

void runtime_core::deliver(const address& to, const class_descriptor& type, envelope_ptr what) {
  enter_mailbox(*this, *what);
  // Refused only when stopping; then the inbox row is still there for the next start.
  if (auto activation = directory.pin(to, type, admission::always))
    caf::anon_send(*activation, std::move(what));
}

void runtime_core::deliver(delivery_order what) {
  if (what.type == nullptr)
    return counts.undeliverable.add(); // it stays in the inbox until its class is defined
  auto now = walks.arrived(std::move(what));
  if (!now) return;
  if (suspects.is_suspect(now->to, *now->what) || suspects.holds_for(now->to))
    suspects.hold({now->to, now->type, keys::inbox(now->to, now->what->inbox_id), nullptr});
  else
    deliver(now->to, *now->type, std::move(now->what));
}

} // namespace dormouse
