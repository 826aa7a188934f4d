#pragma once

/// Names turns that do not end (R23). It has a thread of its own: such turns may hold all others.

#include "host/runtime_core.hpp"

#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

namespace dormouse {

class turn_watch {
public:
  /// Throws `std::system_error` if there is no thread for it.
  explicit turn_watch(runtime_core& core);
  turn_watch(const turn_watch&) = delete;
  turn_watch& operator=(const turn_watch&) = delete;
  ~turn_watch();

private:
  void run();
  void look();

  runtime_core& core_;
  std::set<std::pair<std::size_t, std::uint32_t>> named_; ///< slot and turn, of those that run still
  std::mutex mutex_;
  std::condition_variable changed_;
  bool ends_ = false;
  std::thread thread_; ///< last: it uses the others
};

/// The turns that have been running for longer; at most 100.
std::vector<stuck_turn> stuck_turns(const runtime_core& core, std::chrono::milliseconds longer_than);

} // namespace dormouse
