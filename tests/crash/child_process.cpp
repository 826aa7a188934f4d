#include "crash/child_process.hpp"

#include "crash/report_pipe.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <stdexcept>
#include <system_error>

namespace dormouse::test {
namespace {

[[noreturn]] void fail(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

/// Between fork and exec, with other threads in the parent: system calls only.
[[noreturn]] void become(char* const* arguments, pid_t parent, int report_to) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent)
    ::_exit(127); // it died before the line above could matter
  if (report_to == report_descriptor)
    ::fcntl(report_to, F_SETFD, 0);
  else
    ::dup2(report_to, report_descriptor);
  ::execv(arguments[0], arguments);
  ::_exit(127);
}

std::string describe(int status) {
  if (WIFSIGNALED(status))
    return "signal " + std::to_string(WTERMSIG(status)) + " (" + ::strsignal(WTERMSIG(status)) + ")";
  return WEXITSTATUS(status) == 0 ? std::string() : "exit code " + std::to_string(WEXITSTATUS(status));
}

int reap(pid_t process) {
  int status = 0;
  while (::waitpid(process, &status, 0) < 0 && errno == EINTR) {}
  return status;
}

} // namespace

child_process::child_process(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), DORMOUSE_CRASH_CHILD);
  std::vector<char*> pointers;
  for (auto& argument : arguments)
    pointers.push_back(argument.data());
  pointers.push_back(nullptr);

  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0)
    fail("pipe2");
  const auto parent = ::getpid();
  process_ = ::fork();
  if (process_ == 0)
    become(pointers.data(), parent, ends[1]);
  ::close(ends[1]);
  pipe_ = ends[0];
  if (process_ < 0) {
    ::close(pipe_);
    fail("fork");
  }
}

child_process::~child_process() {
  kill();
  ::close(pipe_);
}

std::optional<std::string> child_process::read_line(std::chrono::milliseconds patience) {
  for (;;) {
    if (auto end = unread_.find('\n'); end != std::string::npos) {
      auto line = unread_.substr(0, end);
      unread_.erase(0, end + 1);
      return line;
    }
    pollfd watched{pipe_, POLLIN, 0};
    const auto ready = ::poll(&watched, 1, static_cast<int>(patience.count()));
    if (ready < 0 && errno != EINTR)
      fail("poll");
    if (ready == 0)
      throw std::runtime_error("the child has not reported anything for " + std::to_string(patience.count()) + " ms");
    std::array<char, 16384> buffer; // NOLINT: read() fills it
    const auto count = ready > 0 ? ::read(pipe_, buffer.data(), buffer.size()) : -1;
    if (count == 0)
      return std::nullopt;
    if (count < 0 && errno != EINTR)
      fail("read");
    if (count > 0)
      unread_.append(buffer.data(), static_cast<std::size_t>(count));
  }
}

std::string child_process::kill() {
  if (process_ < 0)
    return "it was reaped before";
  // Not reaped yet, so the id cannot be another process's.
  ::kill(process_, SIGKILL);
  const auto status = reap(process_);
  process_ = -1;
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
    return {};
  auto how = describe(status);
  return how.empty() ? "exit code 0" : how;
}

std::string child_process::wait() {
  const auto status = reap(process_);
  process_ = -1;
  return describe(status);
}

} // namespace dormouse::test
