// A runtime and the process around it: threads that come and go, forked children, and threads that the system
// does not give.

#include "eventually.hpp"
#include "gate.hpp"
#include "host/thread_check.hpp"
#include "outcome.hpp"
#include "sanitized.hpp"

#include <dormouse/dormouse.hpp>

#include <doctest/doctest.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

namespace dormouse::test::process_test {

using namespace std::chrono_literals;

namespace {

class tally : public durable_object {
public:
  void add() { ++count_; }
  std::uint64_t count() const { return count_; }
  template <class Archive> void serialize(Archive& ar) { ar(count_); }
  using methods = dormouse::methods<"TALLY", method<"add", &tally::add>, method<"count", &tally::count>>;

private:
  std::uint64_t count_ = 0;
};

gate* turnstile = nullptr;

class passer : public durable_object {
public:
  static inline std::atomic<int> total{0};

  void pass() {
    turnstile->pass();
    ++total;
    ++passed_;
  }
  int passed() const { return passed_; }
  template <class Archive> void serialize(Archive& ar) { ar(passed_); }
  using methods =
      dormouse::methods<"PASSER", method<"pass", &passer::pass>, method<"passed", &passer::passed>>;

private:
  int passed_ = 0;
};

/// A thread that does what it is told, and then lives until this does not.
class lingering_thread {
public:
  explicit lingering_thread(std::function<void()> work)
      : thread_([this, work = std::move(work)] {
          work();
          done_.set_value();
          leave_.get_future().wait();
        }) {}
  ~lingering_thread() {
    leave_.set_value();
    thread_.join();
  }
  bool is_done() { return done_.get_future().wait_for(10s) == std::future_status::ready; }

private:
  std::promise<void> done_;
  std::promise<void> leave_;
  std::thread thread_;
};

/// The status with which a forked child leaves; nothing if it does not.
std::optional<int> status_of_child(const std::function<int()>& work) {
  const auto child = ::fork();
  if (child == 0) ::_exit(work());
  int status = 0;
  if (!eventually([&] { return ::waitpid(child, &status, WNOHANG) == child; }, 10s)) {
    ::kill(child, SIGKILL);
    ::waitpid(child, &status, 0);
    return std::nullopt;
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

struct fixture {
  scratch_directory directory;

  std::optional<runtime> open() {
    std::optional<runtime> running(std::in_place, options{.directory = directory.path(), .proxy_workers = 1});
    running->define<tally>();
    return running;
  }
};

} // namespace

TEST_CASE_FIXTURE(fixture, "R20: a runtime is destroyed while threads live that have woken objects") {
  auto running = open();
  lingering_thread user([&] { value_of(running->get<tally>("a").call<&tally::add>()); });
  REQUIRE(user.is_done());
  lingering_thread last([&] { running.reset(); });
  CHECK(last.is_done());
}

TEST_CASE_FIXTURE(fixture,
                  "R20: a runtime is made on one thread and destroyed on another, and both live on") {
  std::optional<runtime> running;
  lingering_thread first([&] {
    running = open();
    value_of(running->get<tally>("a").call<&tally::add>());
  });
  REQUIRE(first.is_done());
  lingering_thread last([&] { running.reset(); });
  CHECK(last.is_done());
}

TEST_CASE_FIXTURE(fixture, "R20: a forked child destroys the runtime of its parent without a trace") {
  auto running = open();
  value_of(running->get<tally>("a").call<&tally::add>());
  CHECK(status_of_child([&] {
          running->stop();
          running.reset();
          return 7;
        }) == 7);
  value_of(running->get<tally>("a").call<&tally::add>());
  running.reset();
  running = open();
  CHECK(value_of(running->get<tally>("a").call<&tally::count>()) == 2);
}

TEST_CASE_FIXTURE(fixture, "R20: exit() in a forked child ends it with its status, and flushes its streams") {
  auto running = open();
  value_of(running->get<tally>("a").call<&tally::add>());
  const auto written = directory.path() / "written";
  const auto status = status_of_child([&] {
    auto* file = std::fopen(written.c_str(), "w");
    std::fputs("all", file); // in the stream's buffer
    std::exit(7);
    return 1;
  });
  CHECK(status == 7);
  std::string text;
  std::ifstream(written) >> text;
  CHECK(text == "all");
  value_of(running->get<tally>("a").call<&tally::add>());
}

TEST_CASE_FIXTURE(fixture, "R33: a runtime that is destroyed on one of its own threads ends on another") {
  const auto destroyed_by = [&](const std::function<void(std::shared_ptr<runtime>)>& how) {
    auto opened = open();
    auto running = std::make_shared<runtime>(std::move(*opened));
    how(std::move(running));
    CHECK(eventually( // its directory is free
        [&] {
          try {
            return value_of(open()->get<tally>("a").call<&tally::count>()) != 0;
          } catch (const failure&) {
            return false;
          }
        },
        20s));
  };
  SUBCASE("the one that settles its commits") {
    destroyed_by([](std::shared_ptr<runtime> last) {
      auto object = last->get<tally>("a");
      object.async_call<&tally::add>([last = std::move(last)](const expected<void>&) {});
    });
  }
  SUBCASE("one that runs its objects") {
    destroyed_by([](std::shared_ptr<runtime> last) {
      value_of(last->get<tally>("a").call<&tally::add>());
      auto object = last->get<tally>("a");
      object.async_call<&tally::count>([last = std::move(last)](const expected<std::uint64_t>&) {});
    });
  }
}

TEST_CASE_FIXTURE(fixture, "R33: stop() does not wait for what the program holds up outside of turns") {
  gate in_the_way;
  std::optional<gate::closing> closed(in_the_way);
  std::optional<runtime> running(std::in_place, options{.directory = directory.path(), .stop_grace = 50ms});
  running->define<tally>();
  running->get<tally>("a").async_call<&tally::add>([&](const expected<void>&) { in_the_way.pass(); });
  REQUIRE(eventually([&] { return in_the_way.waiting() == 1; }));
  auto stopping = std::async(std::launch::async, [&] { return running->stop(); });
  REQUIRE(stopping.wait_for(10s) == std::future_status::ready);
  CHECK_FALSE(value_of(std::move(stopping)).empty()); // not all has ended
  closed.reset();
  running.reset();
}

TEST_CASE_FIXTURE(fixture, "R33: what is on the disk is left to the next start, however much it is") {
  gate in_the_way;
  turnstile = &in_the_way;
  {
    std::optional<gate::closing> closed(in_the_way);
    runtime running({.directory = directory.path(), .proxy_workers = 1});
    running.define<passer>();
    for (int i = 0; i < 100; ++i)
      value_of(running.get<passer>("p").post<&passer::pass>());
    REQUIRE(eventually([&] { return in_the_way.waiting() == 1; }));
    auto stopping = std::async(std::launch::async, [&] { return running.stop(); });
    REQUIRE(eventually([&] { // it has begun
      auto reply = running.get<passer>("q").call<&passer::passed>();
      try {
        (void)value_of(std::move(reply));
        return false;
      } catch (const failure& why) {
        return why.code() == errc::stopped;
      }
    }));
    closed.reset();
    CHECK(value_of(std::move(stopping)).empty());
  }
  CHECK(passer::total < 100);
  runtime running({.directory = directory.path(), .proxy_workers = 1});
  running.define<passer>();
  CHECK(eventually([&] { return value_of(running.get<passer>("p").call<&passer::passed>()) == 100; }, 10s));
}

TEST_CASE_FIXTURE(fixture, "R32: a logger of the program's may throw anything") {
  struct thrower final : spdlog::sinks::base_sink<std::mutex> {
    void sink_it_(const spdlog::details::log_msg&) override { throw 42; }
    void flush_() override { throw 43; }
  };
  const auto before = spdlog::get("dormouse");
  spdlog::drop("dormouse");
  spdlog::register_logger(std::make_shared<spdlog::logger>("dormouse", std::make_shared<thrower>()));
  {
    options chosen{.directory = directory.path(), .max_turn = 10ms};
    runtime running(chosen);
    running.define<passer>();
    gate in_the_way;
    turnstile = &in_the_way;
    std::optional<gate::closing> closed(in_the_way);
    value_of(running.get<passer>("p").post<&passer::pass>());
    CHECK(eventually([&] { return !running.stats().stuck_turns.empty(); })); // which was told to the logger
    closed.reset();
    CHECK(eventually([&] { return value_of(running.get<passer>("p").call<&passer::passed>()) == 1; }));
  }
  spdlog::drop("dormouse");
  if (before) spdlog::register_logger(before);
}

TEST_CASE_FIXTURE(fixture, "threads that the system does not give are an error of the constructor") {
  if (sanitized) return; // a sanitizer has its shadow in the address space
  CHECK(check_threads(3));
  const auto status = status_of_child([this] {
    std::size_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    const rlim_t limit = pages * static_cast<rlim_t>(::sysconf(_SC_PAGESIZE)) + (rlim_t{16} << 20U);
    const rlimit address_space{limit, limit};
    if (::setrlimit(RLIMIT_AS, &address_space) != 0) return 1;
    try {
      runtime refused({.directory = directory.path(), .proxy_workers = 16});
    } catch (const failure& e) {
      const auto& why = e.what_failed();
      return why.code == errc::overloaded && contains(why.message, "threads and the system gives it") ? 0 : 2;
    } catch (...) {
      return 3;
    }
    return 4;
  });
  CHECK(status == 0);
  auto running = open();
  value_of(running->get<tally>("a").call<&tally::add>());
}

} // namespace dormouse::test::process_test
