#pragma once

/// A handle to an object by its address. Holding one keeps nothing awake and nothing alive but the runtime's
/// front desk: after `runtime::stop()` every call fails with `stopped`. Cheap to copy; thread-safe.

#include <dormouse/actors/encode_arguments.hpp>
#include <dormouse/actors/reply_promise.hpp>
#include <dormouse/actors/router.hpp>
#include <dormouse/actors/runtime_methods.hpp>
#include <dormouse/actors/user_code.hpp>

#include <future>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <typeinfo>
#include <utility>

namespace dormouse {

namespace detail {

/// Turns reply bytes into the value, or an error that says whose reply it was.
template <class R> expected<R> decode_reply(expected<std::string>&& reply) {
  if (!reply) return unexpected<error>(std::move(reply).error());
  if constexpr (std::is_void_v<R>)
    return {};
  else
    return decode<R>(*reply);
}

template <class R> class promise_sink final : public reply_sink {
public:
  promise_sink() = default;
  /// `of`: what the reply is, for the error of one that does not decode.
  explicit promise_sink(std::string of) : of_(std::move(of)) {}

  std::future<R> future() { return promise_.get_future(); }

  void resolve(expected<std::string>&& reply) override {
    auto failed =
        run_user_code({.name = "serialize() of the type of a reply"}, [&] { settle(std::move(reply)); });
    if (failed) promise_.set_exception(std::make_exception_ptr(failure(std::move(*failed))));
  }

private:
  void settle(expected<std::string>&& reply) {
    const bool came = reply.has_value();
    auto value = decode_reply<R>(std::move(reply));
    if (!value && came && !of_.empty())
      value =
          unexpected<error>(error{value.error().code, of_ + " does not decode as " + demangled(typeid(R)) +
                                                          ": " + value.error().message});
    if (!value)
      promise_.set_exception(std::make_exception_ptr(failure(std::move(value).error())));
    else if constexpr (std::is_void_v<R>)
      promise_.set_value();
    else
      promise_.set_value(std::move(*value));
  }

  std::string of_;
  std::promise<R> promise_ = make_reply_promise<R>();
};

template <class R, class Handler> class handler_sink final : public reply_sink {
public:
  /// `scope` and `name`: of the method that was called.
  handler_sink(Handler handler, const std::shared_ptr<router>& routes, std::string_view scope,
               std::string_view name)
      : handler_(std::move(handler)), router_(routes), scope_(scope), name_(name) {}

  void resolve(expected<std::string>&& reply) override {
    const auto failed =
        run_user_code({.scope = scope_, .name = name_, .role = "the handler of an async_call of "},
                      [&] { handler_(decode_reply<R>(std::move(reply))); });
    if (!failed) return;
    if (auto routes = router_.lock()) routes->handler_threw(*failed);
  }

private:
  Handler handler_;
  std::weak_ptr<router> router_;
  std::string_view scope_;
  std::string_view name_;
};

} // namespace detail

/// Wishes for a call: `ref.with({.idempotency_key = "order-17"}).call<&T::m>(args...)`.
struct call_options {
  /// 1..255 bytes. The first call of an object with a key runs the method; what it came to is stored with the
  /// turn's own commit and is the reply to every other one with this key, also after a restart, for
  /// `options::call_results_kept_for` from then on. One that comes while the reply is still under way (a
  /// method that replies later, a task) waits for the same reply. A turn that throws has left no trace and is
  /// not remembered: the next call runs the method again. An error that a committed turn replies with is. The
  /// same key with another method or other arguments fails with `invalid_request`.
  std::optional<std::string> idempotency_key = {};
};

template <class T> class object_ref;

/// A handle with wishes, to copy and keep like the handle itself.
template <class T> class object_ref_with {
public:
  object_ref_with(const object_ref<T>& ref, call_options wishes) : ref_(ref), wishes_(std::move(wishes)) {}

  /// As those of `object_ref`. Errors: besides, `invalid_request` for a key of another length or that was
  /// used otherwise, `queue_full` (`options::max_schedules`).
  template <auto Method, class... Args> auto call(Args&&... args) const {
    using result = typename object_ref<T>::template result_of<Method>;
    auto sink = std::make_unique<detail::promise_sink<result>>();
    auto future = sink->future();
    submit<Method>(describe_method<T, Method>(),
                   detail::encode_arguments<Method>(std::forward<Args>(args)...), std::move(sink));
    return future;
  }

  template <auto Method, class Handler, class... Args>
  void async_call(Handler handler, Args&&... args) const {
    using result = typename object_ref<T>::template result_of<Method>;
    static_assert(std::is_invocable_v<Handler&, expected<result>>,
                  "dormouse: the handler takes an expected<R> of the method's result");
    submit<Method>(
        describe_method<T, Method>(), detail::encode_arguments<Method>(std::forward<Args>(args)...),
        std::make_unique<detail::handler_sink<result, Handler>>(
            std::move(handler), ref_.routes(), T::methods::binding, describe_method<T, Method>().name));
  }

  /// Begins the task once, and gives its id to every call.
  template <auto Task, class... Args> std::future<task_id> start(Args&&... args) const {
    static_assert(detail::member_traits<std::remove_cv_t<decltype(Task)>>::is_task,
                  "dormouse: start() is for tasks: static task<R> name(task_context<T>, args...)");
    auto sink = std::make_unique<detail::promise_sink<task_id>>();
    auto future = sink->future();
    submit<Task>(runtime_methods::start_task,
                 encode(std::string(describe_method<T, Task>().name),
                        detail::encode_arguments<Task>(std::forward<Args>(args)...)),
                 std::move(sink));
    return future;
  }

private:
  template <auto Method>
  void submit(const method_descriptor& method, std::string arguments,
              std::unique_ptr<reply_sink> sink) const {
    static_assert(!detail::member_traits<std::remove_cv_t<decltype(Method)>>::is_const,
                  "dormouse: a const method has no idempotency key: it changes nothing, so it can just be "
                  "called again");
    if (wishes_.idempotency_key)
      ref_.routes()->call_once(ref_.where(), method, std::move(arguments), *wishes_.idempotency_key,
                               std::move(sink));
    else
      ref_.routes()->call(ref_.where(), method, std::move(arguments), std::move(sink));
  }

  object_ref<T> ref_;
  call_options wishes_;
};

template <class T> class object_ref {
public:
  using object_type = T;

  template <auto Method>
  using result_of =
      reply_of<std::decay_t<typename detail::member_traits<std::remove_cv_t<decltype(Method)>>::return_type>>;

  object_ref(std::shared_ptr<router> routes, address to)
      : router_(std::move(routes)), address_(std::move(to)) {}

  const address& where() const noexcept { return address_; }

  /// Calls a method. The future is ready when the turn's commit is durable, or holds a `failure`:
  /// `handler_failed` (the turn left no trace), `storage_error`, `overloaded`, `corrupt`, `too_large`,
  /// `stopped`. Its `what_failed()` tells the object and the type of the exception too. Never blocks. Inside
  /// a turn, a handler or an observer the future's `get()` and `wait()` throw
  /// `failure{would_block}`.
  template <auto Method, class... Args> std::future<result_of<Method>> call(Args&&... args) const {
    auto sink = std::make_unique<detail::promise_sink<result_of<Method>>>();
    auto future = sink->future();
    router_->call(address_, describe_method<T, Method>(),
                  detail::encode_arguments<Method>(std::forward<Args>(args)...), std::move(sink));
    return future;
  }

  /// As `call`, handing the `expected<R>` to `handler` on a thread of the runtime. The handler must not
  /// block. What it throws is logged and counted (`stats().thrown_by_handlers`), and nobody hears of it.
  template <auto Method, class Handler, class... Args>
  void async_call(Handler handler, Args&&... args) const {
    static_assert(std::is_invocable_v<Handler&, expected<result_of<Method>>>,
                  "dormouse: the handler takes an expected<R> of the method's result");
    router_->call(address_, describe_method<T, Method>(),
                  detail::encode_arguments<Method>(std::forward<Args>(args)...),
                  std::make_unique<detail::handler_sink<result_of<Method>, Handler>>(
                      std::move(handler), router_, T::methods::binding, describe_method<T, Method>().name));
  }

  /// The same calls with wishes.
  object_ref_with<T> with(call_options wishes) const { return {*this, std::move(wishes)}; }

  /// Durable one-way call: the future is ready when the message is on disk; from then on the method runs,
  /// exactly once in effect, also after a crash. If it keeps throwing the message becomes a dead letter. Only
  /// for committing methods.
  template <auto Method, class... Args> std::future<void> post(Args&&... args) const {
    static_assert(!detail::member_traits<std::remove_cv_t<decltype(Method)>>::is_const,
                  "dormouse: post() is for committing methods; a const method would do nothing");
    auto sink = std::make_unique<detail::promise_sink<void>>();
    auto future = sink->future();
    router_->post(address_, describe_method<T, Method>(),
                  detail::encode_arguments<Method>(std::forward<Args>(args)...), std::move(sink));
    return future;
  }

  /// Begins a durable task. The future has its id when it is on disk; from then on it runs to its end, also
  /// after crashes. To wait for the end instead, `call` it.
  template <auto Task, class... Args> std::future<task_id> start(Args&&... args) const {
    static_assert(detail::member_traits<std::remove_cv_t<decltype(Task)>>::is_task,
                  "dormouse: start() is for tasks: static task<R> name(task_context<T>, args...)");
    auto sink = std::make_unique<detail::promise_sink<task_id>>();
    auto future = sink->future();
    router_->call(address_, runtime_methods::start_task,
                  encode(std::string(describe_method<T, Task>().name),
                         detail::encode_arguments<Task>(std::forward<Args>(args)...)),
                  std::move(sink));
    return future;
  }

  /// For the runtime's own adapters (caf.hpp).
  const std::shared_ptr<router>& routes() const noexcept { return router_; }

private:
  std::shared_ptr<router> router_;
  address address_;
};

} // namespace dormouse
