#include "eventually.hpp"
#include "gate.hpp"
#include "outcome.hpp"
#include "storage_valve.hpp"

#include <dormouse/dormouse.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <future>
#include <memory>
#include <string>
#include <vector>

namespace dormouse::test::output_gate_test {

using namespace std::chrono_literals;

namespace {

/// Turns that ran, whatever became of them.
std::atomic<int> turns_run{0};
std::atomic<int> creations_run{0};

class account : public durable_object {
public:
  void on_create() override {
    ++creations_run;
    balance_ += 1000;
  }
  int deposit(int amount) {
    ++turns_run;
    return balance_ += amount;
  }
  int balance() const { return balance_; }
  void deposit_and_leave(int amount) {
    ++turns_run;
    balance_ += amount;
    hibernate();
  }
  void on_page(fetch_result) {}

  template <class Archive> void serialize(Archive& ar) { ar(balance_); }

  using methods =
      dormouse::methods<"ACCOUNT", method<"deposit", &account::deposit>, method<"balance", &account::balance>,
                        method<"deposit_and_leave", &account::deposit_and_leave>,
                        method<"on_page", &account::on_page>>;

private:
  int balance_ = 0;
};

struct fixture {
  test::scratch_directory directory;
  std::shared_ptr<test::storage_valve> valve = std::make_shared<test::storage_valve>();
  runtime running;
  object_ref<account> mine;

  fixture()
      : running({.directory = directory.path(), .allow = {"127.0.0.1"}},
                {.wrap_engine = valve->wrap(), .wrap_transport = {}}),
        mine(defined()) {
    value_of(mine.call<&account::deposit>(0)); // on_create and the first turn are durable
    turns_run = 0;
    creations_run = 0;
  }

  object_ref<account> defined() {
    running.define<account>();
    return running.get<account>("mine");
  }

  bool writes_wait() {
    return eventually([this] { return valve->writes.waiting() == 1; });
  }
};

} // namespace

TEST_CASE_FIXTURE(fixture, "R4: no reply before its commit is durable, and turns do not wait for commits") {
  std::vector<std::future<int>> deposits;
  std::future<int> read;
  {
    test::gate::closing held(valve->writes);
    deposits.push_back(mine.call<&account::deposit>(1));
    REQUIRE(writes_wait());
    for (int i = 0; i < 10; ++i)
      deposits.push_back(mine.call<&account::deposit>(1));
    read = mine.call<&account::balance>();
    REQUIRE(eventually([] { return turns_run == 11; })); // they ran, though not one of them is durable
    REQUIRE(eventually([this] { return running.stats().reads == 1; }));
    for (const auto& each : deposits)
      CHECK_FALSE(is_ready(each));
    CHECK_FALSE(is_ready(read));
    CHECK(running.stats().commits == 2); // those of the fixture
  }
  for (int i = 0; i < 11; ++i)
    CHECK(value_of(std::move(deposits[static_cast<std::size_t>(i)])) == 1001 + i);
  CHECK(value_of(std::move(read)) == 1011);
  CHECK(running.stats().commits == 13);
  CHECK(running.stats().syncs <= 4); // ten turns shared one
}

TEST_CASE_FIXTURE(
    fixture, "R4: a read of an object with nothing in flight is answered while another's commit is held") {
  auto other = running.get<account>("other");
  CHECK(value_of(other.call<&account::deposit>(5)) == 1005);
  test::gate::closing held(valve->writes);
  auto deposit = mine.call<&account::deposit>(1);
  REQUIRE(writes_wait());
  CHECK(value_of(other.call<&account::balance>()) == 1005);
  CHECK_FALSE(is_ready(deposit));
}

TEST_CASE_FIXTURE(fixture, "R4: when a commit fails every waiting caller gets storage_error and the object "
                           "goes back to its last durable state") {
  CHECK(value_of(mine.call<&account::deposit>(1)) == 1001);
  std::future<int> first;
  std::future<int> read;
  std::vector<std::future<int>> behind;
  {
    test::gate::closing held(valve->writes);
    first = mine.call<&account::deposit>(10);
    REQUIRE(writes_wait());
    read = mine.call<&account::balance>();
    for (int i = 0; i < 5; ++i)
      behind.push_back(mine.call<&account::deposit>(100));
    REQUIRE(eventually([] { return turns_run == 7; }));
    // Only the first write fails. What is behind it was computed from a state that never became durable.
    valve->fail_writes();
  }
  REQUIRE(eventually([this] { return valve->failed() == 1; }));
  valve->heal();
  CHECK(error_of(std::move(first)).code == errc::storage_error);
  CHECK(error_of(std::move(read)).code == errc::storage_error);
  for (auto& each : behind)
    CHECK(error_of(std::move(each)).code == errc::storage_error);
  CHECK(value_of(mine.call<&account::balance>()) == 1001);
  CHECK(value_of(mine.call<&account::deposit>(2)) == 1003);
  CHECK(running.stats().failed_commits == 6);
  CHECK(running.stats().failed_turns == 0);
  CHECK(creations_run == 0);
}

TEST_CASE_FIXTURE(fixture, "R4: while storage fails every commit fails, and afterwards all works again") {
  valve->fail_writes();
  for (int i = 0; i < 20; ++i)
    CHECK(error_of(mine.call<&account::deposit>(1)).code == errc::storage_error);
  CHECK(value_of(mine.call<&account::balance>()) == 1000); // a read of what is durable needs no write
  valve->heal();
  CHECK(value_of(mine.call<&account::deposit>(7)) == 1007);
  running.stop();
  runtime next({.directory = directory.path()});
  next.define<account>();
  CHECK(value_of(next.get<account>("mine").call<&account::balance>()) == 1007);
}

TEST_CASE_FIXTURE(fixture, "R4: an object whose first commit fails was never created") {
  auto fresh = running.get<account>("fresh");
  valve->fail_writes();
  CHECK(error_of(fresh.call<&account::deposit>(1)).code == errc::storage_error);
  CHECK(creations_run == 1);
  valve->heal();
  CHECK(value_of(fresh.call<&account::deposit>(1)) == 1001);
  CHECK(creations_run == 2);
}

TEST_CASE_FIXTURE(fixture,
                  "R4: a post is durable when its future says so, and did not happen when storage fails") {
  std::future<void> posted;
  {
    test::gate::closing held(valve->writes);
    posted = mine.post<&account::deposit>(1);
    REQUIRE(writes_wait());
    CHECK_FALSE(is_ready(posted));
    CHECK(turns_run == 0);
  }
  value_of(std::move(posted));
  CHECK(eventually([this] { return value_of(mine.call<&account::balance>()) == 1001; }));
  valve->fail_writes();
  CHECK(error_of(mine.post<&account::deposit>(100)).code == errc::storage_error);
  valve->heal();
  CHECK(value_of(mine.call<&account::deposit>(0)) == 1001);
}

TEST_CASE_FIXTURE(fixture,
                  "R4: a stored message whose turn does not commit is handled again, once in effect") {
  // The post itself is stored, the turn that handles it fails a few times.
  valve->fail_writes([](const write_op& op) { return op.key.front() == 'O'; });
  value_of(mine.post<&account::deposit>(1));
  REQUIRE(eventually([this] { return valve->failed() >= 2; }));
  CHECK(value_of(mine.call<&account::balance>()) == 1000);
  valve->heal();
  CHECK(eventually([this] { return value_of(mine.call<&account::balance>()) == 1001; }));
  CHECK(turns_run >= 3);
  CHECK(value_of(mine.call<&account::deposit>(0)) == 1001);
  CHECK(running.stats().dead_letters == 0);
}

TEST_CASE_FIXTURE(fixture,
                  "R4: a fetch from outside that cannot be stored fails, and is not counted as queued") {
  auto fetch = create_proxy_fetch(running.queue(), {.return_address = {"ACCOUNT", "mine"}});
  valve->fail_writes();
  const auto why = error_thrown_by([&fetch] { fetch("http://127.0.0.1:9/").then<&account::on_page>(); });
  CHECK(why.code == errc::storage_error);
  CHECK(running.stats().queued_fetches == 0);
  CHECK(running.stats().fetches == 0);
  CHECK(running.stats().attempts == 0);
}

TEST_CASE_FIXTURE(fixture, "R4: storage that cannot be read is not taken for damage") {
  valve->fail_reads('O');
  auto other = running.get<account>("other");
  for (const auto& why :
       {error_of(other.call<&account::deposit>(1)), error_of(other.call<&account::balance>())}) {
    CHECK(why.code == errc::storage_error);
    CHECK(test::contains(why.message, "ACCOUNT/other"));
  }
  value_of(other.post<&account::deposit>(1)); // waits in the inbox until the object can be read
  CHECK(running.stats().corrupt_objects.empty());
  valve->heal();
  CHECK(eventually([&other] { return value_of(other.call<&account::balance>()) == 1001; }));
  CHECK(running.stats().dead_letters == 0);
}

TEST_CASE_FIXTURE(fixture, "R5: an object does not hibernate while a commit of it is in flight") {
  std::future<void> left;
  std::future<int> read;
  {
    test::gate::closing held(valve->writes);
    left = mine.call<&account::deposit_and_leave>(1);
    REQUIRE(writes_wait());
    REQUIRE(eventually([] { return turns_run == 1; }));
    // Were it gone, this read would wake it with the state of before.
    read = mine.call<&account::balance>();
    REQUIRE(eventually([this] { return running.stats().reads == 1; }));
    CHECK(running.stats().active_objects == 1);
  }
  value_of(std::move(left));
  CHECK(value_of(std::move(read)) == 1001);
  CHECK(eventually([this] { return running.stats().active_objects == 0; }));
}

TEST_CASE_FIXTURE(fixture, "R20: stopping while storage fails ends, and loses nothing that was durable") {
  valve->fail_writes([](const write_op& op) { return op.key.front() == 'O'; });
  value_of(mine.post<&account::deposit>(1));
  REQUIRE(eventually([this] { return valve->failed() >= 1; }));
  running.stop();
  valve->heal();
  runtime next({.directory = directory.path()});
  next.define<account>();
  CHECK(
      eventually([&next] { return value_of(next.get<account>("mine").call<&account::balance>()) == 1001; }));
}

} // namespace dormouse::test::output_gate_test
