#include "host/front_desk.hpp"

#include "host/late_results.hpp"
#include "host/turn.hpp"

#include <dormouse/actors/runtime_methods.hpp>
#include <dormouse/actors/user_code.hpp>

#include <caf/send.hpp>
#include <fmt/format.h>

#include <future>
#include <mutex>

namespace dormouse {
namespace {

error has_stopped() { return {errc::stopped, "the runtime has stopped"}; }

/// A handle may be of another class with the same binding: what it calls would take the object for one of its
/// own.
expected<void> check_owner(const class_descriptor& type, const method_descriptor& method) {
  if (type.owns(method) || runtime_methods::find(method.name) == &method) return {};
  return fail(errc::invalid_binding, fmt::format("method '{}' is of another class than the one that is "
                                                 "defined for binding '{}'",
                                                 method.name, type.binding));
}

/// A stored one-way call: delivered when it is durable.
class post_commit final : public pending_commit {
public:
  post_commit(runtime_core& core, delivery_order what, std::unique_ptr<reply_sink> sink)
      : core_(core), what_(std::move(what)), sink_(std::move(sink)) {
    more_bytes = what_.what->arguments.size();
    core.counts.pending_messages.add();
  }

  void settle(const expected<void>& outcome) noexcept override {
    core_.counts.pending_messages.sub();
    if (!outcome) return sink_->resolve(unexpected<error>(with_origin(outcome.error(), what_.to)));
    core_.deliver(std::move(what_));
    sink_->resolve(std::string());
  }

private:
  runtime_core& core_;
  delivery_order what_;
  std::unique_ptr<reply_sink> sink_;
};

/// A fetch queued from outside.
class outside_fetch_commit final : public pending_commit {
public:
  outside_fetch_commit(runtime_core& core, admitted_fetch fetch)
      : core_(core), fetches_(std::make_shared<std::vector<queued_fetch>>()) {
    const auto due = std::max(core.clock->now_ms(), fetch.message.extra.not_before_ms);
    core.store->put_fetch(*this, fetch.message, due, std::move(fetch.body));
    fetches_->push_back({std::move(fetch.message), due});
  }

  std::future<expected<void>> durable() { return durable_.get_future(); }

  void settle(const expected<void>& outcome) noexcept override {
    if (outcome) {
      core_.counts.fetches.add();
      core_.observe(&fetch_observer::queued, fetches_->front().fetch);
      caf::anon_send(core_.dispatcher, fetches_queued{std::move(fetches_)});
    } else {
      core_.leave_queue(fetches_->front().fetch.extra.queue);
    }
    durable_.set_value(outcome);
  }

private:
  runtime_core& core_;
  std::shared_ptr<std::vector<queued_fetch>> fetches_;
  std::promise<expected<void>> durable_;
};

/// An abort from outside.
class outside_abort_commit final : public pending_commit {
public:
  outside_abort_commit(runtime_core& core, abort_request what) : core_(core) {
    core.store->put_abort(writes, what.id, what.mark);
    aborts_->push_back(std::move(what));
  }

  std::future<expected<void>> durable() { return durable_.get_future(); }

  void settle(const expected<void>& outcome) noexcept override {
    if (outcome) caf::anon_send(core_.dispatcher, aborts_requested{std::move(aborts_)});
    durable_.set_value(outcome);
  }

private:
  runtime_core& core_;
  std::shared_ptr<std::vector<abort_request>> aborts_ = std::make_shared<std::vector<abort_request>>();
  std::promise<expected<void>> durable_;
};

} // namespace

expected<caf::actor> front_desk::pin(const address& to, const method_descriptor& method) {
  const auto* type = core_->find_class(to.binding);
  if (type == nullptr)
    return fail(errc::unknown_binding, fmt::format("no class is defined for binding '{}'", to.binding));
  if (auto good = check_owner(*type, method); !good) return unexpected<error>(good.error());
  return core_->directory.pin(to, *type, admission::bounded);
}

void front_desk::call(const address& to, const method_descriptor& method, std::string arguments,
                      std::unique_ptr<reply_sink> sink) {
  hand_over(to, method, std::move(arguments), {}, std::move(sink));
}

void front_desk::call_once(const address& to, const method_descriptor& method, std::string arguments,
                           std::string key, std::unique_ptr<reply_sink> sink) {
  if (key.empty() || key.size() > max_idempotency_key_bytes)
    return sink->resolve(unexpected<error>(
        {errc::invalid_request,
         fmt::format("the idempotency key of a call of '{}' of object {} has {} bytes; it has 1..{}",
                     method.name, to_string(to), key.size(), max_idempotency_key_bytes),
         to}));
  hand_over(to, method, std::move(arguments), std::move(key), std::move(sink));
}

void front_desk::hand_over(const address& to, const method_descriptor& method, std::string arguments,
                           std::string key, std::unique_ptr<reply_sink> sink) {
  auto activation = pin(to, method);
  if (!activation) return sink->resolve(unexpected<error>(with_origin(activation.error(), to)));
  auto what = std::make_shared<envelope>();
  what->method = &method;
  what->arguments = std::move(arguments);
  what->key = std::move(key);
  what->sink = std::move(sink);
  caf::anon_send(*activation, std::move(what));
}

void front_desk::post(const address& to, const method_descriptor& method, std::string arguments,
                      std::unique_ptr<reply_sink> sink) {
  const auto refuse = [&](error why) { sink->resolve(unexpected<error>(with_origin(std::move(why), to))); };
  const auto* type = core_->find_class(to.binding);
  if (type == nullptr)
    return refuse({errc::unknown_binding, fmt::format("no class is defined for binding '{}'", to.binding)});
  if (auto good = check_owner(*type, method); !good) return refuse(good.error());
  if (arguments.size() > core_->settings.max_inline_bytes)
    return refuse(
        {errc::too_large,
         fmt::format("the arguments of a post have {} bytes; the limit is options::max_inline_bytes = {}",
                     arguments.size(), core_->settings.max_inline_bytes)});
  if (core_->counts.pending_messages.get() >= core_->settings.max_pending_messages) {
    core_->counts.overloaded.add();
    return refuse(
        {errc::overloaded,
         fmt::format("{} messages are waiting in the runtime, the limit of options::max_pending_messages",
                     core_->settings.max_pending_messages)});
  }
  std::shared_lock guard(open_mutex_);
  if (!open_) return refuse(has_stopped());
  auto what = std::make_shared<envelope>();
  what->method = &method;
  what->arguments = std::move(arguments);
  auto place = core_->place_for(to); // its class is defined, and stays so
  what->inbox_id = place.id;
  const post_message stored{std::string(method.name), what->arguments};
  auto commit = std::make_unique<post_commit>(
      *core_, delivery_order{to, type, std::move(what), std::move(place.in_hand)}, std::move(sink));
  core_->store->put_post(commit->writes, to, place.id, stored);
  core_->store->submit(std::move(commit));
}

expected<std::size_t> front_desk::enqueue(fetch_message&& fetch) {
  refuse_to_wait("a fetch of runtime::queue() to be durable");
  std::future<expected<void>> durable;
  {
    std::shared_lock guard(open_mutex_);
    if (!open_) return unexpected<error>(has_stopped());
    if (auto aimed = aim_at_stored_life(*core_, fetch.path); !aimed) return unexpected<error>(aimed.error());
    auto admitted = admit_fetch(*core_, std::move(fetch));
    if (!admitted) return unexpected<error>(admitted.error());
    auto commit = std::make_unique<outside_fetch_commit>(*core_, std::move(*admitted));
    durable = commit->durable();
    core_->store->submit(std::move(commit));
  }
  return durable.get().map([] { return std::size_t{0}; });
}

expected<void> front_desk::abort(const abort_id& id, std::string reason) {
  refuse_to_wait("an abort through runtime::queue() to be durable");
  if (auto good = check_abort_reason(reason); !good) return good;
  std::future<expected<void>> durable;
  {
    std::shared_lock guard(open_mutex_);
    if (!open_) return unexpected<error>(has_stopped());
    auto commit = std::make_unique<outside_abort_commit>(
        *core_, abort_request{id, {core_->clock->now_ms(), std::move(reason)}});
    durable = commit->durable();
    core_->store->submit(std::move(commit));
  }
  return durable.get();
}

void front_desk::close() {
  std::unique_lock guard(open_mutex_);
  open_ = false;
}

} // namespace dormouse
