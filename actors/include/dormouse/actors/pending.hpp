#pragma once

/// A fetch that has been described but has no continuation yet: what `fetch(...)` returns.

#include <dormouse/actors/later.hpp>
#include <dormouse/actors/methods.hpp>
#include <dormouse/actors/object_host.hpp>
#include <dormouse/serialization/codec.hpp>
#include <dormouse/serialization/fetch_result.hpp>
#include <dormouse/serialization/messages.hpp>

#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>

namespace dormouse {

namespace detail {

/// The parameters behind the first.
template <class Tuple> struct tail_of;
template <> struct tail_of<std::tuple<>> {
  using head = void;
  using type = std::tuple<>;
};
template <class Head, class... Tail> struct tail_of<std::tuple<Head, Tail...>> {
  using head = Head;
  using type = std::tuple<Tail...>;
};

template <class Params, class... Given> struct context_matches : std::false_type {};
template <class... Params, class... Given>
  requires(sizeof...(Params) == sizeof...(Given))
struct context_matches<std::tuple<Params...>, Given...>
    : std::bool_constant<(std::is_convertible_v<Given, Params> && ...)> {};

} // namespace detail

class [[nodiscard("a fetch does nothing before .then<&T::method>() names its continuation")]] pending {
public:
  pending(fetch_queue & queue, address return_to, fetch_message fetch)
      : queue_(queue), return_to_(std::move(return_to)), fetch_(std::move(fetch)) {}

  /// Names the registered method of the object that asked to be called with the result, and what it gets
  /// besides. Both are stored with the fetch, as plain text as everything in the store: the object may
  /// hibernate and the process may restart before the method runs (R7). What must not be on the disk, such as
  /// a password, does not belong into the context.
  ///
  /// `Method` is non-const (consuming a result is a change) and takes a `fetch_result` first; `context`
  /// converts to its other parameters. The value may be returned from the calling method to reply when the
  /// continuation does (R15). Throws `failure`: `blocked` (the host is not allowed), `too_large` (body,
  /// headers, or URL, headers and context together), `queue_full`, `path_too_long`, `invalid_request` (a
  /// queue that `options::queues` does not name), `unknown_method`, `invalid_binding` or
  /// `invalid_instance_id` (a return address that does not fit the continuation), `storage_error` (a large
  /// body cannot be written; outside of a turn, the commit failed), and outside of a turn `stopped`.
  template <auto Method, class... Context> auto then(Context && ... context)& {
    return submit<Method>(fetch_message(fetch_),
                          std::forward<Context>(context)...); // it may be said again: another fetch
  }
  /// The same, as in `fetch(...).then<&T::method>()`: the body is moved, not copied.
  template <auto Method, class... Context> auto then(Context && ... context)&& {
    return submit<Method>(std::move(fetch_), std::forward<Context>(context)...);
  }

private:
  template <auto Method, class... Context> auto submit(fetch_message fetch, Context && ... context) {
    using traits = detail::member_traits<std::remove_cv_t<decltype(Method)>>;
    using owner = typename traits::class_type;
    using params = detail::tail_of<typename traits::arguments>;
    static_assert(owner::methods::template contains<Method>,
                  "dormouse: the continuation is not registered: add method<\"name\", &T::function> to the "
                  "class's methods");
    static_assert(!traits::is_task, "dormouse: a task cannot be a continuation: let a method start() it");
    static_assert(!traits::is_const,
                  "dormouse: a continuation cannot be const: consuming a result is a change that commits");
    static_assert(std::is_same_v<typename params::head, fetch_result>,
                  "dormouse: a continuation's first parameter is a fetch_result");
    static_assert(
        detail::context_matches<typename params::type, Context...>::value,
        "dormouse: the context does not match the continuation's parameters behind the fetch_result");
    if constexpr (owner::methods::template contains<Method> &&
                  detail::context_matches<typename params::type, Context...>::value) {
      typename params::type values(std::forward<Context>(context)...);
      auto bytes = std::apply([](const auto&... each) { return encode(each...); }, values);
      auto slot = enqueue(std::move(fetch), owner::methods::binding,
                          owner::methods::template name_of<Method>(), std::move(bytes));
      return later<reply_of<std::decay_t<typename traits::return_type>>>(detail::fetch_slot{slot});
    }
  }

  std::size_t enqueue(fetch_message fetch, std::string_view binding, std::string_view method,
                      std::string context);

  fetch_queue& queue_;
  address return_to_;
  fetch_message fetch_;
};

} // namespace dormouse
