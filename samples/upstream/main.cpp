// The test upstream as a program: prints where it listens, serves until told to
// stop. Everything it can answer is described in README.md.

#include "upstream/open_file_limit.hpp"
#include "upstream/upstream_server.hpp"

#include <CLI/CLI.hpp>
#include <poll.h>
#include <pthread.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <iostream>
#include <stdexcept>
#include <system_error>

namespace {

// SIGTERM and SIGINT as something to poll for. Blocked before any other thread
// exists, so that every thread inherits the mask and none is interrupted.
class stop_signals {
public:
  stop_signals() {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    descriptor_ = ::signalfd(-1, &signals, SFD_CLOEXEC);
    if (descriptor_ < 0) {
      throw std::system_error{errno, std::generic_category(), "signalfd"};
    }
  }
  ~stop_signals() { ::close(descriptor_); }

  stop_signals(const stop_signals&) = delete;
  stop_signals& operator=(const stop_signals&) = delete;

  [[nodiscard]] int descriptor() const noexcept { return descriptor_; }

private:
  int descriptor_ = -1;
};

// True at the end of standard input; what is written to it is ignored.
bool input_ended() {
  std::array<char, 4096> ignored{};
  const auto count = ::read(STDIN_FILENO, ignored.data(), ignored.size());
  return count == 0 || (count < 0 && errno != EINTR && errno != EAGAIN);
}

void wait_for_the_end(const stop_signals& signals, bool watch_input) {
  // poll skips a negative descriptor.
  std::array<pollfd, 2> watched{pollfd{signals.descriptor(), POLLIN, 0},
                                pollfd{watch_input ? STDIN_FILENO : -1, POLLIN, 0}};
  while (true) {
    if (::poll(watched.data(), watched.size(), -1) < 0) {
      if (errno == EINTR) {
        continue;
      }
      throw std::system_error{errno, std::generic_category(), "poll"};
    }
    if (watched[0].revents != 0 || (watched[1].revents != 0 && input_ended())) {
      return;
    }
  }
}

} // namespace

int main(int argc, char** argv) {
  CLI::App app{"An HTTP/1.1 server for tests, on loopback only."};
  std::uint16_t port = 0;
  bool exit_with_stdin = false;
  app.add_option("--port", port, "port to listen on; 0 lets the kernel pick one")->capture_default_str();
  app.add_flag("--exit-with-stdin", exit_with_stdin, "stop when standard input is closed");
  CLI11_PARSE(app, argc, argv);

  try {
    const stop_signals signals;
    dormouse::samples::raise_open_file_limit();
    dormouse::samples::upstream_server server{{.port = port}};
    server.start();
    std::cout << "listening on " << server.url() << std::endl; // flushed: the parent waits for it
    wait_for_the_end(signals, exit_with_stdin);
    server.stop();
  } catch (const std::exception& error) {
    std::cerr << "upstream: " << error.what() << '\n';
    return 1;
  }
  return 0;
}
