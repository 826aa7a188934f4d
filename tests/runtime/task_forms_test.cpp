// What a task can say in other ways than those that the other tests of tasks use, and what outlives it.

#include "disk.hpp"
#include "eventually.hpp"
#include "outcome.hpp"

#include <dormouse/dormouse.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace dormouse::test::task_forms_test {

using namespace std::chrono_literals;

namespace {

using texts = std::vector<std::string>;

class speaker : public durable_object {
public:
  void keep(std::string text) { kept_.push_back(std::move(text)); }
  texts kept() const { return kept_; }
  void tell(promise_id<void> whom) { resolve(whom); }

  static task<std::string> until(task_context<speaker> self, std::int64_t ms) {
    co_await self.sleep_until(std::chrono::system_clock::time_point(std::chrono::milliseconds(ms)));
    co_return "it is time";
  }
  static task<std::string> signal(task_context<speaker> self) {
    auto go = self.promise<void>();
    co_await self.call<&speaker::keep>(to_string(go.id()));
    co_await go;
    co_return "told";
  }
  static task<std::string> nested(task_context<speaker> self) {
    auto one = self.promise<std::string>();
    auto two = self.promise<std::string>();
    auto three = self.promise<std::string>();
    for (const auto& each : {to_string(one.id()), to_string(two.id()), to_string(three.id())})
      co_await self.call<&speaker::keep>(each);
    auto won = co_await race(all(one, two), all(two, three));
    co_return won.index() == 0 ? "one and two" : "two and three";
  }
  static task<std::string> first_good(task_context<speaker> self) {
    std::vector<operation<std::string>> waits;
    for (int i = 0; i < 3; ++i) {
      auto each = self.promise<std::string>();
      co_await self.call<&speaker::keep>(to_string(each.id()));
      waits.push_back(each);
    }
    const auto first = co_await any(waits);
    co_return std::to_string(first.index) + " " + first.value;
  }
  static task<std::uint32_t> countdown(task_context<speaker> self, std::uint32_t from) {
    co_await self.call<&speaker::keep>(std::to_string(from));
    if (from > 1) co_await self.continue_as(from - 1);
    co_return from;
  }
  /// Any number of these at once, in between the object's other turns.
  static task<int> step_by_step(task_context<speaker> self, std::string name) {
    int steps = 0;
    for (; steps < 5; ++steps) {
      co_await self.sleep_for(1ms);
      co_await self.call<&speaker::keep>(name + std::to_string(steps));
    }
    co_return steps;
  }

  template <class Archive> void serialize(Archive& ar) { ar(kept_); }
  using methods =
      dormouse::methods<"SPEAKER", method<"keep", &speaker::keep>, method<"kept", &speaker::kept>,
                        method<"tell", &speaker::tell>, method<"until", &speaker::until>,
                        method<"signal", &speaker::signal>, method<"nested", &speaker::nested>,
                        method<"first_good", &speaker::first_good>, method<"countdown", &speaker::countdown>,
                        method<"step_by_step", &speaker::step_by_step>>;

private:
  texts kept_;
};

struct fixture {
  scratch_directory directory;
  std::shared_ptr<manual_clock> clock = std::make_shared<manual_clock>();
  options chosen{.directory = directory.path(), .clock = clock, .idle_after = 0ms};
  std::optional<runtime> running;

  fixture() {
    running.emplace(chosen);
    running->define<speaker>();
  }
  object_ref<speaker> it() const { return running->get<speaker>("s"); }
  any_promise_id promise_of(std::size_t which) const {
    REQUIRE(eventually([&] { return value_of(it().call<&speaker::kept>()).size() > which; }));
    return value_or_throw(parse_promise_id(value_of(it().call<&speaker::kept>()).at(which)));
  }
  bool resolve(std::size_t which, const std::string& with) const {
    return value_of(running->tasks().resolve(promise_id<std::string>(promise_of(which)), with));
  }
};

} // namespace

TEST_CASE_FIXTURE(fixture, "R5: a sleep until a moment ends at it, and at once if it has passed") {
  CHECK(value_of(it().call<&speaker::until>(clock->now_ms() - 1'000)) == "it is time");
  auto later = it().call<&speaker::until>(clock->now_ms() + 60'000);
  REQUIRE(eventually([&] { return running->stats().schedules == 1; }));
  clock->advance(59'999ms);
  CHECK_FALSE(is_ready(later));
  clock->advance(1ms);
  CHECK(value_of(std::move(later)) == "it is time");
}

TEST_CASE_FIXTURE(fixture, "R16: a promise of nothing is resolved by another object") {
  auto told = it().call<&speaker::signal>();
  const auto go = promise_of(0);
  value_of(running->get<speaker>("other").call<&speaker::tell>(promise_id<void>(go)));
  CHECK(value_of(std::move(told)) == "told");
}

TEST_CASE_FIXTURE(fixture, "R16: joins of joins, over hibernation") {
  auto won = it().call<&speaker::nested>();
  CHECK(resolve(2, "c"));
  CHECK(resolve(1, "b"));
  CHECK(value_of(std::move(won)) == "two and three");
}

TEST_CASE_FIXTURE(fixture, "R16: any of a vector passes over what failed") {
  auto good = it().call<&speaker::first_good>();
  CHECK(value_of(running->tasks().reject(promise_id<std::string>(promise_of(0)), "no")));
  CHECK_FALSE(is_ready(good));
  CHECK(resolve(2, "yes"));
  CHECK(value_of(std::move(good)) == "2 yes");
}

TEST_CASE_FIXTURE(fixture, "R16: continue_as without a name begins the same task anew") {
  CHECK(value_of(it().call<&speaker::countdown>(3U)) == 1);
  CHECK(value_of(it().call<&speaker::kept>()) == texts{"3", "2", "1"});
}

TEST_CASE_FIXTURE(fixture, "R16: tasks of one object take turns with each other and with its calls") {
  std::vector<std::future<int>> done;
  for (const auto* name : {"a", "b", "c", "d"})
    done.push_back(it().call<&speaker::step_by_step>(std::string(name)));
  std::size_t calls = 0;
  while (!eventually(
      [&] { return std::all_of(done.begin(), done.end(), [](const auto& each) { return is_ready(each); }); },
      0ms)) {
    clock->advance(1ms);
    value_of(it().call<&speaker::keep>("call"));
    ++calls;
  }
  for (auto& each : done)
    CHECK(value_of(std::move(each)) == 5);
  const auto kept = value_of(it().call<&speaker::kept>());
  CHECK(kept.size() == 20 + calls);
  for (const std::string name : {"a", "b", "c", "d"}) {
    texts own;
    for (const auto& each : kept)
      if (each.starts_with(name) && each.size() == 2) own.push_back(each);
    CHECK(own == texts{name + "0", name + "1", name + "2", name + "3", name + "4"});
  }
}

TEST_CASE_FIXTURE(fixture,
                  "R16: the result of a task is kept for as long as the option says, and forgotten then") {
  const auto task = value_of(it().start<&speaker::countdown>(1U));
  CHECK(value_of(running->tasks().result<std::uint32_t>(task)) == 1);
  clock->advance(23h + 59min);
  CHECK(value_of(running->tasks().result<std::uint32_t>(task)) == 1);
  CHECK(running->tasks().find(task)->state == task_state::completed);
  clock->advance(2min);
  CHECK(eventually([&] { return running->tasks().list().empty(); }));
  CHECK(error_of(running->tasks().result<std::uint32_t>(task)).code == errc::not_found);
  CHECK(running->stats().schedules == 0);
}

} // namespace dormouse::test::task_forms_test
