#pragma once

/// What a call from one object to another comes to: the method's result, or why there is none. A value like
/// any other: it can be an argument, be stored, and be part of a state.

#include <dormouse/serialization/address.hpp>
#include <dormouse/serialization/error.hpp>
#include <dormouse/serialization/expected.hpp>

#include <cstdint>
#include <type_traits>

namespace dormouse {

/// Why: `code`, `message`, `origin`, `type`, and whether it is `retryable()` or `overloaded()`.
using call_error = error;

template <class R> using call_result = expected<R, call_error>;

namespace detail {

template <class T> struct unwrap_call_result { static constexpr bool is_call_result = false; };
template <class R> struct unwrap_call_result<call_result<R>> {
  static constexpr bool is_call_result = true;
  using type = R;
};

} // namespace detail
} // namespace dormouse

namespace tl {

// In tl, where the argument's own namespace leads the look-up. In front is 1 for a value, 0 for an error, 2
// for one that has a type.
template <class Archive, class R> void save(Archive& ar, const expected<R, dormouse::call_error>& result) {
  ar(static_cast<std::uint8_t>(result ? 1 : result.error().type.empty() ? 0 : 2));
  if (!result) ar(result.error().code, result.error().message, result.error().origin);
  if (!result && !result.error().type.empty()) ar(result.error().type);
  if (!result) return;
  if constexpr (!std::is_void_v<R>) ar(*result);
}

template <class Archive, class R> void load(Archive& ar, expected<R, dormouse::call_error>& result) {
  std::uint8_t kind = 0;
  ar(kind);
  if (kind > 2)
    throw dormouse::failure({dormouse::errc::corrupt, "a result is neither a value nor an error"});
  if (kind != 1) {
    dormouse::call_error what;
    ar(what.code, what.message, what.origin);
    if (kind == 2) ar(what.type);
    result = tl::unexpected<dormouse::call_error>(std::move(what));
  } else if constexpr (std::is_void_v<R>) {
    result = {};
  } else {
    R value{};
    ar(value);
    result = std::move(value);
  }
}

} // namespace tl
