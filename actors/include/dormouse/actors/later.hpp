#pragma once

/// A promise to reply: a method that returns `later<R>` replies when its continuation does, and with what the continuation
/// returns (R15). It is what `.then<&T::m>()` evaluates to. The caller's place on the return path is stored with the
/// fetch, so the object may hibernate in between.

#include <cstddef>
#include <type_traits>

namespace dormouse {

template <class R>
class later {
public:
  using value_type = R;

  /// `slot`: which of the turn's fetches the reply hangs on. Made by `.then<>()`.
  explicit later(std::size_t slot) noexcept : slot_(slot) {}

  std::size_t slot() const noexcept { return slot_; }

private:
  std::size_t slot_;
};

namespace detail {

template <class R>
struct unwrap_later {
  using type = R;
  static constexpr bool is_later = false;
};

template <class R>
struct unwrap_later<later<R>> {
  using type = R;
  static constexpr bool is_later = true;
};

} // namespace detail

/// What a caller finally gets from a method that returns `R`.
template <class R>
using reply_of = typename detail::unwrap_later<R>::type;

} // namespace dormouse
