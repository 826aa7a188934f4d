#pragma once

/// SIGINT and SIGTERM as something to poll for, so that a run that is stopped takes its children and its
/// temporary directory with it. To be made before any thread.

#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <system_error>

namespace fleet {

class stop_signals {
public:
  stop_signals() {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    ::sigprocmask(SIG_BLOCK, &signals, nullptr);
    descriptor_ = ::signalfd(-1, &signals, SFD_CLOEXEC);
    if (descriptor_ < 0) throw std::system_error(errno, std::generic_category(), "signalfd");
  }
  ~stop_signals() { ::close(descriptor_); }

  stop_signals(const stop_signals&) = delete;
  stop_signals& operator=(const stop_signals&) = delete;

  int descriptor() const noexcept { return descriptor_; }

private:
  int descriptor_ = -1;
};

} // namespace fleet
