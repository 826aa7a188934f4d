#include "host/turn_watch.hpp"

#include "host/own_threads.hpp"

#include <dormouse/actors/user_code.hpp>

#include <fmt/format.h>
#include <pthread.h>
#include <spdlog/logger.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>

namespace dormouse {
namespace {

constexpr std::size_t most_listed = 100;

stuck_turn shown(const death_notes::long_one& each) {
  return {each.what.where, each.what.method, each.since};
}

} // namespace

turn_watch::turn_watch(runtime_core& core) : core_(core), thread_([this] { run(); }) {}

turn_watch::~turn_watch() {
  {
    std::lock_guard guard(mutex_);
    ends_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void turn_watch::run() {
  mark_own_thread();
  ::pthread_setname_np(::pthread_self(), "dormouse.watch");
  const auto interval =
      std::clamp(core_.settings.max_turn / 4, std::chrono::milliseconds(1), std::chrono::milliseconds(1'000));
  std::unique_lock lock(mutex_);
  while (!changed_.wait_for(lock, interval, [this] { return ends_; }))
    look();
}

void turn_watch::look() {
  core_.notes.forget_survived();
  std::set<std::pair<std::size_t, std::uint32_t>> now;
  for (const auto& each : core_.notes.running_for(core_.settings.max_turn)) {
    const auto [slot, is_new] = now.emplace(each.slot, each.turn);
    if (named_.contains(*slot)) continue;
    const auto text = fmt::format("{}.{} of object {} has been running for {} ms; the limit is "
                                  "options::max_turn = {} ms",
                                  each.what.where.binding, each.what.method, to_string(each.what.where),
                                  each.since.count(), core_.settings.max_turn.count());
    core_.log->error(text);
    if (core_.settings.observer)
      if (auto failed = run_user_code({.name = "fetch_observer::turn_stuck"},
                                      [&] { core_.settings.observer->turn_stuck(shown(each)); }))
        core_.note_thrown(core_.counts.thrown_by_observers, *failed);
    if (core_.settings.on_stuck_turn != stuck_turn_policy::abort) continue;
    core_.notes.blame(each, SIGABRT, text);
    core_.log->flush();
    std::abort();
  }
  named_ = std::move(now);
}

std::vector<stuck_turn> stuck_turns(const runtime_core& core, std::chrono::milliseconds longer_than) {
  std::vector<stuck_turn> out;
  for (const auto& each : core.notes.running_for(longer_than))
    if (out.size() < most_listed) out.push_back(shown(each));
  return out;
}

} // namespace dormouse
