#include "eventually.hpp"
#include "memory_engine.hpp"
#include "storage_valve.hpp"
#include "store/committer.hpp"

#include <doctest/doctest.h>

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace dormouse::test::committer_test {
namespace {

/// What was settled, in order.
class record {
public:
  struct line {
    std::string name;
    std::optional<errc> failed;

    friend bool operator==(const line&, const line&) = default;
  };

  void add(std::string name, const expected<void>& outcome) {
    std::lock_guard guard(mutex_);
    lines_.push_back({std::move(name), outcome ? std::nullopt : std::optional(outcome.error().code)});
  }

  std::vector<line> lines() const {
    std::lock_guard guard(mutex_);
    return lines_;
  }

private:
  mutable std::mutex mutex_;
  std::vector<line> lines_;
};

class commit final : public pending_commit {
public:
  commit(record& told, std::string name) : told_(told), name_(std::move(name)) {}
  void settle(const expected<void>& outcome) noexcept override { told_.add(name_, outcome); }

private:
  record& told_;
  std::string name_;
};

struct fixture {
  std::shared_ptr<test::storage_valve> valve = std::make_shared<test::storage_valve>();
  test::memory_engine* rows = nullptr;
  std::unique_ptr<storage_engine> engine;
  record told;
  std::optional<group_committer> committer;

  fixture() {
    auto memory = std::make_unique<test::memory_engine>();
    rows = memory.get();
    engine = valve->wrap()(std::move(memory));
    committer.emplace(*engine);
  }

  void submit(const std::string& name, std::shared_ptr<commit_gate> gate = nullptr) {
    auto next = std::make_unique<commit>(told, name);
    next->writes.push_back({name, "value"});
    next->gate = std::move(gate);
    committer->submit(std::move(next));
  }

  void submit_barrier(const std::string& name, std::shared_ptr<commit_gate> gate = nullptr) {
    auto next = std::make_unique<commit>(told, name);
    next->gate = std::move(gate);
    committer->submit(std::move(next));
  }

  bool settled(std::size_t count) {
    return eventually([this, count] { return told.lines().size() == count; });
  }
};

using lines = std::vector<record::line>;

} // namespace

TEST_CASE("group commit: what waits goes out as one write, and is settled in order") {
  fixture on;
  {
    test::gate::closing held(on.valve->writes);
    on.submit("first");
    REQUIRE(eventually([&on] { return on.valve->writes.waiting() == 1; }));
    for (int i = 0; i < 100; ++i)
      on.submit("later " + std::to_string(i));
    on.submit_barrier("barrier");
    CHECK(on.told.lines().empty());
    CHECK(on.rows->all().empty());
  }
  REQUIRE(on.settled(102));
  const auto told = on.told.lines();
  CHECK(told[0] == record::line{"first", {}});
  for (std::size_t i = 0; i < 100; ++i)
    CHECK(told[i + 1] == record::line{"later " + std::to_string(i), {}});
  CHECK(told[101] == record::line{"barrier", {}});
  CHECK(on.rows->batches() == std::vector<std::size_t>{1, 100});
  CHECK(on.committer->commits() == 101);
  CHECK(on.committer->syncs() == 2);
}

TEST_CASE("group commit: a burst of large values is cut into writes of bounded size") {
  fixture on;
  {
    test::gate::closing held(on.valve->writes);
    on.submit("first");
    REQUIRE(eventually([&on] { return on.valve->writes.waiting() == 1; }));
    for (int i = 0; i < 20; ++i) {
      auto next = std::make_unique<commit>(on.told, std::to_string(i));
      next->writes.push_back({std::to_string(i), std::string(std::size_t{3} << 20U, 'x')});
      on.committer->submit(std::move(next));
    }
  }
  REQUIRE(on.settled(21));
  std::size_t sets = 0;
  for (auto batch : on.rows->batches()) {
    CHECK(batch <= 3); // a write ends with the value that passes 8 MiB
    sets += batch;
  }
  CHECK(sets == 21);
}

TEST_CASE("group commit: a barrier on its own writes nothing") {
  fixture on;
  on.submit_barrier("barrier");
  REQUIRE(on.settled(1));
  CHECK(on.told.lines() == lines{{"barrier", {}}});
  CHECK(on.committer->syncs() == 0);
  CHECK(on.committer->commits() == 0);
}

TEST_CASE("R4: a failed write fails all that it carried, and nothing of it is there") {
  fixture on;
  on.valve->fail_writes();
  on.submit("a");
  REQUIRE(on.settled(1));
  CHECK(on.told.lines() == lines{{"a", errc::storage_error}});
  CHECK(on.rows->all().empty());
  CHECK(on.committer->commits() == 0);
  on.valve->heal();
  on.submit("b");
  REQUIRE(on.settled(2));
  CHECK(on.told.lines().back() == record::line{"b", {}});
  CHECK(on.rows->all().size() == 1);
}

TEST_CASE("R4: what comes behind a failed commit of the same gate fails unwritten, and other gates go on") {
  fixture on;
  auto mine = std::make_shared<commit_gate>();
  auto other = std::make_shared<commit_gate>();
  {
    test::gate::closing held(on.valve->writes);
    on.valve->fail_writes([](const write_op& op) { return op.key == "mine 1"; });
    on.submit("mine 1", mine);
    REQUIRE(eventually([&on] { return on.valve->writes.waiting() == 1; }));
    on.submit("mine 2", mine);
    on.submit("other 1", other);
    on.submit_barrier("read of mine", mine);
    on.submit_barrier("read of other", other);
    on.submit_barrier("read of nobody");
    on.submit("free");
  }
  REQUIRE(on.settled(7));
  CHECK(on.told.lines() == lines{{"mine 1", errc::storage_error},
                                 {"mine 2", errc::storage_error},
                                 {"other 1", {}},
                                 {"read of mine", errc::storage_error},
                                 {"read of other", {}},
                                 {"read of nobody", {}},
                                 {"free", {}}});
  CHECK(on.rows->all().count("mine 2") == 0);
  CHECK(on.rows->all().count("other 1") == 1);
  CHECK(mine->failed.load());
  CHECK_FALSE(other->failed.load());
  // The gate stays shut however much later; a new one is open.
  on.submit("mine 3", mine);
  on.submit("mine again", std::make_shared<commit_gate>());
  REQUIRE(on.settled(9));
  CHECK(on.told.lines()[7] == record::line{"mine 3", errc::storage_error});
  CHECK(on.told.lines()[8] == record::line{"mine again", {}});
}

TEST_CASE("R4: a read whose gate fails in the same write is not answered") {
  fixture on;
  auto mine = std::make_shared<commit_gate>();
  {
    test::gate::closing held(on.valve->writes);
    on.submit("first");
    REQUIRE(eventually([&on] { return on.valve->writes.waiting() == 1; }));
    on.valve->fail_writes([](const write_op& op) { return op.key == "mine"; });
    on.submit_barrier("read before",
                      mine); // it ran before the turn, but waits behind something: refusing it is safe
    on.submit("mine", mine);
    on.submit_barrier("read behind", mine);
  }
  REQUIRE(on.settled(4));
  CHECK(on.told.lines()[2] == record::line{"mine", errc::storage_error});
  CHECK(on.told.lines()[3] == record::line{"read behind", errc::storage_error});
}

TEST_CASE("R20: draining writes what waits, and what comes later is refused as stopped") {
  fixture on;
  for (int i = 0; i < 50; ++i)
    on.submit(std::to_string(i));
  on.committer->drain();
  CHECK(on.told.lines().size() == 50);
  CHECK(on.rows->all().size() == 50);
  on.submit("too late");
  CHECK(on.told.lines().back() == record::line{"too late", errc::stopped});
  CHECK(on.rows->all().size() == 50);
  on.committer->drain(); // again: nothing
}

} // namespace dormouse::test::committer_test
