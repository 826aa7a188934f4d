#pragma once

/// A part of this program in a child process that does not live long.

#include <functional>

namespace checkout {

/// In the child: tells the parent that something has happened. Safe from any thread.
using report = std::function<void()>;

/// Runs `work` in a child process, and sends it SIGKILL when it has reported that many times. False if it
/// ended before that by itself. To be called while there is one thread only. The child dies with its parent.
/// Throws std::runtime_error if the child ends with an error.
bool run_and_kill(int reports, const std::function<void(report)>& work);

} // namespace checkout
