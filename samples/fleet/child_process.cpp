#include "child_process.hpp"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <string_view>
#include <system_error>

namespace fleet {

namespace {

// The first descriptor behind the standard three.
constexpr int report_descriptor_of_child = 3;

[[noreturn]] void fail(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

// Between fork and exec: system calls only.
[[noreturn]] void become(char* const* arguments, pid_t parent, int report_to) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(127); // it died before it could matter
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr); // the parent takes its signals through a descriptor
  ::dup2(STDERR_FILENO, STDOUT_FILENO);       // the result of the run has standard output for itself
  if (report_to == report_descriptor_of_child)
    ::fcntl(report_to, F_SETFD, 0);
  else
    ::dup2(report_to, report_descriptor_of_child);
  ::execv("/proc/self/exe", arguments);
  ::_exit(127);
}

std::string describe(int status) {
  if (WIFSIGNALED(status))
    return "signal " + std::to_string(WTERMSIG(status)) + " (" + ::strsignal(WTERMSIG(status)) + ")";
  return WEXITSTATUS(status) == 0 ? std::string() : "exit code " + std::to_string(WEXITSTATUS(status));
}

} // namespace

void write_report_line(std::string line) {
  line += '\n';
  std::string_view rest = line;
  while (!rest.empty()) {
    const auto written = ::write(report_descriptor_of_child, rest.data(), rest.size());
    if (written > 0)
      rest.remove_prefix(static_cast<std::size_t>(written));
    else if (errno != EINTR)
      return; // nobody listens any more
  }
}

child_process::child_process(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "fleet");
  std::vector<char*> pointers;
  for (auto& argument : arguments)
    pointers.push_back(argument.data());
  pointers.push_back(nullptr);

  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) fail("pipe");
  const auto parent = ::getpid();
  process_ = ::fork();
  if (process_ == 0) become(pointers.data(), parent, ends[1]);
  ::close(ends[1]);
  pipe_ = ends[0];
  if (process_ < 0) {
    ::close(pipe_);
    fail("fork");
  }
  ::fcntl(pipe_, F_SETFL, O_NONBLOCK);
}

child_process::~child_process() {
  kill();
  ::close(pipe_);
}

bool child_process::read_lines(std::vector<std::string>& lines) {
  std::array<char, 16384> buffer; // NOLINT: read() fills it
  while (true) {
    const auto count = ::read(pipe_, buffer.data(), buffer.size());
    if (count == 0) return false;
    if (count < 0) {
      if (errno == EINTR) continue;
      return errno == EAGAIN;
    }
    unfinished_.append(buffer.data(), static_cast<std::size_t>(count));
    std::size_t start = 0;
    for (auto end = unfinished_.find('\n'); end != std::string::npos; end = unfinished_.find('\n', start)) {
      lines.push_back(unfinished_.substr(start, end - start));
      start = end + 1;
    }
    unfinished_.erase(0, start);
  }
}

void child_process::kill() noexcept {
  if (process_ < 0) return;
  ::kill(process_, SIGKILL);
  while (::waitpid(process_, nullptr, 0) < 0 && errno == EINTR) {
  }
  process_ = -1;
}

std::string child_process::wait() {
  if (process_ < 0) return {};
  int status = 0;
  while (::waitpid(process_, &status, 0) < 0 && errno == EINTR) {
  }
  process_ = -1;
  return describe(status);
}

} // namespace fleet
