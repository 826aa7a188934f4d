#include "killed_child.hpp"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <exception>
#include <iostream>
#include <stdexcept>
#include <system_error>

namespace checkout {

namespace {

[[noreturn]] void be_the_child(pid_t parent, int report_to, const std::function<void(report)>& work) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(1); // it died before it could matter
  try {
    work([report_to] { [[maybe_unused]] const auto written = ::write(report_to, ".", 1); });
    ::_exit(0); // what the parent had before the fork is the parent's to end
  } catch (const std::exception& e) {
    std::cerr << "checkout: " << e.what() << std::endl;
  }
  ::_exit(1);
}

// Whether as many came before the child closed its end, as it does when it ends.
bool await_reports(int from, int reports) {
  char one = 0;
  while (reports > 0) {
    const auto count = ::read(from, &one, 1);
    if (count == 0) return false;
    if (count > 0)
      --reports;
    else if (errno != EINTR)
      throw std::system_error(errno, std::generic_category(), "read");
  }
  return true;
}

} // namespace

bool run_and_kill(int reports, const std::function<void(report)>& work) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
  const auto parent = ::getpid();
  const auto child = ::fork();
  if (child < 0) throw std::system_error(errno, std::generic_category(), "fork");
  if (child == 0) be_the_child(parent, ends[1], work);
  ::close(ends[1]);
  const bool killed = await_reports(ends[0], reports);
  ::close(ends[0]);
  if (killed) ::kill(child, SIGKILL);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (!killed && status != 0) throw std::runtime_error("the child process failed");
  return killed;
}

} // namespace checkout
