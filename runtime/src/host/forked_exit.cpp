#include "host/forked_exit.hpp"

#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iostream>

namespace dormouse {
namespace {

void leave_if_forked(int status, void* registered_by) {
  if (static_cast<std::intptr_t>(::getpid()) == reinterpret_cast<std::intptr_t>(registered_by)) return;
  std::cout.flush();
  std::clog.flush();
  std::fflush(nullptr);
  ::_exit(status);
}

} // namespace

void leave_forked_children() {
  [[maybe_unused]] static const int once =
      ::on_exit(leave_if_forked, reinterpret_cast<void*>(static_cast<std::intptr_t>(::getpid())));
}

} // namespace dormouse
