#include "eventually.hpp"
#include "gate.hpp"
#include "host/death_notes.hpp"
#include "outcome.hpp"

#include <dormouse/dormouse.hpp>
#include <dormouse/runtime/fetch_observer.hpp>

#include <doctest/doctest.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <optional>

namespace dormouse::test::death_notes_test {
namespace {

constexpr std::size_t slots = 4;
const address someone{"THING", "a"};

/// What a process would find if this one died now.
std::vector<death_note> found_after_death(const test::scratch_directory& directory) {
  test::scratch_directory next;
  std::filesystem::copy_file(directory.path() / "running", next.path() / "running");
  return death_notes(next.path(), slots).left();
}

} // namespace

TEST_CASE("R22: what runs when the process dies is found by the next one, and what has ended is not") {
  test::scratch_directory directory;
  death_notes notes(directory.path(), slots);
  REQUIRE(notes.survive());
  CHECK(notes.left().empty());
  { const running_note over(notes, note_kind::message, 1, someone, "over"); }
  CHECK(found_after_death(directory).empty());
  const running_note now(notes, note_kind::message, 2, {"THING", std::string(1'024, 'x')}, "now");
  const auto found = found_after_death(directory);
  REQUIRE(found.size() == 1);
  CHECK(found[0].kind == note_kind::message);
  CHECK(found[0].number == 2);
  CHECK(found[0].where == address{"THING", std::string(1'024, 'x')});
  CHECK(found[0].method == "now");
  CHECK(found[0].signal == 0);
}

TEST_CASE("R22: the process died in the innermost of what a thread ran") {
  test::scratch_directory directory;
  death_notes notes(directory.path(), slots);
  const running_note outer(notes, note_kind::message, 1, someone, "outer");
  {
    const running_note inner(notes, note_kind::task, 2, someone, "inner");
    const auto found = found_after_death(directory);
    REQUIRE(found.size() == 1);
    CHECK(found[0].method == "inner");
  }
  const auto found = found_after_death(directory);
  REQUIRE(found.size() == 1);
  CHECK(found[0].method == "outer");
}

TEST_CASE("R22: a signal that the process has survived blames nobody") {
  test::scratch_directory directory;
  death_notes notes(directory.path(), slots);
  {
    const running_note trapped(notes, note_kind::message, 1, someone, "trapped");
    notes.blame(notes.running_for(std::chrono::milliseconds(-1)).at(0), SIGSEGV, "a trap");
  }
  const running_note later(notes, note_kind::message, 2, someone, "later");
  CHECK(found_after_death(directory).empty()); // it may be dying of that signal now
  notes.forget_survived();
  notes.forget_survived();
  const auto found = found_after_death(directory);
  REQUIRE(found.size() == 1);
  CHECK(found[0].method == "later");
}

TEST_CASE("R22: what other threads run are suspects too, unless the process says which one it was") {
  test::scratch_directory directory;
  death_notes notes(directory.path(), slots);
  test::gate leave;
  const test::gate::closing closed(leave);
  std::atomic<bool> runs{false};
  std::thread other([&] {
    const running_note note(notes, note_kind::message, 1, someone, "other");
    runs = true;
    leave.pass();
  });
  REQUIRE(test::eventually([&] { return runs.load(); }, std::chrono::seconds(10)));
  std::optional<running_note> own(std::in_place, notes, note_kind::message, 2, someone, "own");
  CHECK(found_after_death(directory).size() == 2);
  REQUIRE(test::eventually([&] { return notes.running_for(std::chrono::milliseconds(0)).size() == 2; },
                           std::chrono::seconds(10)));
  for (const auto& each : notes.running_for(std::chrono::milliseconds(0)))
    if (each.what.method == "own") notes.blame(each, SIGABRT, "too long");
  const auto found = found_after_death(directory);
  REQUIRE(found.size() == 1);
  CHECK(found[0].method == "own");
  CHECK(found[0].signal == SIGABRT);
  CHECK(found[0].place == "too long");
  own.reset();
  leave.open();
  other.join();
}

TEST_CASE("R22: notes of an earlier boot of the machine, and a file of anything else, are not believed") {
  test::scratch_directory directory;
  {
    death_notes notes(directory.path(), slots);
    const running_note now(notes, note_kind::message, 1, someone, "now");
    std::filesystem::copy_file(directory.path() / "running", directory.path() / "copy");
  }
  const auto left_with = [&](auto change) {
    std::filesystem::copy_file(directory.path() / "copy", directory.path() / "running",
                               std::filesystem::copy_options::overwrite_existing);
    change(directory.path() / "running");
    return death_notes(directory.path(), slots).left().size();
  };
  const auto put = [](std::streamoff at, char what) {
    return [at, what](const std::filesystem::path& file) {
      std::fstream out(file, std::ios::in | std::ios::out | std::ios::binary);
      out.seekp(at);
      out.put(what);
    };
  };
  CHECK(left_with([](const auto&) {}) == 1);
  CHECK(left_with(put(0, 'X')) == 0);  // magic
  CHECK(left_with(put(16, 'X')) == 0); // boot
  CHECK(left_with([](const auto& file) { std::filesystem::resize_file(file, 5'000); }) == 0);
  CHECK(left_with([](const auto& file) { std::filesystem::resize_file(file, 0); }) == 0);
}

TEST_CASE("R22: more turns than there are slots go without a note") {
  test::scratch_directory directory;
  death_notes notes(directory.path(), 1);
  const running_note outer(notes, note_kind::message, 1, someone, "outer");
  { const running_note inner(notes, note_kind::task, 2, someone, "inner"); }
  CHECK(found_after_death(directory).size() == 1);
}

TEST_CASE("R22: without a file notes are kept in memory") {
  test::scratch_directory directory;
  death_notes notes(directory.path() / "not there", slots);
  CHECK_FALSE(notes.survive());
  const running_note note(notes, note_kind::call, 0, someone, "now");
  CHECK(test::eventually([&] { return notes.running_for(std::chrono::milliseconds(0)).size() == 1; },
                         std::chrono::seconds(10)));
}

namespace {

class slow : public durable_object {
public:
  static inline test::gate* blocks = nullptr;
  void work() { blocks->pass(); }

  template <class Archive> void serialize(Archive&) {}
  using methods = dormouse::methods<"SLOW", method<"work", &slow::work>>;
};

struct turn_observer : fetch_observer {
  void turn_stuck(const stuck_turn& what) override {
    std::lock_guard guard(mutex);
    told.push_back(what.method);
  }
  std::mutex mutex;
  std::vector<std::string> told;
};

} // namespace

TEST_CASE("R22: a turn that outlasts stop() is no death, unless a signal comes after all") {
  test::scratch_directory directory;
  test::gate blocks;
  {
    const test::gate::closing closed(blocks);
    slow::blocks = &blocks;
    runtime running({.directory = directory.path(), .stop_grace = std::chrono::milliseconds(20)});
    running.define<slow>();
    value_of(running.get<slow>("s").post<&slow::work>());
    REQUIRE(eventually([&] { return blocks.waiting() == 1; }, std::chrono::seconds(10)));
    CHECK(found_after_death(directory).size() == 1);
    CHECK(running.stop().size() == 1);
    CHECK(found_after_death(directory).empty());
    blocks.open();
  }
  test::scratch_directory other;
  death_notes notes(other.path(), slots);
  const running_note turn(notes, note_kind::message, 1, someone, "turn");
  notes.stopped();
  CHECK(found_after_death(other).empty());
  notes.blame(notes.running_for(std::chrono::milliseconds(-1)).at(0), SIGSEGV, "after all");
  CHECK(found_after_death(other).size() == 1);
}

TEST_CASE("R23: a turn that runs for longer than max_turn is named once, and no more when it has ended") {
  test::scratch_directory directory;
  test::gate blocks;
  const test::gate::closing closed(blocks);
  slow::blocks = &blocks;
  auto observer = std::make_shared<turn_observer>();
  runtime host(
      {.directory = directory.path(), .max_turn = std::chrono::milliseconds(20), .observer = observer});
  host.define<slow>();
  CHECK(host.stats().stuck_turns.empty());
  auto done = host.get<slow>("s").call<&slow::work>();
  REQUIRE(test::eventually([&] { return !host.stats().stuck_turns.empty(); }, std::chrono::seconds(10)));
  const auto named = host.stats().stuck_turns.front();
  CHECK(named.object == address{"SLOW", "s"});
  CHECK(named.method == "work");
  CHECK(named.since > std::chrono::milliseconds(20));
  REQUIRE(test::eventually(
      [&] {
        std::lock_guard guard(observer->mutex);
        return !observer->told.empty();
      },
      std::chrono::seconds(10)));
  CHECK_FALSE(test::eventually( // it looks every 5 ms
      [&] {
        std::lock_guard guard(observer->mutex);
        return observer->told.size() > 1;
      },
      std::chrono::milliseconds(200)));
  blocks.open();
  value_of(std::move(done));
  CHECK(test::eventually([&] { return host.stats().stuck_turns.empty(); }, std::chrono::seconds(10)));
  CHECK(host.stop().empty());
  CHECK(observer->told == std::vector<std::string>{"work"});
}

} // namespace dormouse::test::death_notes_test
