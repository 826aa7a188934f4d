#include "eventually.hpp"
#include "gate.hpp"
#include "outcome.hpp"
#include "sanitized.hpp"

#include <dormouse/dormouse.hpp>

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <memory>
#include <semaphore>
#include <string>
#include <thread>
#include <vector>

namespace dormouse::test::hibernation_test {

using namespace std::chrono_literals;

namespace {

constexpr std::uint32_t stress_senders = 4;
constexpr std::uint32_t stress_objects = 16;

/// What reached the objects of the stress test, turns that left no durable trace included.
struct seen {
  std::array<std::array<std::atomic<std::uint32_t>, stress_senders>, stress_objects> last{};
  std::array<std::atomic<bool>, stress_objects> busy{};
  std::atomic<std::uint64_t> disorder{0};
  std::atomic<std::uint64_t> overlaps{0};
};
std::unique_ptr<seen> reached;

class ticker : public durable_object {
public:
  /// A committing turn.
  std::uint64_t tick(std::uint32_t object, std::uint32_t sender, std::uint32_t number) {
    note(object, sender, number);
    return ++ticks_;
  }
  /// A read-only turn.
  std::uint64_t look(std::uint32_t object, std::uint32_t sender, std::uint32_t number) const {
    note(object, sender, number);
    return ticks_;
  }
  std::uint64_t ticks() const { return ticks_; }

  template <class Archive> void serialize(Archive& ar) { ar(ticks_); }

  using methods = dormouse::methods<"TICKER", method<"tick", &ticker::tick>, method<"look", &ticker::look>,
                                    method<"ticks", &ticker::ticks>>;

private:
  static void note(std::uint32_t object, std::uint32_t sender, std::uint32_t number) {
    if (reached->busy[object].exchange(true)) ++reached->overlaps;
    if (reached->last[object][sender].exchange(number) != number - 1) ++reached->disorder;
    reached->busy[object] = false;
  }

  std::uint64_t ticks_ = 0;
};

std::atomic<int> favourite_wakes{0};

class sleeper : public durable_object {
public:
  void on_wake() override {
    if (instance_id() == "favourite") ++favourite_wakes;
  }
  void fill(std::uint64_t bytes) { text_.assign(bytes, 'x'); }
  std::uint64_t size() const { return text_.size(); }
  std::uint64_t fill_and_leave(std::uint64_t bytes) {
    fill(bytes);
    hibernate();
    return bytes;
  }

  template <class Archive> void serialize(Archive& ar) { ar(text_); }

  using methods = dormouse::methods<"SLEEPER", method<"fill", &sleeper::fill>, method<"size", &sleeper::size>,
                                    method<"fill_and_leave", &sleeper::fill_and_leave>>;

private:
  std::string text_;
};

bool sleeps(const runtime& running) {
  return eventually([&running] { return running.stats().active_objects == 0; });
}

} // namespace

TEST_CASE("R5: an object hibernates when it has been idle, uses nothing then, and wakes with its state") {
  test::scratch_directory directory;
  runtime running({.directory = directory.path(), .idle_after = 30ms});
  running.define<sleeper>();
  auto object = running.get<sleeper>("x");
  for (std::uint64_t round = 1; round <= 3; ++round) {
    value_of(object.call<&sleeper::fill>(round));
    REQUIRE(sleeps(running));
    const auto stats = running.stats();
    CHECK(stats.active_bytes == 0);
    CHECK(stats.pending_messages == 0);
    CHECK(value_of(object.call<&sleeper::size>()) == round);
    REQUIRE(sleeps(running));
  }
  CHECK(running.stats().wakes >= 3);
  CHECK(running.stats().hibernations == running.stats().wakes);
}

TEST_CASE("R5: an object that asks to hibernates does so at once, and others stay") {
  test::scratch_directory directory;
  runtime running({.directory = directory.path(), .idle_after = 1h});
  running.define<sleeper>();
  value_of(running.get<sleeper>("stays").call<&sleeper::fill>(std::uint64_t{1}));
  CHECK(value_of(running.get<sleeper>("leaves").call<&sleeper::fill_and_leave>(std::uint64_t{2})) == 2);
  CHECK(eventually([&running] { return running.stats().hibernations == 1; }));
  CHECK(running.stats().active_objects == 1);
  CHECK(value_of(running.get<sleeper>("leaves").call<&sleeper::size>()) ==
        2); // awake again, and not asked to leave
  CHECK(running.stats().active_objects == 2);
}

TEST_CASE("R5: beyond max_active_objects the least recently used hibernate first") {
  constexpr std::size_t most = 400;
  test::scratch_directory directory;
  runtime running({.directory = directory.path(), .idle_after = 1h, .max_active_objects = most});
  running.define<sleeper>();
  favourite_wakes = 0;
  auto favourite = running.get<sleeper>("favourite");
  for (std::size_t i = 0; i < 2 * most; ++i) {
    value_of(running.get<sleeper>(std::to_string(i)).call<&sleeper::size>());
    if (i % 10 == 0) value_of(favourite.call<&sleeper::size>());
  }
  CHECK(eventually([&] {
    value_of(favourite.call<&sleeper::size>());
    return running.stats().active_objects <= most;
  }));
  CHECK(running.stats().active_objects > most / 2); // no more than had to
  CHECK(running.stats().hibernations >= most);
  CHECK(favourite_wakes == 1);
}

TEST_CASE("R5: beyond max_active_bytes objects hibernate") {
  constexpr std::size_t state_bytes = 64 * 1024;
  constexpr std::size_t most = 20 * state_bytes;
  test::scratch_directory directory;
  runtime running({.directory = directory.path(), .idle_after = 1h, .max_active_bytes = most});
  running.define<sleeper>();
  std::vector<std::future<void>> filled;
  for (int i = 0; i < 100; ++i)
    filled.push_back(running.get<sleeper>(std::to_string(i)).call<&sleeper::fill>(state_bytes));
  for (auto& each : filled)
    value_of(std::move(each));
  CHECK(eventually([&running] { return running.stats().active_bytes <= most; }));
  for (int i = 0; i < 100; ++i)
    CHECK(value_of(running.get<sleeper>(std::to_string(i)).call<&sleeper::size>()) == state_bytes);
  CHECK(eventually([&running] { return running.stats().active_bytes <= most; }));
  // What is counted is what is awake, whether a state grows or shrinks.
  value_of(running.get<sleeper>("0").call<&sleeper::fill>(std::uint64_t{10}));
  value_of(running.get<sleeper>("0").call<&sleeper::fill_and_leave>(std::uint64_t{100'000}));
  running.stop();
  CHECK(running.stats().active_bytes == 0);
  CHECK(running.stats().active_objects == 0);
}

TEST_CASE("R6: no message is lost or reordered while objects hibernate after every message") {
  constexpr std::uint32_t messages = test::sanitized ? 100'000 : 1'000'000;
  constexpr std::uint32_t per_sender_and_object = messages / stress_senders / stress_objects;
  constexpr std::uint32_t commits_every = 50;
  constexpr std::ptrdiff_t most_outstanding = 128; // of one sender
  reached = std::make_unique<seen>();
  test::scratch_directory directory;
  runtime running({.directory = directory.path(), .idle_after = 0ms});
  running.define<ticker>();
  std::atomic<std::uint64_t> answered{0};
  std::atomic<std::uint64_t> failed{0};
  std::vector<std::thread> threads;
  for (std::uint32_t sender = 0; sender < stress_senders; ++sender)
    threads.emplace_back([&running, &answered, &failed, sender] {
      std::counting_semaphore<most_outstanding> room(most_outstanding);
      const auto done = [&](const expected<std::uint64_t>& outcome) {
        ++(outcome ? answered : failed);
        room.release();
      };
      std::vector<object_ref<ticker>> objects;
      for (std::uint32_t object = 0; object < stress_objects; ++object)
        objects.push_back(running.get<ticker>(std::to_string(object)));
      for (std::uint32_t number = 1; number <= per_sender_and_object; ++number)
        for (std::uint32_t object = 0; object < stress_objects; ++object) {
          room.acquire();
          if (number % commits_every == 0)
            objects[object].async_call<&ticker::tick>(done, object, sender, number);
          else
            objects[object].async_call<&ticker::look>(done, object, sender, number);
        }
      for (std::ptrdiff_t i = 0; i < most_outstanding; ++i)
        room.acquire(); // until all are answered
    });
  for (auto& thread : threads)
    thread.join();
  CHECK(answered == std::uint64_t{per_sender_and_object} * stress_senders * stress_objects);
  CHECK(failed == 0);
  CHECK(reached->disorder == 0);
  CHECK(reached->overlaps == 0);
  for (std::uint32_t object = 0; object < stress_objects; ++object) {
    for (std::uint32_t sender = 0; sender < stress_senders; ++sender)
      CHECK(reached->last[object][sender] == per_sender_and_object);
    CHECK(value_of(running.get<ticker>(std::to_string(object)).call<&ticker::ticks>()) ==
          std::uint64_t{per_sender_and_object / commits_every} * stress_senders);
  }
  REQUIRE(sleeps(running));
  const auto stats = running.stats();
  CHECK(stats.hibernations == stats.wakes);
  CHECK(stats.pending_messages == 0);
  MESSAGE(answered.load(), " messages, ", stats.wakes, " wakes");
  CHECK(stats.wakes > messages / 1000); // it did hibernate all the time
}

} // namespace dormouse::test::hibernation_test
