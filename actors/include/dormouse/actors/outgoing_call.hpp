#pragma once

/// A call to another object that has been described but has no continuation yet: what `call<&U::m>(to, args...)` in an object returns.

#include <dormouse/actors/later.hpp>
#include <dormouse/actors/methods.hpp>
#include <dormouse/actors/object_host.hpp>
#include <dormouse/actors/pending.hpp>
#include <dormouse/serialization/call_result.hpp>
#include <dormouse/serialization/codec.hpp>
#include <dormouse/serialization/messages.hpp>

#include <type_traits>
#include <utility>

namespace dormouse {

template <auto Called>
class [[nodiscard("a call does nothing before .then<&T::method>() names its continuation; for one without an answer there is send<&U::m>()")]] outgoing_call {
public:
  using result = reply_of<std::decay_t<typename detail::member_traits<std::remove_cv_t<decltype(Called)>>::return_type>>;

  outgoing_call(turn_host& host, address to, call_message what) : host_(host), to_(std::move(to)), what_(std::move(what)) {}

  /// Names the registered method of this object that is called with the answer, and what it gets besides. `Method` is non-const and takes a
  /// `call_result<R>` first, R being what the called method returns (and what a `later<R>` comes to); `context` converts to its other parameters. The
  /// value may be returned from the calling method, to reply when the continuation does (R15).
  /// Throws `failure`: `invalid_instance_id`, `unknown_binding`, `too_large`, `overloaded`.
  template <auto Method, class... Context>
  auto then(Context&&... context) {
    using traits = detail::member_traits<std::remove_cv_t<decltype(Method)>>;
    using owner = typename traits::class_type;
    using params = detail::tail_of<typename traits::arguments>;
    static_assert(owner::methods::template contains<Method>,
                  "dormouse: the continuation is not registered: add method<\"name\", &T::function> to the class's methods");
    static_assert(!traits::is_task, "dormouse: a task cannot be a continuation: let a method start() it");
    static_assert(!traits::is_const, "dormouse: a continuation cannot be const: consuming an answer is a change that commits");
    static_assert(std::is_same_v<typename params::head, call_result<result>>,
                  "dormouse: the continuation of a call takes a call_result<R> first, R being what the called method returns");
    static_assert(detail::context_matches<typename params::type, Context...>::value,
                  "dormouse: the context does not match the continuation's parameters behind the call_result");
    if constexpr (owner::methods::template contains<Method> && detail::context_matches<typename params::type, Context...>::value) {
      typename params::type values(std::forward<Context>(context)...);
      auto bytes = std::apply([](const auto&... each) { return encode(each...); }, values);
      auto what = what_; // `then` may be said twice: two calls
      if (host_.self().binding != owner::methods::binding)
        throw failure({errc::unknown_method, "the continuation belongs to another class than the object that calls"});
      value_or_throw(what.path.push({host_.self(), std::string(owner::methods::template name_of<Method>()), std::move(bytes)}));
      return later<reply_of<std::decay_t<typename traits::return_type>>>(detail::fetch_slot{value_or_throw(host_.enqueue_call(to_, std::move(what)))});
    }
  }

private:
  turn_host& host_;
  address to_;
  call_message what_;
};

} // namespace dormouse
