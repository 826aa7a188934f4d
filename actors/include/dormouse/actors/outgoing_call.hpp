#pragma once

/// A call to another object that has been described but has no continuation yet: what `call<&U::m>(to,
/// args...)` in an object returns.

#include <dormouse/actors/later.hpp>
#include <dormouse/actors/methods.hpp>
#include <dormouse/actors/object_host.hpp>
#include <dormouse/actors/pending.hpp>
#include <dormouse/actors/schedule.hpp>
#include <dormouse/serialization/call_result.hpp>
#include <dormouse/serialization/codec.hpp>
#include <dormouse/serialization/messages.hpp>

#include <chrono>
#include <optional>
#include <type_traits>
#include <utility>

namespace dormouse {

template <auto Called>
class [[nodiscard("a call does nothing before .then<&T::method>() names its continuation; for one without an "
                  "answer there is send<&U::m>()")]] outgoing_call {
public:
  using result =
      reply_of<std::decay_t<typename detail::member_traits<std::remove_cv_t<decltype(Called)>>::return_type>>;

  outgoing_call(turn_host & host, address to, call_message what)
      : host_(host), to_(std::move(to)), what_(std::move(what)) {}

  /// Waits no longer than this, from now: 1 ms to 366 days, rounded up to the millisecond. If no answer has
  /// come by then, the continuation gets `call_error{timeout}` naming the object and its method, and the
  /// answer is dropped when it comes. The other side is not told and not interrupted: it may have done what
  /// it was asked, may be doing it, or may not have begun. Costs a schedule, which the answer erases. Such a
  /// call can also be given up: `cancel_call(later.id())`.
  template <class Rep, class Period> outgoing_call& within(std::chrono::duration<Rep, Period> limit) {
    within_ = detail::bounded_ms(limit);
    return *this;
  }

  /// Names the registered method of this object that is called with the answer, and what it gets besides.
  /// `Method` is non-const and takes a `call_result<R>` first, R being what the called method returns (and
  /// what a `later<R>` comes to); `context` converts to its other parameters. The value may be returned from
  /// the calling method, to reply when the continuation does (R15). Throws `failure`: `invalid_instance_id`,
  /// `unknown_binding`, `too_large`, `overloaded`; with a time limit also `invalid_request`, `queue_full`
  /// (`options::max_schedules`).
  template <auto Method, class... Context> auto then(Context && ... context) {
    using traits = detail::member_traits<std::remove_cv_t<decltype(Method)>>;
    using owner = typename traits::class_type;
    using params = detail::tail_of<typename traits::arguments>;
    static_assert(owner::methods::template contains<Method>,
                  "dormouse: the continuation is not registered: add method<\"name\", &T::function> to the "
                  "class's methods");
    static_assert(!traits::is_task, "dormouse: a task cannot be a continuation: let a method start() it");
    static_assert(!traits::is_const,
                  "dormouse: a continuation cannot be const: consuming an answer is a change that commits");
    static_assert(std::is_same_v<typename params::head, call_result<result>>,
                  "dormouse: the continuation of a call takes a call_result<R> first, R being what the "
                  "called method returns");
    static_assert(
        detail::context_matches<typename params::type, Context...>::value,
        "dormouse: the context does not match the continuation's parameters behind the call_result");
    if constexpr (owner::methods::template contains<Method> &&
                  detail::context_matches<typename params::type, Context...>::value) {
      typename params::type values(std::forward<Context>(context)...);
      auto bytes = std::apply([](const auto&... each) { return encode(each...); }, values);
      auto what = what_; // `then` may be said twice: two calls
      if (host_.self().binding != owner::methods::binding)
        throw failure(
            {errc::unknown_method, "the continuation belongs to another class than the object that calls"});
      value_or_throw(what.path.push(
          {host_.self(), std::string(owner::methods::template name_of<Method>()), std::move(bytes)}));
      using reply = later<reply_of<std::decay_t<typename traits::return_type>>>;
      if (!within_)
        return reply(detail::fetch_slot{value_or_throw(host_.enqueue_call(to_, std::move(what)))});
      const auto taken = value_or_throw(host_.enqueue_call(to_, std::move(what), *within_));
      return reply(detail::fetch_slot{taken.place, taken.id});
    }
  }

private:
  turn_host& host_;
  address to_;
  call_message what_;
  std::optional<std::chrono::milliseconds> within_;
};

} // namespace dormouse
