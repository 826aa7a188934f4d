#pragma once

/// The threads of a runtime know that they are. On one of them a runtime cannot be destroyed: it would wait
/// for the very thread that destroys it.

#include <dormouse/actors/user_code.hpp>

namespace dormouse {

inline constinit thread_local bool this_thread_is_a_runtimes = false;

/// At the beginning of such a thread.
inline void mark_own_thread() noexcept { this_thread_is_a_runtimes = true; }

/// Whether this thread must not wait for a runtime to end.
inline bool must_not_wait_for_runtime() noexcept {
  return this_thread_is_a_runtimes || running_user_code() != nullptr;
}

} // namespace dormouse
