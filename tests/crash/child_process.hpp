#pragma once

/// The program crash_child in a process of its own, that says on a pipe how far it got, and that is killed.
///
/// A child never outlives the test: the destructor kills it by its process id and reaps it, and the kernel kills it when the test
/// ends in any other way.

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

namespace dormouse::test {

class child_process {
public:
  /// Runs DORMOUSE_CRASH_CHILD with these arguments. Throws std::system_error.
  explicit child_process(std::vector<std::string> arguments);
  ~child_process();

  child_process(const child_process&) = delete;
  child_process& operator=(const child_process&) = delete;

  /// The next line it reported, without the line end; nothing once its end of the pipe is closed, as by its death. A line that it had
  /// not finished is not a report. Throws std::runtime_error when nothing comes for `patience`.
  std::optional<std::string> read_line(std::chrono::milliseconds patience = std::chrono::seconds(60));

  /// SIGKILL, and waits until it is gone: nothing is written to disk any more. What it was before: "" if it was still running, else
  /// how it had ended.
  std::string kill();

  /// Waits for its end. "" for exit code 0, else how it ended.
  std::string wait();

private:
  pid_t process_ = -1;
  int pipe_ = -1;
  std::string unread_;
};

} // namespace dormouse::test
