// What grows with what is asked of a runtime has a bound, and costs what was changed (R19). Nothing here is
// timed: bytes, messages and turns are counted.

#include "eventually.hpp"
#include "outcome.hpp"
#include "storage_valve.hpp"

#include <dormouse/dormouse.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <future>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace dormouse::test::memory_bounds_test {

using namespace std::chrono_literals;

namespace {

constexpr std::size_t kib = 1024;

/// Its state is as large as it is told.
class vault : public durable_object {
public:
  static inline std::atomic<int> turns{0};

  void fill(std::uint64_t bytes) {
    ++turns;
    held_.assign(bytes, 'v');
  }
  std::uint64_t size() const { return held_.size(); }

  template <class Archive> void serialize(Archive& ar) { ar(held_); }
  using methods = dormouse::methods<"VAULT", method<"fill", &vault::fill>, method<"size", &vault::size>>;

private:
  std::string held_;
};

/// Counts how often its state is written.
class ledger : public durable_object {
public:
  static inline std::atomic<int> saved{0};
  static inline std::atomic<int> begun{0};

  void fill(std::uint64_t pieces) {
    pieces_.assign(pieces, std::string(100, 'p'));
    start<&ledger::child>();
  }
  int add(int number) {
    sum_ += number;
    return sum_;
  }
  /// Leaves something of each kind behind, and throws.
  int spoil(std::string key) {
    sum_ += 1'000'000;
    pieces_.emplace_back("spoilt");
    storage().put(key, std::string("spoilt"));
    storage().put("before", std::string("spoilt"));
    browser().set_cookie(key, "1", {.url = "https://example.com/"});
    schedule<&ledger::tick>(24h, key);
    throw std::runtime_error("spoilt " + key);
  }
  int empty_and_spoil(std::string key) {
    storage().erase_all();
    return spoil(std::move(key));
  }
  void note(std::string key) {
    storage().put(key, std::string("noted"));
    browser().set_cookie("noted", "1", {.url = "https://example.com/"});
    schedule<&ledger::tick>(24h, key);
  }
  int grow(std::uint64_t pieces) {
    pieces_.resize(pieces_.size() + pieces, std::string(100, 'g'));
    return 0;
  }
  void tick(std::string) {}
  int sum() const { return sum_; }
  std::uint64_t pieces() const { return pieces_.size(); }
  std::vector<std::string> kept() const {
    std::vector<std::string> out;
    for (const auto& [key, value] : storage().list<std::string>())
      out.push_back(key + "=" + value);
    return out;
  }
  std::vector<std::string> jar() const {
    std::vector<std::string> out;
    for (const auto& each : cookies().cookies(0))
      out.push_back(each.name);
    return out;
  }
  std::uint64_t planned() const { return schedules().size(); }

  static task<int> child(task_context<ledger> self) {
    ++begun;
    co_return static_cast<int>(co_await self.random() % 1);
  }
  static task<int> sleeper(task_context<ledger> self, std::string with) {
    co_await self.sleep_for(24h);
    co_return static_cast<int>(with.size());
  }

  /// So many calls, and every one of `bad` fails.
  static task<int> add_many(task_context<ledger> self, int times, std::vector<int> bad) {
    int failures = 0;
    for (int i = 0; i < times; ++i) {
      try {
        if (std::find(bad.begin(), bad.end(), i) != bad.end()) {
          auto key = "bad" + std::to_string(i);
          co_await self.call<&ledger::spoil>(key);
        } else {
          co_await self.call<&ledger::add>(1);
        }
      } catch (const call_failed&) {
        ++failures;
      }
    }
    co_return failures;
  }

  static task<std::string> spoil_all(task_context<ledger> self) {
    std::string said;
    auto before = std::string("before");
    auto behind = std::string("behind");
    auto bad = std::string("bad");
    co_await self.call<&ledger::note>(before);
    try {
      co_await self.call<&ledger::spoil>(bad);
    } catch (const call_failed& e) {
      said += e.what();
    }
    try {
      co_await self.call<&ledger::empty_and_spoil>(bad);
    } catch (const call_failed& e) {
      said += e.what();
    }
    co_await self.call<&ledger::note>(behind);
    co_return said;
  }

  /// The last one makes the state larger than it may be.
  static task<std::string> grow_many(task_context<ledger> self, int times, std::uint64_t last) {
    for (int i = 0; i < times; ++i)
      co_await self.call<&ledger::add>(1);
    try {
      co_await self.call<&ledger::grow>(last);
    } catch (const call_failed& e) {
      co_return std::string(to_string(e.why().code));
    }
    co_return "grown";
  }

  template <class Archive> void serialize(Archive& ar) {
    if constexpr (Archive::is_saving::value) ++saved;
    ar(sum_, pieces_);
  }
  using methods = dormouse::methods<
      "LEDGER", method<"fill", &ledger::fill>, method<"add", &ledger::add>, method<"spoil", &ledger::spoil>,
      method<"empty_and_spoil", &ledger::empty_and_spoil>, method<"note", &ledger::note>,
      method<"grow", &ledger::grow>, method<"tick", &ledger::tick>, method<"sum", &ledger::sum>,
      method<"pieces", &ledger::pieces>, method<"kept", &ledger::kept>, method<"jar", &ledger::jar>,
      method<"planned", &ledger::planned>, method<"child", &ledger::child>,
      method<"sleeper", &ledger::sleeper>, method<"add_many", &ledger::add_many>,
      method<"spoil_all", &ledger::spoil_all>, method<"grow_many", &ledger::grow_many>>;

private:
  int sum_ = 0;
  std::vector<std::string> pieces_;
};

/// Storage whose writes go through one at a time, when the test says so.
class one_by_one {
public:
  void let_one() {
    std::lock_guard guard(mutex_);
    ++permits_;
    changed_.notify_all();
  }
  void let_all() {
    std::lock_guard guard(mutex_);
    is_open_ = true;
    changed_.notify_all();
  }
  void stop() {
    std::lock_guard guard(mutex_);
    is_open_ = false;
  }
  void pass() {
    std::unique_lock lock(mutex_);
    ++waiting_;
    changed_.wait(lock, [this] { return is_open_ || permits_ > 0; });
    if (!is_open_) --permits_;
    --waiting_;
  }
  bool has_waiting() {
    std::lock_guard guard(mutex_);
    return waiting_ > 0 && permits_ == 0;
  }

  static auto wrap(const std::shared_ptr<one_by_one>& self) {
    return [self](std::unique_ptr<storage_engine> inner) -> std::unique_ptr<storage_engine> {
      return std::make_unique<engine>(self, std::move(inner));
    };
  }

private:
  class engine final : public storage_engine {
  public:
    engine(std::shared_ptr<one_by_one> by, std::unique_ptr<storage_engine> inner)
        : by_(std::move(by)), inner_(std::move(inner)) {}
    expected<std::optional<std::string>> get(std::string_view key) override { return inner_->get(key); }
    expected<void> write(std::span<const write_set* const> sets) override {
      by_->pass();
      return inner_->write(sets);
    }
    std::unique_ptr<row_cursor> scan(std::string_view from, std::string_view to) override {
      return inner_->scan(from, to);
    }
    std::unique_ptr<row_cursor> scan_back(std::string_view from, std::string_view to) override {
      return inner_->scan_back(from, to);
    }

  private:
    std::shared_ptr<one_by_one> by_;
    std::unique_ptr<storage_engine> inner_;
  };

  std::mutex mutex_;
  std::condition_variable changed_;
  int permits_ = 0;
  int waiting_ = 0;
  bool is_open_ = true;
};

struct fixture {
  test::scratch_directory directory;
  std::shared_ptr<test::storage_valve> valve = std::make_shared<test::storage_valve>();

  fixture() {
    vault::turns = 0;
    ledger::saved = 0;
    ledger::begun = 0;
  }

  options settings() const { return {.directory = directory.path(), .idle_after = 1h}; }
  std::unique_ptr<runtime> start(const options& chosen) const {
    auto made = std::make_unique<runtime>(chosen, ports{.wrap_engine = valve->wrap(), .wrap_transport = {}});
    made->define<vault>();
    made->define<ledger>();
    return made;
  }
};

} // namespace

TEST_CASE_FIXTURE(fixture, "R19: what waits for the disk counts as pending and in bytes, and pushes back") {
  auto chosen = settings();
  chosen.max_pending_messages = 50;
  chosen.max_unwritten_bytes = 2'048 * kib;
  auto running = start(chosen);
  constexpr std::size_t objects = 10;
  std::vector<std::future<void>> fills;
  {
    test::gate::closing held(valve->writes);
    for (std::size_t i = 0; i < 200; ++i) {
      auto it = running->get<vault>(std::to_string(i % objects));
      fills.push_back(it.call<&vault::fill>(std::uint64_t{256 * kib}));
    }
    // Those that found room, until their commits are durable: that is never.
    REQUIRE(eventually([&] { return running->stats().overloaded == 150; }));
    REQUIRE(eventually([&] { return running->stats().unwritten_bytes >= 2'048 * kib; }));
    const auto now = running->stats();
    CHECK(now.pending_messages >= 50);
    CHECK(now.pending_messages <= 50 + objects); // handed over, and not counted off where they came from yet
    CHECK(now.unwritten_bytes < 2'048 * kib + objects * 260 * kib); // one more of each object at most
    CHECK(now.active_bytes >= now.unwritten_bytes);
    CHECK(vault::turns < 2'048 / 256 + static_cast<int>(objects) + 1);
  }
  std::size_t done = 0;
  for (auto& each : fills) {
    try {
      value_of(std::move(each));
      ++done;
    } catch (const failure& e) {
      CHECK(e.code() == errc::overloaded);
    }
  }
  CHECK(done == 50);
  CHECK(eventually([&] { return running->stats().pending_messages == 0; }));
  CHECK(running->stats().unwritten_bytes == 0);
  CHECK(value_of(running->get<vault>("0").call<&vault::size>()) == 256 * kib);
}

TEST_CASE_FIXTURE(fixture, "R19: turns that are durable one after the other keep their order") {
  auto chosen = settings();
  chosen.max_unwritten_bytes = 1; // the disk is always behind
  auto running = start(chosen);
  auto it = running->get<ledger>("a");
  std::vector<std::future<int>> sums;
  for (int i = 0; i < 100; ++i)
    sums.push_back(it.call<&ledger::add>(1));
  for (int i = 0; i < 100; ++i)
    CHECK(value_of(std::move(sums[static_cast<std::size_t>(i)])) == i + 1);
  CHECK(value_of(it.call<&ledger::sum>()) == 100);
}

TEST_CASE_FIXTURE(fixture, "R19: messages of one object count until their commits are durable") {
  auto chosen = settings();
  chosen.max_mailbox_messages = 5;
  auto running = start(chosen);
  auto it = running->get<vault>("a");
  std::vector<std::future<void>> fills;
  {
    test::gate::closing held(valve->writes);
    for (int i = 0; i < 20; ++i)
      fills.push_back(it.call<&vault::fill>(std::uint64_t{10}));
    CHECK(running->stats().overloaded >= 14); // one may be between the two
    auto other = running->get<vault>("b");
    fills.push_back(other.call<&vault::fill>(std::uint64_t{10}));
  }
  value_of(std::move(fills.back()));
}

TEST_CASE_FIXTURE(fixture, "R16: tasks that have ended are forgotten while others are in flight") {
  auto steps = std::make_shared<one_by_one>();
  runtime running(settings(), {.wrap_engine = one_by_one::wrap(steps), .wrap_transport = {}});
  running.define<ledger>();
  auto it = running.get<ledger>("a");
  CHECK(value_of(it.call<&ledger::add>(1)) == 1);
  steps->stop();
  auto last = it.call<&ledger::child>();
  for (int round = 0; round < 60; ++round) {
    REQUIRE(eventually([&] { return steps->has_waiting(); }));
    const auto bytes = running.stats().unwritten_bytes;
    auto next = it.call<&ledger::child>();
    REQUIRE(eventually([&] { return running.stats().unwritten_bytes > bytes; })); // never at rest
    steps->let_one();
    CHECK(value_of(std::move(last)) == 0);
    last = std::move(next);
    CHECK(running.stats().awake_tasks <= 3);
  }
  steps->let_all();
  CHECK(value_of(std::move(last)) == 0);
}

TEST_CASE_FIXTURE(fixture, "R5: the bytes of an object's tasks are the sum of those that are there") {
  auto running = start(settings());
  auto it = running->get<ledger>("a");
  CHECK(value_of(it.call<&ledger::add>(1)) == 1);
  const auto before = running->stats().active_bytes;
  std::vector<task_id> sleeping;
  for (int i = 0; i < 20; ++i)
    sleeping.push_back(value_of(it.start<&ledger::sleeper>(std::string(10'000, 's'))));
  CHECK(running->stats().awake_tasks >= 20);
  const auto with_all = running->stats().active_bytes;
  CHECK(with_all > before + 20 * 10'000);
  CHECK(with_all < before + 20 * 12'000);
  for (int i = 0; i < 10; ++i)
    CHECK(value_of(running->tasks().cancel(sleeping[static_cast<std::size_t>(i)])));
  value_of(it.call<&ledger::add>(1));
  CHECK(running->stats().active_bytes < before + 10 * 12'000);
  CHECK(running->stats().active_bytes > before + 10 * 10'000);
  for (int i = 10; i < 20; ++i)
    CHECK(value_of(running->tasks().cancel(sleeping[static_cast<std::size_t>(i)])));
  value_of(it.call<&ledger::add>(1));
  CHECK(running->stats().active_bytes < before + 1'000);
  CHECK(eventually([&] {
    value_of(it.call<&ledger::add>(1));
    return running->stats().awake_tasks == 0;
  }));
}

TEST_CASE_FIXTURE(fixture, "R16: own calls that succeed do not cost the size of the state each") {
  auto running = start(settings());
  auto it = running->get<ledger>("a");
  value_of(it.call<&ledger::fill>(std::uint64_t{10'000})); // over 1 MiB
  ledger::saved = 0;
  CHECK(value_of(it.call<&ledger::add_many>(1'000, std::vector<int>{})) == 0);
  CHECK(ledger::saved < 10);
  CHECK(value_of(it.call<&ledger::sum>()) == 1'000);
}

TEST_CASE_FIXTURE(fixture,
                  "R16: an own call that fails among many leaves nothing, whatever the state's size") {
  auto running = start(settings());
  for (const std::uint64_t pieces : {1ULL, 10'000ULL}) {
    for (const auto& bad : {std::vector<int>{0}, std::vector<int>{500}, std::vector<int>{3, 500, 999},
                            std::vector<int>{10, 20, 30, 40, 50, 60, 70}}) {
      const int times = bad.back() < 100 ? 100 : 1'000;
      CAPTURE(pieces);
      CAPTURE(bad.size());
      auto it = running->get<ledger>(std::to_string(pieces) + "." + std::to_string(bad.front()) + "." +
                                     std::to_string(bad.size()));
      value_of(it.call<&ledger::fill>(pieces));
      ledger::saved = 0;
      const auto failures = static_cast<int>(bad.size());
      CHECK(value_of(it.call<&ledger::add_many>(times, bad)) == failures);
      if (pieces > 1 && bad.size() <= 3) CHECK(ledger::saved < 30);
      CHECK(value_of(it.call<&ledger::sum>()) == times - failures);
      CHECK(value_of(it.call<&ledger::pieces>()) == pieces);
      CHECK(value_of(it.call<&ledger::kept>()).empty());
      CHECK(value_of(it.call<&ledger::jar>()).empty());
      CHECK(value_of(it.call<&ledger::planned>()) == 0);
    }
  }
}

TEST_CASE_FIXTURE(fixture,
                  "R16: a task that catches a failing own call keeps what the others have done only") {
  auto running = start(settings());
  const std::vector<std::string> rows{"before=noted", "behind=noted"};
  for (const std::uint64_t pieces : {1ULL, 20'000ULL}) {
    CAPTURE(pieces);
    auto it = running->get<ledger>(std::to_string(pieces));
    value_of(it.call<&ledger::fill>(pieces));
    const auto said = value_of(it.call<&ledger::spoil_all>());
    CHECK(contains(said, "spoilt bad"));
    CHECK(value_of(it.call<&ledger::kept>()) == rows);
    CHECK(value_of(it.call<&ledger::jar>()) == std::vector<std::string>{"noted"});
    CHECK(value_of(it.call<&ledger::planned>()) == 2);
    CHECK(value_of(it.call<&ledger::pieces>()) == pieces);
    CHECK(value_of(it.call<&ledger::sum>()) == 0);
  }
}

TEST_CASE_FIXTURE(fixture, "R12: an own call behind many that makes the state too large fails by itself") {
  auto chosen = settings();
  chosen.max_state_bytes = 1'500'000;
  auto running = start(chosen);
  auto it = running->get<ledger>("a");
  value_of(it.call<&ledger::fill>(std::uint64_t{10'000}));
  CHECK(value_of(it.call<&ledger::grow_many>(100, std::uint64_t{10'000})) == "too_large");
  CHECK(value_of(it.call<&ledger::sum>()) == 100);
  CHECK(value_of(it.call<&ledger::pieces>()) == 10'000);
  CHECK(value_of(it.call<&ledger::grow_many>(100, std::uint64_t{10})) == "grown");
  CHECK(value_of(it.call<&ledger::pieces>()) == 10'010);
}

} // namespace dormouse::test::memory_bounds_test
