#pragma once

/// A `std::promise` whose futures know where they must not be waited for: in a turn, a handler or an observer
/// (user_code.hpp). There `get()` and `wait()` throw `failure{would_block}`, for the reply may need the very
/// thread that waits, and a few such waits stall the whole runtime. They do so even if the reply is there: a
/// mistake that shows under load only is worse. `wait_for` with no time to wait may be asked anywhere; one
/// that has waited, and then has its reply, throws too.
///
/// The futures are plain `std::future`s, so whoever has one need not know. It takes the shared state of
/// libstdc++; with another standard library this is just a `std::promise`.

#include <dormouse/actors/user_code.hpp>

#include <cstddef>
#include <future>
#include <memory>
#include <new>

namespace dormouse::detail {

#if defined(__GLIBCXX__)

using plain_state = std::__future_base::_State_baseV2;

/// libstdc++ calls this before a thread waits for the state, or when it has waited with a limit.
class reply_state final : public plain_state {
  void _M_complete_async() override { refuse_to_wait("a future of the runtime's"); }
};
static_assert(sizeof(reply_state) == sizeof(plain_state) && alignof(reply_state) == alignof(plain_state));

/// Makes a `reply_state` where the promise asks for its state.
template <class T> struct reply_allocator {
  using value_type = T;

  reply_allocator() = default;
  template <class U> reply_allocator(const reply_allocator<U>&) noexcept {}

  T* allocate(std::size_t n) { return std::allocator<T>().allocate(n); }
  void deallocate(T* p, std::size_t n) noexcept { std::allocator<T>().deallocate(p, n); }

  template <class U, class... Args> void construct(U* at, Args&&... args) {
    if constexpr (std::is_same_v<U, plain_state>)
      ::new (static_cast<void*>(at)) reply_state();
    else
      ::new (static_cast<void*>(at)) U(std::forward<Args>(args)...);
  }

  template <class U> friend bool operator==(const reply_allocator&, const reply_allocator<U>&) noexcept {
    return true;
  }
};

template <class R> std::promise<R> make_reply_promise() {
  return std::promise<R>(std::allocator_arg, reply_allocator<char>());
}

#else

template <class R> std::promise<R> make_reply_promise() { return {}; }

#endif

} // namespace dormouse::detail
