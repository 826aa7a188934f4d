#include "store/file_size_signal.hpp"

#include <csignal>

namespace dormouse {

void ignore_file_size_signal() noexcept {
  struct sigaction now {};
  if (::sigaction(SIGXFSZ, nullptr, &now) != 0) return;
  if ((now.sa_flags & SA_SIGINFO) != 0 || now.sa_handler != SIG_DFL) return;
  now.sa_handler = SIG_IGN;
  ::sigaction(SIGXFSZ, &now, nullptr);
}

} // namespace dormouse
