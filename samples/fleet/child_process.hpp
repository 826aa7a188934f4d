#pragma once

/// This program once more, as a child with another job, and a pipe on which it reports.
///
/// A child never outlives its parent: the destructor kills it by its process id and reaps it, and the kernel
/// kills it when the parent dies in any other way.

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

namespace fleet {

/// In the child: writes one line to the parent, as a whole. For lines below 4 KiB; safe from any thread.
void write_report_line(std::string line);

class child_process {
public:
  /// Runs /proc/self/exe with these arguments. Throws std::system_error.
  explicit child_process(std::vector<std::string> arguments);
  ~child_process();

  child_process(const child_process&) = delete;
  child_process& operator=(const child_process&) = delete;

  /// To be polled, and then given to `read_lines`.
  int report_descriptor() const noexcept { return pipe_; }

  /// Appends the lines that have arrived. False when the child has closed its end, as by its death.
  bool read_lines(std::vector<std::string>& lines);

  /// SIGKILL, and waits until it is gone.
  void kill() noexcept;

  /// Waits until it is gone. Empty after exit code 0, else what ended it.
  std::string wait();

private:
  pid_t process_ = -1;
  int pipe_ = -1;
  std::string unfinished_; ///< a line whose end has not arrived
};

} // namespace fleet
