#pragma once

/// Objects that kill the process, in every place where their code runs and in every way that a process dies,
/// and those beside them that do their work.

#include "crash/crash_settings.hpp"

#include <dormouse/dormouse.hpp>

#include <sys/resource.h>
#include <sys/types.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace dormouse::test {

enum class death : std::uint8_t { none, segfault, abort, overflow, terminate, memory, killed, hang, thread };

/// How this process dies of poison.
inline death& way_to_die() {
  static death way = death::none;
  return way;
}

inline std::uint64_t overflow(std::uint64_t depth) { // NOLINT: that is the point
  volatile char frame[4'096];
  frame[depth % sizeof frame] = static_cast<char>(depth);
  return depth == ~std::uint64_t{0} ? 0 : overflow(depth + 1) + static_cast<std::uint64_t>(frame[0]);
}

/// Until there is none, in a place that no exception may leave.
inline void take_all_memory() noexcept {
  std::ifstream statm("/proc/self/statm");
  rlim_t pages = 0;
  statm >> pages;
  const rlim_t room = rlim_t{256} << 20U;
  const rlim_t bytes = pages * static_cast<rlim_t>(::sysconf(_SC_PAGESIZE)) + room;
  const rlimit limit{bytes, bytes};
  ::setrlimit(RLIMIT_AS, &limit);
  std::vector<std::unique_ptr<char[]>> taken; // NOLINT: that is the point
  for (;;)
    taken.push_back(std::make_unique<char[]>(std::size_t{4} << 20U)); // NOLINT
}

inline void take_poison() {
  int* volatile nowhere = nullptr;
  switch (way_to_die()) {
  case death::none:
    return;
  case death::segfault:
    *nowhere = 1; // NOLINT: that is the point
    return;
  case death::abort:
    std::abort();
  case death::overflow:
    if (overflow(0) == 1) std::abort();
    return;
  case death::terminate:
    std::terminate();
  case death::memory:
    return take_all_memory();
  case death::killed: // as by the kernel when there is no memory
    ::kill(::getpid(), SIGKILL);
    return;
  case death::thread: // in one that the turn has started
    std::thread([] { std::abort(); }).join();
    return;
  case death::hang: // until the process ends
    for (;;)
      ::pause();
  }
}

inline options poison_options(const std::filesystem::path& directory) {
  auto out = crash_options(directory);
  out.min_schedule_interval = std::chrono::milliseconds(1);
  if (way_to_die() == death::hang) {
    out.max_turn = std::chrono::milliseconds(500); // others stay below it on a busy machine
    out.on_stuck_turn = stuck_turn_policy::abort;
  }
  return out;
}

/// The one with the poison.
class victim : public durable_object {
public:
  void eat() { take_poison(); }
  void ask(std::string url) { fetch(std::move(url)).then<&victim::on_result>(); }
  void on_result(fetch_result) { take_poison(); }
  static task<void> brood(task_context<victim> self) {
    co_await self.sleep_for(std::chrono::milliseconds(1));
    take_poison();
  }
  void hatch() { start<&victim::brood>(); }
  void plan() { schedule<&victim::on_time>({.at = every(std::chrono::milliseconds(50)), .name = "beat"}); }
  void on_time() { take_poison(); }
  std::uint32_t work() { return ++works_; }

  template <class Archive> void serialize(Archive& ar) { ar(works_); }

  using methods = dormouse::methods<
      "VICTIM", dormouse::method<"eat", &victim::eat>, dormouse::method<"ask", &victim::ask>,
      dormouse::method<"on_result", &victim::on_result>, dormouse::method<"brood", &victim::brood>,
      dormouse::method<"hatch", &victim::hatch>, dormouse::method<"plan", &victim::plan>,
      dormouse::method<"on_time", &victim::on_time>, dormouse::method<"work", &victim::work>>;

private:
  std::uint32_t works_ = 0;
};

/// Poison in its `on_wake`, and a schedule that wakes it.
class sleeper : public durable_object {
public:
  void on_wake() override {
    if (is_armed_) take_poison();
  }
  void arm() {
    is_armed_ = true;
    schedule<&sleeper::on_time>(every(std::chrono::milliseconds(50)));
    hibernate();
  }
  void on_time() {}
  std::uint32_t work() { return ++works_; }

  template <class Archive> void serialize(Archive& ar) { ar(is_armed_, works_); }

  using methods = dormouse::methods<"SLEEPER", dormouse::method<"arm", &sleeper::arm>,
                                    dormouse::method<"on_time", &sleeper::on_time>,
                                    dormouse::method<"work", &sleeper::work>>;

private:
  bool is_armed_ = false;
  std::uint32_t works_ = 0;
};

/// The same in its destructor.
class wreck : public durable_object {
public:
  ~wreck() override {
    if (is_armed_) take_poison();
  }
  void arm() {
    is_armed_ = true;
    schedule<&wreck::on_time>(every(std::chrono::milliseconds(50)));
    hibernate();
  }
  void on_time() { hibernate(); }
  std::uint32_t work() { return ++works_; }

  template <class Archive> void serialize(Archive& ar) { ar(is_armed_, works_); }

  using methods =
      dormouse::methods<"WRECK", dormouse::method<"arm", &wreck::arm>,
                        dormouse::method<"on_time", &wreck::on_time>, dormouse::method<"work", &wreck::work>>;

private:
  bool is_armed_ = false;
  std::uint32_t works_ = 0;
};

inline constexpr std::uint64_t worker_count = 8;

inline std::string worker_id(std::uint64_t index) { return "w" + std::to_string(index); }

/// Does a bit of everything, without end.
class worker : public durable_object {
public:
  void on_wake() override { ++wakes_; }
  void begin() {
    ++jobs_;
    schedule<&worker::on_time>(std::chrono::milliseconds(1));
    start<&worker::labour>();
  }
  void on_time() { ++ticks_; }
  void note() { ++notes_; }
  static task<void> labour(task_context<worker> self) {
    co_await self.sleep_for(std::chrono::milliseconds(1));
    co_await self.call<&worker::note>();
  }
  std::uint64_t jobs() const { return jobs_; }
  std::uint64_t ticks() const { return ticks_; }
  std::uint64_t notes() const { return notes_; }

  template <class Archive> void serialize(Archive& ar) { ar(wakes_, jobs_, ticks_, notes_); }

  using methods =
      dormouse::methods<"WORKER", dormouse::method<"begin", &worker::begin>,
                        dormouse::method<"on_time", &worker::on_time>,
                        dormouse::method<"note", &worker::note>, dormouse::method<"labour", &worker::labour>,
                        dormouse::method<"jobs", &worker::jobs>, dormouse::method<"ticks", &worker::ticks>,
                        dormouse::method<"notes", &worker::notes>>;

private:
  std::uint64_t wakes_ = 0, jobs_ = 0, ticks_ = 0, notes_ = 0;
};

/// Everybody hibernates and wakes all the time.
inline options worker_options(const std::filesystem::path& directory) {
  auto out = poison_options(directory);
  out.idle_after = std::chrono::milliseconds(0);
  out.task_results_kept_for = std::chrono::milliseconds(0); // each one kept is a schedule
  return out;
}

} // namespace dormouse::test
