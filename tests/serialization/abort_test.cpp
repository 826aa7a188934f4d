#include <dormouse/serialization/abort.hpp>
#include <dormouse/serialization/codec.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <set>
#include <string>
#include <vector>

namespace dormouse::test::abort_test {

using namespace std::chrono_literals;

namespace {

constexpr std::chrono::system_clock::time_point epoch{};

errc refused(std::chrono::milliseconds after) {
  try {
    (void)abort_signal::timeout(after, epoch);
  } catch (const failure& e) {
    CHECK(e.what_failed().message.find(std::to_string(after.count())) != std::string::npos);
    return e.code();
  }
  return {};
}

} // namespace

TEST_CASE("abort: a signal that nobody made never aborts") {
  const abort_signal signal;
  CHECK(signal.never());
  CHECK(signal.sources().empty());
  CHECK(signal.at_ms() == 0);
  CHECK(signal == abort_signal());
}

TEST_CASE("abort: a controller is unlike any other, and a copy is the same one") {
  std::set<abort_id> ids;
  for (int i = 0; i < 1000; ++i)
    ids.insert(abort_controller().id());
  CHECK(ids.size() == 1000);
  const abort_controller controller;
  const auto copy = controller; // NOLINT(performance-unnecessary-copy-initialization)
  CHECK(copy == controller);
  CHECK(copy.signal() == controller.signal());
  CHECK_FALSE(controller == abort_controller());
  CHECK_FALSE(controller.signal().never());
  CHECK(controller.signal().sources() == std::vector{controller.id()});
  CHECK(controller.signal().at_ms() == 0);
}

TEST_CASE("abort: controllers and signals come back from their bytes as they were") {
  const abort_controller controller;
  const auto stored = decode<abort_controller>(encode(controller));
  REQUIRE(stored);
  CHECK(*stored == controller);
  for (const auto& signal : {abort_signal(), controller.signal(), abort_signal::timeout(5s),
                             abort_signal::any({controller.signal(), abort_signal::timeout(5s)})}) {
    const auto back = decode<abort_signal>(encode(signal));
    REQUIRE(back);
    CHECK(*back == signal);
  }
  const auto mark = decode<abort_mark>(encode(abort_mark{42, "why"}));
  REQUIRE(mark);
  CHECK(mark->time_ms == 42);
  CHECK(mark->reason == "why");
}

TEST_CASE("abort: a timeout is 1 ms to 366 days from the time that is passed") {
  CHECK(abort_signal::timeout(1ms, epoch).at_ms() == 1);
  CHECK(abort_signal::timeout(5s, epoch + 1h).at_ms() == 3'605'000);
  CHECK(abort_signal::timeout(24h * 366, epoch).at_ms() == 366LL * 86'400'000);
  CHECK_FALSE(abort_signal::timeout(1ms, epoch).never());
  for (auto after : {0ms, -1ms, std::chrono::milliseconds(24h * 366) + 1ms, std::chrono::milliseconds::max(),
                     std::chrono::milliseconds::min()})
    CHECK(refused(after) == errc::invalid_request);
  const auto before = std::chrono::system_clock::now() + 5s;
  const auto at =
      std::chrono::system_clock::time_point(std::chrono::milliseconds(abort_signal::timeout(5s).at_ms()));
  CHECK(at >= before - 1ms);
  CHECK(at <= std::chrono::system_clock::now() + 5s);
}

TEST_CASE("abort: any has all controllers, each once, in order, and the earliest time") {
  const abort_controller a;
  const abort_controller b;
  CHECK(abort_signal::any({}).never());
  CHECK(abort_signal::any({abort_signal(), abort_signal()}).never());
  CHECK(abort_signal::any({a.signal()}) == a.signal());
  const auto both = abort_signal::any({a.signal(), b.signal(), a.signal()});
  CHECK(both == abort_signal::any({b.signal(), a.signal()}));
  CHECK(both.sources().size() == 2);
  CHECK(std::is_sorted(both.sources().begin(), both.sources().end()));
  CHECK(abort_signal::any({both, abort_signal::any({b.signal()})}) == both);
  CHECK(abort_signal::any({abort_signal::timeout(3s, epoch), a.signal(), abort_signal::timeout(2s, epoch)})
            .at_ms() == 2000);
  CHECK(abort_signal::any({abort_signal::timeout(2s, epoch), a.signal(), abort_signal::timeout(3s, epoch)})
            .at_ms() == 2000);
}

TEST_CASE("R12: a signal hangs on 64 controllers at most") {
  auto signal = abort_controller().signal();
  for (std::size_t count = 2; count <= max_signal_sources; ++count)
    signal = abort_signal::any({signal, abort_controller().signal()});
  CHECK(signal.sources().size() == max_signal_sources);
  CHECK_NOTHROW(abort_signal::any({signal, signal}));
  try {
    (void)abort_signal::any({signal, abort_controller().signal()});
    FAIL("a signal of 65 controllers");
  } catch (const failure& e) {
    CHECK(e.code() == errc::invalid_request);
    CHECK(e.what_failed().message.find("65") != std::string::npos);
    CHECK(e.what_failed().message.find("64") != std::string::npos);
  }
}

} // namespace dormouse::test::abort_test
