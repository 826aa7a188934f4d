// What the turns of an object see of its schedules while commits are in flight.

#include "eventually.hpp"
#include "host/runtime_core.hpp"
#include "memory_engine.hpp"
#include "schedule/schedule_book.hpp"

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace dormouse::test::schedule_book_test {
namespace {

struct fixture {
  test::scratch_directory directory;
  caf::actor_system_config config;
  caf::actor_system system{config};
  test::memory_engine* disk = nullptr;
  std::shared_ptr<manual_clock> clock = std::make_shared<manual_clock>();
  runtime_core core{system,
                    {.directory = directory.path(), .clock = clock},
                    ports{},
                    open(),
                    value_or_throw(url_policy::make({}))};
  address self{"THING", "a"};
  schedule_book book{core, self};
  std::uint64_t commits = 0;

  std::unique_ptr<store> open() {
    auto engine = std::make_unique<test::memory_engine>();
    disk = engine.get();
    return value_or_throw(store::open(std::move(engine), directory.path(), 1'000));
  }
  schedule_message one(const std::string& name = {}, std::int64_t in_ms = 1'000) const {
    schedule_message out;
    out.id.name = name;
    out.method = "m";
    out.tick_ms = clock->now_ms() + in_ms;
    return out;
  }
  /// The changes of a turn, not on disk yet.
  schedule_changes commit() { return book.take_changes(++commits); }
  void write(const schedule_changes& changes) {
    const write_set* sets[] = {&changes.writes};
    value_or_throw(disk->write(sets));
  }
  std::size_t rows(char kind) const {
    std::size_t count = 0;
    for (const auto& [key, value] : disk->all())
      count += key.front() == kind ? 1 : 0;
    return count;
  }
  std::size_t listed() { return value_or_throw(book.all(100)).size(); }
};

} // namespace

TEST_CASE_FIXTURE(
    fixture, "schedule book: what is not on disk yet is seen, and forgotten when its commit is settled") {
  const auto first = value_or_throw(book.add(one()));
  CHECK(value_or_throw(book.find(first)));
  const auto made = commit();
  CHECK(made.more == 1);
  CHECK(made.made == 1);
  CHECK(book.is_recent(first));
  book.forget(0);
  CHECK(value_or_throw(book.find(first)));
  CHECK(listed() == 1);
  CHECK(value_or_throw(book.cancel(first)));
  CHECK_FALSE(value_or_throw(book.cancel(first)));
  CHECK(listed() == 0);
  const auto cancelled = commit();
  CHECK(cancelled.more == -1);
  write(made);
  book.forget(1); // the second commit is in flight still, and what it does counts
  CHECK(book.is_recent(first));
  CHECK_FALSE(value_or_throw(book.find(first)));
  write(cancelled);
  book.forget(2);
  CHECK_FALSE(book.is_recent(first));
  CHECK_FALSE(value_or_throw(book.find(first)));
  CHECK(rows('H') == 0);
  CHECK(rows('W') == 0);
}

TEST_CASE_FIXTURE(fixture, "schedule book: what a turn makes and cancels writes nothing, and what is thrown "
                           "away is as if it had not been") {
  const auto first = value_or_throw(book.add(one("n")));
  CHECK(value_or_throw(book.cancel(first)));
  CHECK(book.changed());
  CHECK(commit().more == 0);
  write(commit());
  CHECK(rows('H') + rows('W') == 0);
  value_or_throw(book.add(one("n")));
  book.clear();
  CHECK_FALSE(book.changed());
  CHECK(listed() == 0);
}

TEST_CASE_FIXTURE(
    fixture,
    "schedule book: a name that is used again in one turn, and in the next, leaves one row of each kind") {
  value_or_throw(book.add(one("n", 1'000)));
  const auto second = value_or_throw(book.add(one("n", 2'000)));
  CHECK(value_or_throw(book.find({0, "n"}))->id == second);
  const auto made = commit();
  CHECK(made.more == 1);
  CHECK(made.earliest->due_ms == clock->now_ms() + 2'000);
  const auto third = value_or_throw(book.add(one("n", 3'000)));
  const auto again = commit();
  CHECK(again.more == 0);
  write(made);
  write(again);
  book.forget(2);
  CHECK(rows('H') == 1);
  CHECK(rows('W') == 1);
  CHECK(value_or_throw(book.find({0, "n"}))->id == third);
  CHECK_FALSE(value_or_throw(book.find(second)));
}

TEST_CASE_FIXTURE(
    fixture, "schedule book: a firing moves its row, and the handler's own cancelling has the last word") {
  auto recurring = one();
  recurring.interval_ms = 1'000;
  const auto id = value_or_throw(book.add(std::move(recurring)));
  write(commit());
  book.forget(commits);
  clock->advance(std::chrono::milliseconds(5'500));
  const auto row = *value_or_throw(book.find(id));
  value_or_throw(book.fire(row));
  CHECK(value_or_throw(book.find(id))->due_ms == row.tick_ms + 5'000);
  CHECK(value_or_throw(book.cancel(id)));
  const auto fired = commit();
  CHECK(fired.fired == 1);
  CHECK(fired.fired_late == 1);
  CHECK(fired.more == -1);
  write(fired);
  CHECK(rows('H') + rows('W') == 0);
}

TEST_CASE_FIXTURE(fixture, "schedule book: the end of an object takes all of its schedules with it, those in "
                           "flight and damaged ones too, and nobody else's") {
  value_or_throw(book.add(one()));
  value_or_throw(book.add(one("n")));
  const auto damaged = value_or_throw(book.add(one("damaged")));
  write(commit());
  book.forget(commits);
  const address other{"THING", "b"};
  schedule_book of_other(core, other);
  value_or_throw(of_other.add(one("n")));
  write(of_other.take_changes(1));
  write_set damage{{keys::schedule(self, damaged), "damaged"}};
  const write_set* sets[] = {&damage};
  value_or_throw(disk->write(sets));
  value_or_throw(book.add(one()));
  const auto in_flight = commit();
  value_or_throw(book.erase_all());
  CHECK(listed() == 0);
  const auto ended = commit();
  CHECK(ended.more == -4);
  write(in_flight);
  write(ended);
  CHECK(rows('H') == 1);
  CHECK(rows('W') == 2); // the other's, and one that leads nowhere, which is cleared away when it is due
}

} // namespace dormouse::test::schedule_book_test
