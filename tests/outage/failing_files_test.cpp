// R25: storage that fails for a while. The files of the store fail on purpose, here and there.

#include "eventually.hpp"
#include "faulty_files.hpp"
#include "outcome.hpp"
#include "ports/ports.hpp"
#include "store/rocksdb_engine.hpp"

#include <dormouse/dormouse.hpp>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <future>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace dormouse::test::failing_files_test {

using namespace std::chrono_literals;

namespace {

using rows = std::map<std::string, std::string>;

constexpr auto soon = std::chrono::seconds(2); // what R25 promises

struct store_on_faulty_files {
  test::scratch_directory directory;
  std::shared_ptr<test::faulty_files> files = std::make_shared<test::faulty_files>();
  std::unique_ptr<storage_engine> engine;
  rows acknowledged;

  store_on_faulty_files() { engine = value_or_throw(open()); }

  /// With write buffers that are full soon, so that the log is switched and tables are written all the time.
  expected<std::unique_ptr<storage_engine>> open() {
    return open_rocksdb(
        {directory.path(), std::size_t{1} << 20U, std::size_t{64} << 10U, 1U << 20U, {}, files});
  }

  expected<void> write(const write_set& writes) {
    const write_set* sets[] = {&writes};
    auto outcome = engine->write(sets);
    if (!outcome) return outcome;
    for (const auto& op : writes) {
      if (op.value)
        acknowledged[op.key] = *op.value;
      else
        acknowledged.erase(op.key);
    }
    return outcome;
  }
  expected<void> put(const std::string& key, const std::string& value) { return write({{key, value}}); }

  /// The first write that succeeds again.
  bool writes_again(std::chrono::milliseconds within = soon) {
    return eventually([this] { return put("again", "yes").has_value(); }, within);
  }

  rows stored() const {
    rows all;
    auto row = engine->scan("", "\xff\xff");
    for (; row->valid(); row->next())
      all.emplace(row->key(), row->value());
    value_or_throw(row->status());
    return all;
  }

  void open_again() {
    engine.reset();
    engine = value_or_throw(open());
  }
};

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

struct trouble {
  fault what;
  failure_kind how;
  const char* text;
};

const std::vector<trouble> troubles{{fault::append, failure_kind::no_space, "No space left on device"},
                                    {fault::append, failure_kind::io_error, "Input/output error"},
                                    {fault::append, failure_kind::short_write, "Input/output error"},
                                    {fault::sync, failure_kind::io_error, "Input/output error"},
                                    {fault::sync, failure_kind::no_space, "No space left on device"}};

} // namespace

TEST_CASE("R25: a write that fails names the cause, leaves nothing behind, and the store goes on by itself") {
  for (const auto& [what, how, text] : troubles) {
    const auto& this_text = text; // clang 14 captures no structured binding
    CAPTURE(this_text);
    store_on_faulty_files store;
    REQUIRE(store.put("a", "1"));
    store.files->fail({.what = what, .how = how});
    for (int i = 0; i < 3; ++i) {
      auto failed = store.put("a", "2");
      REQUIRE(!failed);
      CHECK(failed.error().code == errc::storage_error);
      CHECK(contains(failed.error().message, text));
      CHECK(contains(failed.error().message, store.directory.path().string())); // which file
      CHECK(*store.engine->get("a") == "1");
      CHECK(store.stored() == store.acknowledged);
    }
    store.files->heal();
    CHECK(store.writes_again());
    CHECK(store.stored() == store.acknowledged);
    store.open_again();
    CHECK(store.stored() == store.acknowledged);
  }
}

TEST_CASE("R25: one error that does not come back costs one write") {
  for (const auto& [what, how, text] : troubles) {
    const auto& this_text = text; // clang 14 captures no structured binding
    CAPTURE(this_text);
    store_on_faulty_files store;
    REQUIRE(store.put("a", "1"));
    store.files->fail({.what = what, .how = how, .times = 1});
    CHECK(!store.put("b", "2"));
    CHECK(store.writes_again());
    CHECK(store.stored() == store.acknowledged);
  }
}

TEST_CASE("R25: no descriptor left for a new log is an error that passes") {
  store_on_faulty_files store;
  store.files->fail({.what = fault::create, .how = failure_kind::no_descriptors});
  const std::string large(8'000, 'x');
  expected<void> outcome;
  for (int i = 0; i < 200 && outcome; ++i)
    outcome = store.put(fmt::format("k{}", i), large);
  REQUIRE(!outcome);
  CHECK(outcome.error().code == errc::storage_error);
  CHECK(contains(outcome.error().message, "Too many open files"));
  CHECK(store.stored() == store.acknowledged);
  store.files->heal();
  CHECK(store.writes_again());
  CHECK(store.stored() == store.acknowledged);
}

TEST_CASE("R25: a disk without room refuses a write before the log is touched") {
  store_on_faulty_files store;
  REQUIRE(store.put("a", "1"));
  store.files->say_free(1'000);
  const auto appended = store.files->appends();
  auto refused = store.put("a", "2");
  REQUIRE(!refused);
  CHECK(refused.error().code == errc::storage_error);
  CHECK(contains(refused.error().message, "no space left"));
  CHECK(contains(refused.error().message, "1000 bytes are free"));
  CHECK(contains(refused.error().message, store.directory.path().string()));
  CHECK(store.files->appends() == appended);
  store.files->say_free({});
  CHECK(store.put("a", "3")); // at once
}

TEST_CASE("R25: the ballast is given up on a full disk and put back when there is room") {
  store_on_faulty_files store;
  const auto ballast = store.directory.path() / "ballast";
  CHECK(eventually([&] { return std::filesystem::exists(ballast); }, 10s));
  store.files->fail({.what = fault::append, .how = failure_kind::no_space});
  CHECK(!store.put("a", "1"));
  CHECK(eventually([&] { return !std::filesystem::exists(ballast); }, 10s));
  store.files->heal();
  CHECK(store.writes_again());
  CHECK(eventually([&] { return std::filesystem::exists(ballast); }, 10s));
}

TEST_CASE("R25: a store that cannot be opened is an error, and can be opened later") {
  for (const auto what : {fault::create, fault::append, fault::sync, fault::rename, fault::folder_sync})
    for (const auto how : {failure_kind::no_space, failure_kind::io_error})
      for (std::uint64_t after = 0; after < 3; ++after) {
        store_on_faulty_files store;
        REQUIRE(store.put("a", "1"));
        store.engine.reset();
        store.files->fail({.what = what, .how = how, .after = after});
        if (auto opened = store.open(); !opened) {
          CHECK(opened.error().code == errc::directory_unusable);
          CHECK(
              contains(opened.error().message, how == failure_kind::no_space ? "No space" : "Input/output"));
        }
        store.files->heal();
        store.open_again();
        CHECK(store.stored() == store.acknowledged);
      }
}

TEST_CASE("R25: whatever fails and wherever, what was acknowledged is there and nothing else") {
  // DORMOUSE_OUTAGE_SEEDS: how many, for a longer run.
  const char* given = std::getenv("DORMOUSE_OUTAGE_SEEDS");
  const auto seeds = given != nullptr ? std::strtoul(given, nullptr, 10) : 8;
  for (unsigned long seed = 1; seed <= seeds; ++seed) {
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    const auto below = [&random](std::uint64_t limit) { return random() % limit; };
    store_on_faulty_files store;
    const auto write_something = [&] {
      write_set writes;
      for (auto ops = 1 + below(5); ops > 0; --ops)
        writes.push_back(
            {fmt::format("key{}", below(40)),
             below(5) == 0 ? std::nullopt : std::optional(std::string(below(6'000), char('a' + below(26))))});
      return store.write(writes);
    };
    for (int round = 0; round < 2; ++round) {
      for (int i = 0; i < 10; ++i)
        REQUIRE(write_something());
      store.files->fail({.what = static_cast<fault>(below(6)),
                         .how = static_cast<failure_kind>(below(4)),
                         .after = below(12),
                         .times = below(2) == 0 ? 1 + below(4) : std::uint64_t{1} << 40U});
      for (int i = 0; i < 40; ++i) {
        if (auto outcome = write_something(); !outcome) CHECK(outcome.error().code == errc::storage_error);
        const auto key = fmt::format("key{}", below(40));
        if (auto row = store.engine->get(key)) {
          const auto known = store.acknowledged.find(key);
          CHECK(*row == (known == store.acknowledged.end() ? std::nullopt : std::optional(known->second)));
        } else {
          CHECK(row.error().code == errc::storage_error);
        }
      }
      store.files->heal();
      REQUIRE(store.writes_again());
      REQUIRE(store.stored() == store.acknowledged);
    }
    store.open_again();
    REQUIRE(store.stored() == store.acknowledged);
  }
}

TEST_CASE("R25: readers and walks that go on while the store is opened anew see one state or an error") {
  store_on_faulty_files store;
  constexpr int count = 50;
  const auto version_of_all = [&](int version) {
    write_set writes;
    for (int i = 0; i < count; ++i)
      writes.push_back({fmt::format("k{:03}", i), std::to_string(version)});
    return store.write(writes);
  };
  REQUIRE(version_of_all(0));
  std::atomic<bool> over{false};
  std::atomic<int> wrong{0};
  std::atomic<int> whole{0};
  const auto walk = [&](bool backward) {
    while (!over) {
      auto row = backward ? store.engine->scan_back("k", "l") : store.engine->scan("k", "l");
      int seen = 0;
      std::string version;
      for (; row->valid(); row->next(), ++seen) {
        const std::string value(row->value());
        if (seen > 0 && value != version) ++wrong;
        version = value;
        if (seen == count / 2) (void)store.engine->get("k001");
      }
      if (!row->status())
        wrong += row->status().error().code == errc::storage_error ? 0 : 1;
      else if (seen == count)
        ++whole;
      else
        ++wrong;
    }
  };
  std::vector<std::thread> walkers;
  for (int i = 0; i < 3; ++i)
    walkers.emplace_back([&walk, i] { walk(i == 0); });
  auto idle = store.engine->scan("k", "l"); // held, and never moved
  REQUIRE(idle->valid());
  const std::string_view first = idle->key();
  int version = 0;
  for (int round = 0; round < 3; ++round) {
    store.files->fail({.what = fault::append, .times = 1});
    CHECK(!version_of_all(++version));
    CHECK(eventually([&] { return version_of_all(++version).has_value(); }, soon));
  }
  CHECK(first == "k000");
  CHECK(idle->value() == "0");
  idle->next();
  CHECK(!idle->valid());
  REQUIRE(!idle->status());
  CHECK(idle->status().error().code == errc::storage_error);
  CHECK(eventually([&, before = whole.load()] { return whole > before + 3; }, 10s));
  over = true;
  for (auto& each : walkers)
    each.join();
  CHECK(wrong == 0);
}

// --- a whole runtime ---------------------------------------------------------------------------------------

namespace {

class tally : public durable_object {
public:
  std::uint64_t add() {
    storage().put(std::to_string(count_), std::to_string(count_));
    return ++count_;
  }
  std::uint64_t count() const { return count_; }
  template <class Archive> void serialize(Archive& ar) { ar(count_); }
  using methods = dormouse::methods<"TALLY", dormouse::method<"add", &tally::add>,
                                    dormouse::method<"count", &tally::count>>;

private:
  std::uint64_t count_ = 0;
};

struct runtime_on_faulty_files {
  test::scratch_directory directory;
  std::shared_ptr<test::faulty_files> files = std::make_shared<test::faulty_files>();
  std::optional<runtime> running;

  void start() {
    running.emplace(
        options{.directory = directory.path(), .idle_after = 0ms, .proxy_workers = 1},
        ports{.wrap_engine = test::faulty_files::under(files, directory.path()), .wrap_transport = {}});
    running->define<tally>();
  }
  std::uint64_t add(const std::string& id) { return value_of(running->get<tally>(id).call<&tally::add>()); }
};

error failure_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const failure& failed) {
    return failed.what_failed();
  }
  return {};
}

} // namespace

TEST_CASE_FIXTURE(runtime_on_faulty_files,
                  "R25: calls fail with the cause while the disk does, and go on without a restart") {
  start();
  std::uint64_t count = 0;
  for (const auto& [what, how, text] : troubles) {
    CHECK(add("x") == ++count);
    files->fail({.what = what, .how = how});
    for (int i = 0; i < 3; ++i) {
      const auto why = failure_of([this] { add("x"); });
      CHECK(why.code == errc::storage_error);
      CHECK(contains(why.message, text));
    }
    CHECK(value_of(running->get<tally>("x").call<&tally::count>()) == count); // it can be read meanwhile
    files->heal();
    CHECK(eventually([&] { return failure_of([&] { count = add("x"); }).message.empty(); }, soon));
  }
  CHECK(count == 2 * troubles.size());
  running.reset();
  start();
  CHECK(add("x") == count + 1);
}

TEST_CASE_FIXTURE(runtime_on_faulty_files, "R25: a runtime stops while its disk fails") {
  for (int round = 1; round <= 2; ++round) {
    start();
    CHECK(add("x") == static_cast<std::uint64_t>(round));
    files->fail({.how = failure_kind::no_space});
    CHECK(failure_of([this] { add("x"); }).code == errc::storage_error);
    auto ended = std::async(std::launch::async, [this] { running.reset(); });
    REQUIRE(ended.wait_for(10s) == std::future_status::ready);
    files->heal();
  }
}

TEST_CASE_FIXTURE(runtime_on_faulty_files, "R25: a runtime on a full disk throws, and can be made later") {
  start();
  CHECK(add("x") == 1);
  running.reset();
  files->say_free(0);
  const auto why = failure_of([this] { start(); });
  CHECK(why.code == errc::storage_error);
  CHECK(contains(why.message, "no space left"));
  files->say_free({});
  files->fail({.what = fault::create, .how = failure_kind::no_space});
  CHECK(failure_of([this] { start(); }).code == errc::directory_unusable);
  files->heal();
  start();
  CHECK(add("x") == 2);
}

} // namespace dormouse::test::failing_files_test
