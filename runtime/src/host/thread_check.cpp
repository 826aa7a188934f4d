#include "host/thread_check.hpp"

#include <fmt/format.h>

#include <condition_variable>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

namespace dormouse {

expected<void> check_threads(std::size_t wanted) {
  std::mutex mutex;
  std::condition_variable opened;
  bool open = false;
  std::vector<std::thread> made;
  made.reserve(wanted);
  std::optional<error> why;
  try {
    while (made.size() < wanted)
      made.emplace_back([&] {
        std::unique_lock lock(mutex);
        opened.wait(lock, [&] { return open; });
      });
  } catch (const std::exception& e) { // no thread, or no memory for one
    why = error{errc::overloaded,
                fmt::format("a runtime with these options needs {} threads and the system gives it {}: {} "
                            "(limits: pids.max of the control group, RLIMIT_NPROC, RLIMIT_AS; "
                            "options::scheduler_threads and options::proxy_workers make them fewer)",
                            wanted, made.size(), e.what())};
  }
  {
    std::lock_guard guard(mutex);
    open = true;
  }
  opened.notify_all();
  for (auto& each : made)
    each.join();
  if (why) return unexpected<error>(std::move(*why));
  return {};
}

} // namespace dormouse
