#include "host/turn.hpp"

#include "host/late_results.hpp"

#include <dormouse/actors/runtime_methods.hpp>
#include <dormouse/serialization/url.hpp>

#include <fmt/format.h>

namespace dormouse {

expected<admitted_fetch> admit_fetch(runtime_core& core, fetch_message&& fetch) {
  const auto& settings = core.settings;
  auto target = parse_url(fetch.url);
  if (!target) return unexpected<error>(target.error());
  fetch.target.value = std::make_shared<const url>(std::move(*target));
  if (auto allowed = core.policy.check(*fetch.target.value); !allowed) {
    core.counts.blocked.add();
    return unexpected<error>(allowed.error());
  }
  if (fetch.body.size() > settings.max_body_bytes)
    return fail(errc::too_large,
                fmt::format("the request body has {} bytes; the limit is options::max_body_bytes = {}",
                            fetch.body.size(), settings.max_body_bytes));
  if (auto bytes = fetch.headers.wire_bytes(); bytes > settings.max_header_bytes)
    return fail(errc::too_large,
                fmt::format("the request headers have {} bytes; the limit is options::max_header_bytes = {}",
                            bytes, settings.max_header_bytes));
  std::size_t message_bytes = fetch.url.size() + fetch.headers.wire_bytes() + fetch.idempotency_key.size();
  if (const auto* top = fetch.path.top()) message_bytes += top->context.size();
  if (message_bytes > settings.max_inline_bytes)
    return fail(errc::too_large,
                fmt::format("the fetch message (URL, headers and the continuation's context) has {} bytes; "
                            "the limit is options::max_inline_bytes = {}",
                            message_bytes, settings.max_inline_bytes));
  auto* queue = core.find_queue(fetch.extra.queue);
  if (queue == nullptr)
    return fail(errc::invalid_request,
                fmt::format("fetch queue '{}' is not named in options::queues", fetch.extra.queue));
  if (!queue->queued.add_below(queue->max_queued))
    return fail(
        errc::queue_full,
        fmt::format("QUEUE_ERROR: {} fetches are in queue '{}', the limit of its queue_options::max_queued",
                    queue->max_queued, fetch.extra.queue));
  if (!core.counts.queued_fetches.add_below(settings.max_queued_fetches)) {
    queue->queued.sub();
    return fail(errc::queue_full,
                fmt::format("QUEUE_ERROR: {} fetches are queued, the limit of options::max_queued_fetches",
                            settings.max_queued_fetches));
  }
  fetch.id = core.store->next_id();
  auto body = core.store->spill(fetch);
  if (!body) {
    core.leave_queue(fetch.extra.queue);
    return unexpected<error>(body.error());
  }
  return admitted_fetch{std::move(fetch), std::move(*body)};
}

void turn::undo() noexcept {
  for (const auto& fetch : fetches_)
    core_.leave_queue(fetch.message.extra.queue);
  fetches_.clear();
  calls_.clear();
  open_calls_.clear();
  aborts_.clear();
  started_.clear();
  rows_.clear();
}

void turn::go_back(const savepoint& to) {
  for (auto i = to.fetches; i < fetches_.size(); ++i)
    core_.leave_queue(fetches_[i].message.extra.queue);
  fetches_.erase(fetches_.begin() + static_cast<std::ptrdiff_t>(to.fetches), fetches_.end());
  calls_.erase(calls_.begin() + static_cast<std::ptrdiff_t>(to.calls), calls_.end());
  aborts_.erase(aborts_.begin() + static_cast<std::ptrdiff_t>(to.aborts), aborts_.end());
  started_.erase(started_.begin() + static_cast<std::ptrdiff_t>(to.started), started_.end());
  open_calls_.go_back(to.open_calls);
  destroy_ = to.destroys;
  ready_ = to.says_ready;
  hibernate_ = to.hibernates;
  jars_.go_back();
  rows_.go_back();
  schedules_.go_back();
}

expected<task_id> turn::start_task(std::string_view method, std::string arguments) {
  if (arguments.size() >
      core_.settings.max_inline_bytes) // here too: the handler is still there to hear of it
    return fail(
        errc::too_large,
        fmt::format("the arguments of task {} have {} bytes; the limit is options::max_inline_bytes = {}",
                    method, arguments.size(), core_.settings.max_inline_bytes));
  started_.push_back({core_.store->next_id(), std::string(method), std::move(arguments)});
  return task_id{self_, started_.back().number};
}

expected<void> turn::destroy() {
  if (!hook_.empty())
    return fail(
        errc::invalid_request,
        fmt::format("{} of object {} called destroy(); an object can be destroyed by its methods only", hook_,
                    to_string(self_)));
  destroy_ = true;
  return {};
}

expected<void> turn::block_until_ready(std::chrono::milliseconds timeout) {
  constexpr std::chrono::milliseconds longest = std::chrono::hours(24);
  if (hook_.empty())
    return fail(
        errc::invalid_request,
        fmt::format("a method of object {} called block_until_ready(); it is for on_create and on_wake",
                    to_string(self_)));
  if (timeout < std::chrono::milliseconds(1) || timeout > longest)
    return fail(errc::invalid_request,
                fmt::format("{} of object {} called block_until_ready() with {} ms; it must be 1..{}", hook_,
                            to_string(self_), timeout.count(), longest.count()));
  blocks_for_ = timeout;
  return {};
}

expected<void> check_abort_reason(const std::string& reason) {
  if (reason.size() > max_abort_reason_bytes)
    return fail(errc::invalid_request, fmt::format("the reason of an abort has {} bytes; the limit is {}",
                                                   reason.size(), max_abort_reason_bytes));
  return {};
}

expected<void> turn::abort(const abort_id& id, std::string reason) {
  if (auto good = check_abort_reason(reason); !good) return good;
  aborts_.push_back({id, {core_.clock->now_ms(), std::move(reason)}});
  return {};
}

expected<bool> turn::aborted(const abort_id& id) {
  for (const auto& each : aborts_)
    if (each.id == id) return true;
  if (aborted_before_.has(id)) return true;
  return noted(core_.store->get(keys::abort_mark(id)).map([](const auto& row) { return row.has_value(); }));
}

/// Throws `failure`, as `jar_cache::open`.
cookie_jar& turn::open_jar(const std::string& name) {
  try {
    return jars_.open(*core_.store, self_, name);
  } catch (const failure& e) {
    met_storage_error_ = met_storage_error_ || e.code() == errc::storage_error;
    throw;
  }
}

/// Says which life of the object the answer is for.
expected<void> turn::aim(return_path& path) {
  auto* top = path.top();
  if (top == nullptr || (top->object != self_ && core_.present(top->object).get() != self_))
    return noted(aim_at_stored_life(core_, path));
  top->object = self_;
  top->incarnation = incarnation_;
  return {};
}

std::optional<error> turn::begin_tick(const schedule_message& of) {
  tick_ = std::chrono::system_clock::time_point(std::chrono::milliseconds(of.tick_ms));
  auto begun = noted(schedules_.fire(of));
  return begun ? std::nullopt : std::optional(begun.error());
}

std::optional<error> turn::close_call(std::uint64_t number) {
  auto closed = noted(schedules_.cancel({number, {}}));
  return closed ? std::nullopt : std::optional(closed.error());
}

expected<std::size_t> turn::enqueue(fetch_message&& fetch) {
  if (auto aimed = aim(fetch.path); !aimed) return unexpected<error>(aimed.error());
  auto admitted = admit_fetch(core_, std::move(fetch));
  if (!admitted) {
    met_storage_error_ = met_storage_error_ || admitted.error().code == errc::storage_error;
    return unexpected<error>(admitted.error());
  }
  fetches_.push_back(std::move(*admitted));
  return 2 * (fetches_.size() - 1);
}

expected<std::size_t> turn::enqueue_call(const address& called, call_message&& what) {
  if (auto good = validate(called); !good) return unexpected<error>(good.error());
  auto place = core_.place_for(called);
  const auto& to = place.where.get();
  if (place.type == nullptr)
    return fail(
        errc::unknown_binding,
        fmt::format("no class is defined for binding '{}'; call runtime.define<T>() first", to.binding));
  if (runtime_methods::find(*place.type, what.method) == nullptr)
    return fail(errc::unknown_method,
                fmt::format("class {} has no method {:?}", to.binding, what.method.substr(0, 100)));
  auto bytes = what.arguments.size();
  if (const auto* top = what.path.top()) bytes += top->context.size();
  if (bytes > core_.settings.max_inline_bytes)
    return fail(errc::too_large,
                fmt::format("a call of {}.{} (arguments and the continuation's context) has {} bytes; the "
                            "limit is options::max_inline_bytes = {}",
                            to.binding, what.method, bytes, core_.settings.max_inline_bytes));
  if (core_.counts.pending_messages.get() + calls_.size() >= core_.settings.max_pending_messages) {
    core_.counts.overloaded.add();
    return fail(
        errc::overloaded,
        fmt::format("{} messages are waiting in the runtime, the limit of options::max_pending_messages",
                    core_.settings.max_pending_messages));
  }
  add_call(std::move(place), std::move(what));
  return 2 * (calls_.size() - 1) + 1;
}

void turn::enqueue_own_call(call_message&& what) { add_call(core_.place_for(self_), std::move(what)); }

void turn::add_call(inbox_place place, call_message&& what) {
  what.id = place.id;
  what.from = self_;
  (void)aim(what.path); // its own life, which is known
  calls_.push_back({std::move(place.where), place.type, std::move(what), std::move(place.in_hand)});
}

expected<taken_call> turn::enqueue_call(const address& to, call_message&& what,
                                        std::chrono::milliseconds within) {
  auto place = enqueue_call(to, std::move(what));
  if (!place) return unexpected<error>(place.error());
  auto id = noted(open_calls_.open(calls_.back(), calls_.size() - 1, within));
  if (!id) {
    calls_.pop_back();
    return unexpected<error>(id.error());
  }
  return taken_call{*place, *id};
}

} // namespace dormouse
