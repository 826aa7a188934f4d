#include "subprocess.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string_view>
#include <system_error>

namespace dormouse::test {
namespace {

[[noreturn]] void fail(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

/// In PATH, and where PATH of an ordinary user does not lead.
std::string find_program(const std::string& name) {
  if (name.find('/') != std::string::npos) return name;
  const auto* path = std::getenv("PATH");
  const auto folders =
      std::string(path != nullptr ? path : "/usr/bin:/bin") + ":/usr/local/sbin:/usr/sbin:/sbin";
  for (std::string_view rest = folders; !rest.empty();) {
    const auto folder = rest.substr(0, rest.find(':'));
    rest.remove_prefix(std::min(rest.size(), folder.size() + 1));
    auto candidate = std::string(folder) + "/" + name;
    if (::access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  throw std::runtime_error("there is no program " + name + "; scripts/setup installs it");
}

/// All that the child needs, made before the fork.
struct launch {
  const char* program;
  char* const* arguments;
  int report_descriptor;
  int report_to;
  pid_t parent;
};

/// Between fork and exec, with other threads in the parent: system calls only.
[[noreturn]] void become(const launch& how) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != how.parent) ::_exit(127); // it died before the line above could matter
  if (how.report_to == how.report_descriptor)
    ::fcntl(how.report_to, F_SETFD, 0);
  else
    ::dup2(how.report_to, how.report_descriptor);
  ::execv(how.program, how.arguments);
  ::_exit(127);
}

std::string describe(int status) {
  if (WIFSIGNALED(status))
    return "signal " + std::to_string(WTERMSIG(status)) + " (" + ::strsignal(WTERMSIG(status)) + ")";
  return WEXITSTATUS(status) == 0 ? std::string() : "exit code " + std::to_string(WEXITSTATUS(status));
}

int reap(pid_t process) {
  int status = 0;
  while (::waitpid(process, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

} // namespace

subprocess::subprocess(subprocess_settings how) {
  const auto program = find_program(how.arguments.at(0));
  std::vector<char*> arguments;
  for (auto& argument : how.arguments)
    arguments.push_back(argument.data());
  arguments.push_back(nullptr);

  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) fail("pipe2");
  const launch next{program.c_str(), arguments.data(), how.report_descriptor, ends[1], ::getpid()};
  process_ = ::fork();
  if (process_ == 0) become(next);
  ::close(ends[1]);
  pipe_ = ends[0];
  if (process_ < 0) {
    ::close(pipe_);
    fail("fork");
  }
}

subprocess::~subprocess() {
  kill();
  ::close(pipe_);
}

std::optional<std::string> subprocess::read_line(std::chrono::milliseconds patience) {
  for (;;) {
    if (auto end = unread_.find('\n'); end != std::string::npos) {
      auto line = unread_.substr(0, end);
      unread_.erase(0, end + 1);
      return line;
    }
    pollfd watched{pipe_, POLLIN, 0};
    const auto ready = ::poll(&watched, 1, static_cast<int>(patience.count()));
    if (ready < 0 && errno != EINTR) fail("poll");
    if (ready == 0)
      throw std::runtime_error("the child has not reported anything for " + std::to_string(patience.count()) +
                               " ms");
    std::array<char, 16384> buffer; // NOLINT: read() fills it
    const auto count = ready > 0 ? ::read(pipe_, buffer.data(), buffer.size()) : -1;
    if (count == 0) return std::nullopt;
    if (count < 0 && errno != EINTR) fail("read");
    if (count > 0) unread_.append(buffer.data(), static_cast<std::size_t>(count));
  }
}

bool subprocess::has_ended() const {
  siginfo_t how{};
  return process_ < 0 ||
         (::waitid(P_PID, static_cast<id_t>(process_), &how, WEXITED | WNOHANG | WNOWAIT) == 0 &&
          how.si_pid == process_);
}

std::string subprocess::kill() {
  if (process_ < 0) return "it was reaped before";
  // Not reaped yet, so the id cannot be another process's.
  ::kill(process_, SIGKILL);
  const auto status = reap(process_);
  process_ = -1;
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) return {};
  auto how = describe(status);
  return how.empty() ? "exit code 0" : how;
}

std::string subprocess::wait() {
  const auto status = reap(process_);
  process_ = -1;
  return describe(status);
}

} // namespace dormouse::test
