// Deaths of the process without one: a directory that is copied while a turn runs is what a kill -9 leaves.

#include "disk.hpp"
#include "eventually.hpp"
#include "gate.hpp"
#include "host/suspects.hpp"
#include "outcome.hpp"
#include "ports/ports.hpp"
#include "store/object_rows.hpp"

#include <dormouse/dormouse.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <mutex>
#include <stdexcept>

namespace dormouse::test::suspects_test {

using namespace std::chrono_literals;

namespace {

struct happenings {
  std::mutex mutex;
  std::vector<std::string> order; ///< what was handled
  test::gate blocks;              ///< in the handling of "poison"
  bool fails = false;             ///< it throws
  bool blocks_wakes = false;      ///< on_wake does not return
  bool throws_in_wake = false;

  std::vector<std::string> taken() {
    std::lock_guard guard(mutex);
    return order;
  }
};
happenings* here = nullptr;

class taker : public durable_object {
public:
  void take(std::string what) {
    {
      std::lock_guard guard(here->mutex);
      here->order.push_back(what);
    }
    if (here->fails) throw std::runtime_error("will not take " + what);
    if (what == "poison") here->blocks.pass();
    ++taken_;
  }
  std::uint32_t taken() const { return taken_; }

  template <class Archive> void serialize(Archive& ar) { ar(taken_); }
  using methods = dormouse::methods<"TAKER", method<"take", &taker::take>, method<"taken", &taker::taken>>;

private:
  std::uint32_t taken_ = 0;
};

class waker : public durable_object {
public:
  void on_wake() override {
    if (here->blocks_wakes) here->blocks.pass();
    if (here->throws_in_wake) throw std::runtime_error("not now");
  }
  std::uint32_t work() { return ++works_; }

  template <class Archive> void serialize(Archive& ar) { ar(works_); }
  using methods = dormouse::methods<"WAKER", method<"work", &waker::work>>;

private:
  std::uint32_t works_ = 0;
};

/// A runtime of one life.
struct life {
  explicit life(const std::filesystem::path& directory, std::uint32_t max_deaths = 3)
      : host({.directory = directory, .max_deaths = max_deaths}) {
    host.define<taker, waker>();
  }
  object_ref<taker> object(const std::string& id = "t") { return host.get<taker>(id); }
  std::vector<dead_letter_entry> letters() { return host.dead_letters().list(); }

  runtime host;
};

/// Copies the directory of a life when it would die of the poison.
void die(const std::filesystem::path& from, const std::filesystem::path& to) {
  REQUIRE(test::eventually([] { return here->blocks.waiting() == 1; }, 10s));
  std::filesystem::copy(from, to, std::filesystem::copy_options::recursive);
}

struct fixture {
  fixture() { here = &seen; }
  ~fixture() { here = nullptr; }
  std::filesystem::path directory(int number) const { return scratch.path() / std::to_string(number); }

  test::scratch_directory scratch;
  happenings seen;
};

} // namespace

TEST_CASE_FIXTURE(fixture, "R22: what ran when the process died is delivered behind all that was left") {
  {
    const test::gate::closing closed(seen.blocks);
    life first(directory(1));
    for (const std::string what : {"poison", "a", "b", "c"})
      value_of(first.object().post<&taker::take>(what));
    die(directory(1), directory(2));
    CHECK(seen.taken() == std::vector<std::string>{"poison"});
    seen.blocks.open();
  }
  test::disk(directory(2))
      .put(keys::inbox({"TAKER", "u"}, 7), // it sorts behind them, and does not wait
           seal_value(frame_type::post, post_message{"take", encode(std::string("of another"))}));
  seen.order.clear();
  {
    life second(directory(2));
    CHECK(second.host.stats().noted_deaths == 1);
    REQUIRE(test::eventually([&] { return value_of(second.object().call<&taker::taken>()) == 4; }, 10s));
    // Of its object, what is behind it does not overtake it (R1).
    CHECK(seen.taken() == std::vector<std::string>{"of another", "poison", "a", "b", "c"});
    CHECK(second.letters().empty());
  }
  life third(directory(2)); // which is clean
  CHECK(third.host.stats().noted_deaths == 0);
}

TEST_CASE_FIXTURE(fixture, "R22: a message is a dead letter with its history when the process has died in it "
                           "max_deaths times in a row, and can be retried") {
  for (int number = 1; number <= 2; ++number) {
    const test::gate::closing closed(seen.blocks);
    life dying(directory(number), 2);
    if (number == 1) value_of(dying.object().post<&taker::take>("poison"));
    die(directory(number), directory(number + 1));
    seen.blocks.open();
  }
  life last(directory(3), 2);
  REQUIRE(test::eventually([&] { return last.letters().size() == 1; }, 10s));
  const auto letter = last.letters().front();
  CHECK(letter.object == address{"TAKER", "t"});
  CHECK(letter.method == "take");
  CHECK(letter.reason.find("quarantined: the message is quarantined: the process died 2 times in a row") ==
        0);
  REQUIRE(letter.history.size() == 2);
  for (const auto& each : letter.history)
    CHECK(each.what.find("TAKER.take of object") != std::string::npos);
  CHECK(seen.taken().size() == 2);
  CHECK(last.host.stats().quarantined == 1);
  CHECK(value_of(last.object().call<&taker::taken>()) == 0);
  last.host.dead_letters().retry(letter.id);
  CHECK(test::eventually([&] { return value_of(last.object().call<&taker::taken>()) == 1; }, 10s));
}

TEST_CASE_FIXTURE(fixture, "R22: an object that wakes has no deaths any more, and one that does not is kept "
                           "asleep") {
  // In the lives 1, 3 and 4 the process dies in on_wake, in the life 2 it wakes.
  for (int number = 1; number <= 4; ++number) {
    CAPTURE(number);
    life dying(directory(number), 2);
    const test::gate::closing closed(seen.blocks);
    seen.blocks_wakes = number != 2;
    auto done = dying.host.get<waker>("w").call<&waker::work>();
    if (number != 2) die(directory(number), directory(number + 1));
    seen.blocks.open();
    value_of(std::move(done));
    dying.host.stop();
    if (number == 2)
      std::filesystem::copy(directory(2), directory(3), std::filesystem::copy_options::recursive);
  }
  seen.blocks_wakes = false;
  life last(directory(5), 2);
  const address where{"WAKER", "w"};
  CHECK(last.host.stats().quarantined_objects == std::vector<address>{where});
  try {
    value_of(last.host.get<waker>("w").call<&waker::work>());
    FAIL("it was woken");
  } catch (const failure& e) {
    CHECK(e.code() == errc::quarantined);
    CHECK(e.what_failed().message.find("object WAKER") == 0);
  }
  last.host.release(where);
  CHECK(last.host.stats().quarantined_objects.empty());
  CHECK(value_of(last.host.get<waker>("w").call<&waker::work>()) == 2); // of the life 2, and now
}

TEST_CASE_FIXTURE(fixture, "R22: tries of a handler count across restarts") {
  constexpr int tries = 5;
  seen.fails = true;
  for (int start = 1; start <= tries; ++start) {
    CAPTURE(start);
    life next(directory(1));
    if (start == 1) value_of(next.object().post<&taker::take>("salt"));
    REQUIRE(test::eventually([&] { return next.host.stats().failed_turns == 1; }, 10s));
    if (start == tries) {
      REQUIRE(test::eventually([&] { return next.letters().size() == 1; }, 10s));
      CHECK(next.letters().front().history.size() == tries);
    }
    next.host.stop();
  }
  CHECK(seen.taken().size() == tries);
}

TEST_CASE("R22: a suspect that does not end keeps the others back for so long only") {
  class suspects some;
  for (const auto* id : {"a", "b"})
    some.hold({{"TAKER", id}, nullptr, {}, nullptr});
  const auto first = some.next(1h);
  REQUIRE(first);
  CHECK(first->to.instance_id == "a");
  CHECK_FALSE(some.next(1h));
  const auto second = some.next(0ms);
  REQUIRE(second);
  CHECK(second->to.instance_id == "b");
  CHECK_FALSE(some.next(0ms));
}

TEST_CASE_FIXTURE(fixture, "R22: an on_wake that comes back has no deaths, though it throws") {
  const address where{"WAKER", "w"};
  {
    life made(directory(1));
    CHECK(value_of(made.host.get<waker>("w").call<&waker::work>()) == 1);
  }
  const auto key = key_of(where, note_kind::waking, 0);
  test::disk(directory(1)).put(key, seal_value(frame_type::death_record, death_record{.deaths = 2}));
  seen.throws_in_wake = true;
  {
    life now(directory(1));
    CHECK(error_of(now.host.get<waker>("w").call<&waker::work>()).code == errc::handler_failed);
  }
  CHECK(test::disk(directory(1)).count('X') == 0);
}

TEST_CASE_FIXTURE(fixture, "R22: a message that is handled has no deaths any more") {
  const address where{"TAKER", "t"};
  { life made(directory(1)); }
  {
    test::disk rows(directory(1));
    rows.put(keys::inbox(where, 7),
             seal_value(frame_type::post, post_message{"take", encode(std::string("salt"))}));
    rows.put(key_of(where, note_kind::message, 7),
             seal_value(frame_type::death_record, death_record{.deaths = 1}));
  }
  {
    life now(directory(1));
    REQUIRE(test::eventually([&] { return value_of(now.object().call<&taker::taken>()) == 1; }));
  }
  CHECK(test::disk(directory(1)).count('I') == 0);
  CHECK(test::disk(directory(1)).count('X') == 0);
}

TEST_CASE_FIXTURE(fixture, "R22: a suspect whose row is gone when its turn comes holds up none behind it") {
  { life made(directory(1)); }
  const std::vector<address> to{{"TAKER", "a"}, {"TAKER", "b"}, {"TAKER", "c"}};
  {
    test::disk rows(directory(1));
    for (std::uint64_t i = 0; i < to.size(); ++i) {
      const std::string what = i == 0 ? "poison" : "salt";
      rows.put(keys::inbox(to[i], i + 7), seal_value(frame_type::post, post_message{"take", encode(what)}));
      rows.put(key_of(to[i], note_kind::message, i + 7),
               seal_value(frame_type::death_record, death_record{.deaths = 1}));
    }
  }
  storage_engine* engine = nullptr;
  runtime host({.directory = directory(1)}, {.wrap_engine =
                                                 [&engine](std::unique_ptr<storage_engine> plain) {
                                                   engine = plain.get();
                                                   return plain;
                                                 },
                                             .wrap_transport = {}});
  const test::gate::closing closed(seen.blocks);
  host.define<taker, waker>();
  REQUIRE(test::eventually([&] { return seen.blocks.waiting() == 1; }));
  const write_set erasure{{keys::inbox(to[1], 8), std::nullopt}};
  const write_set* sets[] = {&erasure};
  REQUIRE(engine->write(sets));
  seen.blocks.open();
  CHECK(test::eventually([&] { return seen.taken() == std::vector<std::string>{"poison", "salt"}; }, 10s));
  CHECK(test::eventually([&] { return value_of(host.get<taker>("c").call<&taker::taken>()) == 1; }, 10s));
}

TEST_CASE_FIXTURE(fixture, "R22: what a message has done outlives the object that it is for") {
  const address where{"TAKER", "t"};
  const auto of_message = key_of(where, note_kind::message, 7);
  const auto of_waking = key_of(where, note_kind::waking, 0);
  { life made(directory(1)); }
  write_set writes;
  {
    auto store =
        value_or_throw(store::open(value_or_throw(open_rocksdb({directory(1), 1 << 20, 1 << 20, 1 << 17})),
                                   directory(1), 1 << 17, 1 << 20));
    for (const auto how : {erasure::of_what_is_stored, erasure::of_all_there_may_be}) {
      writes.clear();
      erase_object(*store, writes, where, how);
      for (const auto& each : writes)
        CHECK_FALSE(
            (each.key == of_message || (each.end && each.key <= of_message && of_message < *each.end)));
    }
  }
  CHECK(std::any_of(writes.begin(), writes.end(), [&](const write_op& each) {
    return each.end && each.key <= of_waking && of_waking < *each.end;
  }));
}

} // namespace dormouse::test::suspects_test
