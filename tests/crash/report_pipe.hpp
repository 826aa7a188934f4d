#pragma once

/// The pipe between a child and the test that will kill it. Not standard output, which belongs to the log.

#include <unistd.h>

#include <cerrno>
#include <string>
#include <string_view>

namespace dormouse::test {

/// In the child; the first descriptor behind the standard three.
inline constexpr int report_descriptor = 3;

/// One line as a whole, from any thread: for lines below PIPE_BUF.
inline void report(std::string line) {
  line += '\n';
  std::string_view rest = line;
  while (!rest.empty()) {
    const auto written = ::write(report_descriptor, rest.data(), rest.size());
    if (written > 0)
      rest.remove_prefix(static_cast<std::size_t>(written));
    else if (errno != EINTR)
      return; // nobody listens any more
  }
}

} // namespace dormouse::test
