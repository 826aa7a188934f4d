#pragma once

/// The program crash_child in a process of its own, that is killed.

#include "crash/report_pipe.hpp"
#include "subprocess.hpp"

#include <string>
#include <utility>
#include <vector>

namespace dormouse::test {

class child_process : public subprocess {
public:
  /// Runs DORMOUSE_CRASH_CHILD with these arguments. Throws std::system_error.
  explicit child_process(std::vector<std::string> arguments)
      : subprocess(
            {.arguments = with_program(std::move(arguments)), .report_descriptor = report_descriptor}) {}

private:
  static std::vector<std::string> with_program(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), DORMOUSE_CRASH_CHILD);
    return arguments;
  }
};

} // namespace dormouse::test
