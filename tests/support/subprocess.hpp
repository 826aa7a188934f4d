#pragma once

/// A program in a process of its own, that says on a pipe how far it got.
///
/// It never outlives the test: the destructor kills it by its process id and reaps it, and the kernel kills
/// it when the thread that started it ends in any other way.

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace dormouse::test {

struct subprocess_settings {
  std::vector<std::string>
      arguments; ///< the program first: a path, or a name that is looked for in PATH and where daemons are
  int report_descriptor = 1; ///< the descriptor of its that is our pipe
};

class subprocess {
public:
  /// Throws std::system_error; std::runtime_error when there is no such program.
  explicit subprocess(subprocess_settings how);
  ~subprocess();

  subprocess(const subprocess&) = delete;
  subprocess& operator=(const subprocess&) = delete;

  /// The next line it reported, without the line end; nothing once its end of the pipe is closed, as by its
  /// death. A line that it had not finished is not a report. Throws std::runtime_error when nothing comes for
  /// `patience`.
  std::optional<std::string> read_line(std::chrono::milliseconds patience = std::chrono::seconds(60));

  /// Whether it is not running any more, by itself or by `kill`.
  bool has_ended() const;

  /// SIGKILL, and waits until it is gone: nothing is written to disk any more. What it was before: "" if it
  /// was still running, else how it had ended.
  std::string kill();

  /// Waits for its end. "" for exit code 0, else how it ended.
  std::string wait();

private:
  pid_t process_ = -1;
  int pipe_ = -1;
  std::string unread_;
};

} // namespace dormouse::test
