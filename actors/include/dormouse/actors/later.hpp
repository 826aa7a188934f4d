#pragma once

/// A promise to reply: a method that returns `later<R>` replies when its continuation does, and with what the
/// continuation returns (R15). It is what `.then<&T::m>()` evaluates to. The caller's place on the return
/// path is stored with the fetch, so the object may hibernate in between.
///
/// A method that knows the reply already returns it: a plain value converts, and the reply is then this
/// turn's, as without `later`.
///
///   later<std::string> on_page(fetch_result page) {
///     if (!page) return page.error().message;             // the caller hears now
///     return fetch(next_).then<&T::on_page>();            // or when on_page has the next page
///   }

#include <dormouse/serialization/call_result.hpp>
#include <dormouse/serialization/open_call.hpp>

#include <concepts>
#include <cstddef>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

namespace dormouse {

template <class R> class task;

namespace detail {

/// Which of the turn's fetches and calls a reply hangs on.
struct fetch_slot {
  std::size_t index;
  call_id call = {}; ///< of a call with a time limit
};

} // namespace detail

template <class R> class later {
  using stored = std::conditional_t<std::is_void_v<R>, std::monostate, R>;

public:
  using value_type = R;

  /// Made by `.then<>()`.
  explicit later(detail::fetch_slot slot) noexcept : slot_(slot.index), id_(slot.call) {}

  /// The reply is there already.
  template <class Value>
    requires(!std::is_void_v<R> && !std::same_as<std::remove_cvref_t<Value>, later> &&
             std::convertible_to<Value, stored>)
  later(Value&& value) : value_(std::forward<Value>(value)) {}

  /// The same for void: `return {};`.
  later() noexcept requires std::is_void_v<R>
  = default;

  /// Of the call that was made, to give it up with `cancel_call`; number 0 if it has no time limit, and of a
  /// fetch.
  call_id id() const noexcept { return id_; }

  std::optional<std::size_t> slot() const noexcept { return slot_; } ///< nothing if the reply is there
  const stored& value() const noexcept { return *value_; }           ///< only if it is

private:
  std::optional<std::size_t> slot_;
  call_id id_;
  std::optional<stored> value_;
};

namespace detail {

template <class R> struct unwrap_later {
  using type = R;
  static constexpr bool is_later = false;
};

template <class R> struct unwrap_later<later<R>> {
  using type = R;
  static constexpr bool is_later = true;
};

template <class R> struct unwrap_reply { using type = R; };
template <class R> struct unwrap_reply<task<R>> { using type = R; };
template <class R> struct unwrap_reply<call_result<R>> { using type = R; };

} // namespace detail

/// What a caller finally gets from a method that returns `R`: of a task, its result. A method that returns
/// `call_result<R>` replies with an `R` or with an error, and its turn commits either way; to throw an error
/// is to undo the turn.
template <class R>
using reply_of = typename detail::unwrap_reply<typename detail::unwrap_later<R>::type>::type;

} // namespace dormouse
