#pragma once

/// What a call from one object to another comes to: the method's result, or why there is none. A value like any other: it can be an argument, be
/// stored, and be part of a state.

#include <dormouse/serialization/address.hpp>
#include <dormouse/serialization/error.hpp>
#include <dormouse/serialization/expected.hpp>

#include <string>
#include <type_traits>

namespace dormouse {

struct call_error {
  errc code{};
  std::string message;
  address origin; ///< of the object that failed, or that could not be reached; it may be further away than the one that was called

  /// The same call may go well later: the other side left no trace of it.
  bool retryable() const noexcept { return code == errc::overloaded || code == errc::storage_error || code == errc::queue_full; }
  bool overloaded() const noexcept { return code == errc::overloaded || code == errc::queue_full; }

  friend bool operator==(const call_error&, const call_error&) = default;

  template <class Archive>
  void serialize(Archive& ar) {
    ar(code, message, origin);
  }
};

template <class R>
using call_result = expected<R, call_error>;

namespace detail {

template <class T>
struct unwrap_call_result {
  static constexpr bool is_call_result = false;
};
template <class R>
struct unwrap_call_result<call_result<R>> {
  static constexpr bool is_call_result = true;
  using type = R;
};

} // namespace detail
} // namespace dormouse

namespace tl {

// In tl, where the argument's own namespace leads the look-up.
template <class Archive, class R>
void save(Archive& ar, const expected<R, dormouse::call_error>& result) {
  ar(result.has_value());
  if (!result)
    ar(result.error());
  else if constexpr (!std::is_void_v<R>)
    ar(*result);
}

template <class Archive, class R>
void load(Archive& ar, expected<R, dormouse::call_error>& result) {
  bool has_value = false;
  ar(has_value);
  if (!has_value) {
    dormouse::call_error what;
    ar(what);
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
