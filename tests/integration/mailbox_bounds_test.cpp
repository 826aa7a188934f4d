// What is on the disk and waits for its object does not fill the memory (R19), and neither does what an abort
// ends. Nothing here is timed: bytes and messages are counted.

#include "gate.hpp"
#include "storage_valve.hpp"
#include "upstream_fixture.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace dormouse::test::mailbox_bounds_test {

using namespace std::chrono_literals;

namespace {

/// Handles what comes when the test lets it.
class reader : public durable_object {
public:
  static inline gate slow;
  static inline std::atomic<int> refusals{0};

  void ask(std::string url, int count) {
    for (int i = 0; i < count; ++i)
      fetch(url + std::to_string(i) + "?bytes=50000").then<&reader::on_page>(i);
  }
  void ask_later(std::string url, int count, abort_signal signal) {
    for (int i = 0; i < count; ++i)
      fetch(url + std::to_string(i), {.delay = 24h, .signal = signal}).then<&reader::on_page>(i);
  }
  void give_up(abort_controller which) { abort(which, "enough"); }
  void on_page(fetch_result result, int number) {
    slow.pass();
    if (refusals > 0) {
      --refusals;
      throw std::runtime_error("not now");
    }
    if (!result) {
      failed_ += result.error().code == fetch_errc::aborted ? 1 : 0;
      return;
    }
    pages_ += result->text().size() == 50'000 ? 1 : 0;
    numbers_ += number;
  }
  void take(std::string text) {
    slow.pass();
    texts_.push_back(text.substr(0, 4));
    bytes_ += text.size();
  }
  int pages() const { return pages_; }
  int numbers() const { return numbers_; }
  int failed() const { return failed_; }
  std::uint64_t bytes() const { return bytes_; }
  std::vector<std::string> texts() const { return texts_; }

  /// Sends so much to another reader.
  void send_to(std::string whom, int count) {
    for (int i = 0; i < count; ++i)
      send<&reader::take>(object_id<reader>(whom), std::to_string(1'000 + i) + std::string(50'000, 's'));
  }

  template <class Archive> void serialize(Archive& ar) { ar(pages_, numbers_, failed_, bytes_, texts_); }
  using methods = dormouse::methods<
      "READER", method<"ask", &reader::ask>, method<"ask_later", &reader::ask_later>,
      method<"give_up", &reader::give_up>, method<"on_page", &reader::on_page>, method<"take", &reader::take>,
      method<"pages", &reader::pages>, method<"numbers", &reader::numbers>, method<"failed", &reader::failed>,
      method<"bytes", &reader::bytes>, method<"texts", &reader::texts>, method<"send_to", &reader::send_to>>;

private:
  int pages_ = 0;
  int numbers_ = 0;
  int failed_ = 0;
  std::uint64_t bytes_ = 0;
  std::vector<std::string> texts_;
};

struct fixture : upstream_fixture {
  std::shared_ptr<storage_valve> valve = std::make_shared<storage_valve>();

  fixture() { reader::refusals = 0; }

  options chosen() const {
    auto out = settings();
    out.idle_after = 1h;
    return out;
  }
};

} // namespace

TEST_CASE_FIXTURE(fixture, "R19: results that wait for a slow handler stay on the disk") {
  auto with = chosen();
  with.max_mailbox_bytes = 500'000;
  runtime running(with);
  running.define<reader>();
  auto it = running.get<reader>("a");
  constexpr int pages = 200;
  {
    gate::closing held(reader::slow);
    value_of(it.call<&reader::ask>(at("/k/"), pages));
    REQUIRE(eventually([&] { return running.stats().responses_stored == pages; }));
    REQUIRE(eventually([&] { return running.stats().pending_messages >= pages; }));
    CHECK(running.stats().mailbox_bytes <= 500'000);
    CHECK(running.stats().mailbox_bytes > 400'000);
    reader::refusals = 3; // what is tried again is whole again
  }
  REQUIRE(eventually([&] { return running.stats().delivered == pages; }));
  CHECK(value_of(it.call<&reader::pages>()) == pages);
  CHECK(value_of(it.call<&reader::numbers>()) == pages * (pages - 1) / 2);
  CHECK(running.stats().mailbox_bytes == 0);
}

TEST_CASE_FIXTURE(fixture, "R19: posts and calls of objects that wait stay on the disk, and in order") {
  auto with = chosen();
  with.max_mailbox_bytes = 500'000;
  runtime running(with);
  running.define<reader>();
  auto it = running.get<reader>("a");
  std::vector<std::string> expected;
  {
    gate::closing held(reader::slow);
    value_of(running.get<reader>("b").call<&reader::send_to>(std::string("a"), 40));
    for (int i = 0; i < 40; ++i)
      value_of(it.post<&reader::take>(std::to_string(2'000 + i) + std::string(50'000, 'p')));
    REQUIRE(eventually([&] { return running.stats().pending_messages >= 80; }));
    CHECK(running.stats().mailbox_bytes <= 500'000);
    for (int i = 0; i < 80; ++i)
      expected.push_back(std::to_string(i < 40 ? 1'000 + i : 2'000 + i - 40));
  }
  CHECK(eventually([&] { return value_of(it.call<&reader::texts>()).size() == 80; }));
  CHECK(value_of(it.call<&reader::texts>()) == expected);
  CHECK(value_of(it.call<&reader::bytes>()) == 80 * 50'004);
  CHECK(running.stats().mailbox_bytes == 0);
}

TEST_CASE_FIXTURE(fixture, "R19: what an earlier process left in inboxes does not fill the memory") {
  {
    runtime running(chosen());
    running.define<reader>();
    auto it = running.get<reader>("a");
    gate::closing held(reader::slow);
    value_of(it.call<&reader::ask>(at("/k/"), 100));
    REQUIRE(eventually([&] { return running.stats().responses_stored == 100; }));
    reader::refusals = 1; // the one that is being handled is tried again, by the next process
  }
  reader::refusals = 0;
  auto with = chosen();
  with.max_mailbox_bytes = 500'000;
  runtime running(with);
  gate::closing held(reader::slow);
  running.define<reader>();
  REQUIRE(eventually([&] { return running.stats().pending_messages >= 90; }));
  CHECK(running.stats().mailbox_bytes <= 500'000);
  reader::slow.open();
  auto it = running.get<reader>("a");
  CHECK(eventually([&] { return value_of(it.call<&reader::pages>()) == 100; }));
}

TEST_CASE_FIXTURE(fixture, "R19: an abort of many fetches ends them in lots, as the disk takes their ends") {
  auto with = chosen();
  with.max_unwritten_bytes = 256 * 1024;
  runtime running(with, {.wrap_engine = valve->wrap(), .wrap_transport = {}});
  running.define<reader>();
  auto it = running.get<reader>("a");
  constexpr int fetches = 4'000;
  abort_controller all;
  for (int i = 0; i < 8; ++i)
    value_of(it.call<&reader::ask_later>(at("/k/"), fetches / 8, all.signal()));
  CHECK(running.stats().queued_fetches == fetches);
  valve->hold_writes([](const write_op& op) { return op.key.front() == 'I'; });
  {
    gate::closing held(valve->writes);
    value_of(it.call<&reader::give_up>(all));
    REQUIRE(eventually([&] { return running.stats().unwritten_bytes >= 256 * 1024; }));
    CHECK(running.stats().unwritten_bytes < 2 * 256 * 1024);
    CHECK(running.stats().aborted < fetches / 2);
    // Others are served meanwhile, as far as the disk has to do with it: the dispatcher is not busy.
    CHECK(running.stats().queued_fetches == fetches);
  }
  CHECK(eventually([&] { return running.stats().delivered == fetches; }, 60s));
  CHECK(running.stats().aborted == fetches);
  CHECK(running.stats().queued_fetches == 0);
  CHECK(value_of(it.call<&reader::failed>()) == fetches);
}

TEST_CASE_FIXTURE(fixture,
                  "R19: an abort that nobody has acted on yet is gone through in lots at the start") {
  constexpr int fetches = 3'000;
  abort_controller all;
  {
    runtime running(chosen(), {.wrap_engine = valve->wrap(), .wrap_transport = {}});
    running.define<reader>();
    auto it = running.get<reader>("a");
    for (int i = 0; i < 6; ++i)
      value_of(it.call<&reader::ask_later>(at("/k/"), fetches / 6, all.signal()));
    valve->fail_writes([](const write_op& op) { return op.key.front() == 'I'; });
    value_of(it.call<&reader::give_up>(all));
    REQUIRE(eventually([&] { return valve->failed() > 0; }));
  }
  valve->heal();
  valve->hold_writes([](const write_op& op) { return op.key.front() == 'I'; });
  auto with = chosen();
  with.max_unwritten_bytes = 256 * 1024;
  gate::closing held(valve->writes);
  runtime running(with, {.wrap_engine = valve->wrap(), .wrap_transport = {}});
  REQUIRE(eventually([&] { return running.stats().unwritten_bytes >= 256 * 1024; }));
  CHECK(running.stats().unwritten_bytes < 2 * 256 * 1024);
  valve->writes.open();
  running.define<reader>();
  CHECK(eventually([&] { return running.stats().delivered == fetches; }, 60s));
  CHECK(value_of(running.get<reader>("a").call<&reader::failed>()) == fetches);
}

} // namespace dormouse::test::mailbox_bounds_test
