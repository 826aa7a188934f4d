// Damaged blocks of table files: what is in the block is lost, and nothing else. The stores are really
// damaged.

#include "damaged_table.hpp"
#include "disk.hpp"
#include "eventually.hpp"
#include "faulty_files.hpp"
#include "outcome.hpp"
#include "ports/ports.hpp"
#include "store/store.hpp"
#include "store/unread_ranges.hpp"

#include <dormouse/dormouse.hpp>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <set>
#include <string>
#include <vector>

namespace dormouse::test::damaged_block_test {

using namespace std::chrono_literals;

namespace {

std::atomic<int> rings{0};

class bell : public durable_object {
public:
  void ring() {
    ++total_;
    ++rings;
  }
  void plan() { schedule<&bell::ring>(1ms); }
  int total() const { return total_; }

  template <class Archive> void serialize(Archive& ar) { ar(total_); }

  using methods = dormouse::methods<"BELL", method<"ring", &bell::ring>, method<"plan", &bell::plan>,
                                    method<"total", &bell::total>>;

private:
  int total_ = 0;
};

class keeper : public durable_object {
public:
  int fill(int rows) {
    for (int i = 0; i < rows; ++i)
      storage().put(fmt::format("{:05}", i), std::string(100, 'x'));
    return rows;
  }
  int count(bool backward) {
    return static_cast<int>(storage().list<std::string>({.reverse = backward}).size());
  }

  template <class Archive> void serialize(Archive&) {}

  using methods = dormouse::methods<"KEEPER", method<"fill", &keeper::fill>, method<"count", &keeper::count>>;
};

/// With other code its task does something else first, and is stuck.
class brooder : public durable_object {
public:
  static inline std::atomic<bool> is_other_code{false};
  static inline std::atomic<int> begun{0};

  void keep(std::string word) { word_ = std::move(word); }
  std::string word() const { return word_; }
  static task<int> brood(task_context<brooder> self) {
    ++begun;
    if (is_other_code) co_await self.random();
    auto word = self.promise<int>();
    co_await self.call<&brooder::keep>(to_string(word.id()));
    co_return co_await word;
  }

  template <class Archive> void serialize(Archive& ar) { ar(word_); }

  using methods = dormouse::methods<"BROODER", method<"keep", &brooder::keep>, method<"word", &brooder::word>,
                                    method<"brood", &brooder::brood>>;

private:
  std::string word_;
};

struct fixture {
  scratch_directory directory;

  fixture() {
    rings = 0;
    { runtime made(settings()); }
  }

  options settings() const { return {.directory = directory.path()}; }

  void put(const write_set& writes) { disk(directory.path()).put_all(writes); }

  static address bell_number(std::uint64_t i) { return {"BELL", fmt::format("{:05}", i)}; }

  static void add_schedule(write_set& to, std::uint64_t i) {
    schedule_message what;
    what.id.number = i;
    what.method = "ring";
    what.tick_ms = what.due_ms = static_cast<std::int64_t>(i) * 1'000;
    const auto key = keys::schedule(bell_number(i), what.id);
    to.push_back({key, seal_value(frame_type::schedule, what)});
    to.push_back({keys::due(what.due_ms, i), key});
  }

  void put_schedules(std::uint64_t count) {
    write_set writes;
    for (std::uint64_t i = 1; i <= count; ++i)
      add_schedule(writes, i);
    put(writes);
  }
  /// A block that is whole, and that these files cannot read.
  damaged_block spoil_block(faulty_files& files, char kind) const {
    auto lost = damage_block(directory.path(), kind);
    lost.mend();
    files.spoil(lost.file, lost.at);
    return lost;
  }

  static fetch_message fetch_number(std::uint64_t i, std::string method = "GET") {
    fetch_message fetch;
    fetch.id = i;
    fetch.method = std::move(method);
    fetch.url = fmt::format("http://127.0.0.1/{}", i); // not allowed: it ends as soon as it goes out
    fetch.timeout_ms = 1'000;
    fetch.retry.max_retries = 0;
    REQUIRE(fetch.path.push({bell_number(i), "ring", {}}));
    return fetch;
  }
  static std::string add_fetch(write_set& to, const fetch_message& fetch) {
    auto key = keys::queue({}, fetch.priority, static_cast<std::int64_t>(fetch.id), fetch.id);
    to.push_back({key, seal_value(frame_type::fetch, fetch)});
    return key;
  }

  std::size_t on_disk(char kind) {
    disk rows(directory.path());
    return rows.count(kind);
  }
};

bool reaches(const std::function<std::uint64_t()>& what, std::uint64_t wanted) {
  const bool reached = eventually([&] { return what() >= wanted; }, 10s);
  CHECK_MESSAGE(what() == wanted, "reached ", what(), " of ", wanted);
  return reached;
}

std::string number_key(std::uint64_t i) {
  std::string key("K");
  for (int shift = 56; shift >= 0; shift -= 8)
    key += static_cast<char>(i >> static_cast<unsigned>(shift));
  return key;
}

std::set<std::string> keys_found(storage_engine& in, const std::string& from, const std::string& to,
                                 std::vector<key_range>& skipped) {
  damage_book book;
  std::set<std::string> found;
  readable_cursor row(in.scan(from, to), book, [&](const key_range& rows) { skipped.push_back(rows); });
  for (; row.valid(); row.next())
    found.emplace(row.key());
  CHECK(row.status());
  CHECK(book.count() == skipped.size());
  return found;
}

} // namespace

TEST_CASE_FIXTURE(fixture, "R24: a walk passes over the rows of a damaged block and no others") {
  std::set<std::string> all;
  {
    write_set writes;
    std::uint64_t key = 7;
    for (std::uint64_t i = 0; i < 20'000; ++i) {
      key += 1 + i * i % 97 * (i % 5 == 0 ? 100'003 : 1); // dense and sparse
      writes.push_back({number_key(key), std::string(200, static_cast<char>('a' + i % 26))});
      all.insert(writes.back().key);
    }
    put(writes);
  }
  auto lost = damage_block(directory.path(), 'K');
  CHECK(lost.keys.size() < 100);
  auto engine = value_or_throw(open_rocksdb(table_settings(directory.path())));
  const auto range = keys::all('K');
  const auto check = [&](const std::string& from, const std::string& to) {
    std::set<std::string> wanted;
    std::copy_if(all.begin(), all.end(), std::inserter(wanted, wanted.end()),
                 [&](const auto& each) { return each >= from && each < to && !lost.keys.contains(each); });
    std::vector<key_range> skipped;
    CHECK(keys_found(*engine, from, to, skipped) == wanted);
    REQUIRE(skipped.size() == 1);
    for (const auto& each : lost.keys)
      CHECK((each < from || each >= to || (each >= skipped[0].from && each < skipped[0].to)));
  };
  check(range.first, range.second);
  check("J", "L");
  check(*lost.keys.begin(), range.second); // it begins in the damage,
  check(*std::next(lost.keys.begin()), "L");
  check(range.first, *lost.keys.rbegin());        // or ends in it,
  check(range.first, *lost.keys.rbegin() + '\0'); // or with it,
  check(*lost.keys.begin(), *lost.keys.rbegin()); // or is in it
  // Not without being asked to.
  auto row = engine->scan(range.first, range.second);
  while (row->valid())
    row->next();
  REQUIRE_FALSE(row->status());
  CHECK(row->status().error().code == errc::corrupt);
  CHECK(contains(row->status().error().message, lost.file.filename().string()));
  // And what has been mended meanwhile is not passed over.
  lost.mend();
  const auto skipped = row->skip_damage();
  REQUIRE(skipped);
  CHECK(skipped->is_empty());
  std::size_t rest = 0;
  for (; row->valid(); row->next())
    ++rest;
  CHECK(rest == static_cast<std::size_t>(std::distance(all.find(*lost.keys.begin()), all.end())));
}

TEST_CASE_FIXTURE(fixture, "R24: a damaged block hides no rows that are in memory or in another table") {
  write_set below; // far apart: one block is all there is between L and X
  for (int i = 0; i < 200; ++i)
    below.push_back({number_key(static_cast<std::uint64_t>(i)), std::string(200, 'k')});
  below.push_back({"Laa", "l"});
  below.push_back({"Xaa", "x"});
  for (int i = 0; i < 200; ++i)
    below.push_back({fmt::format("Y{:03}", i), std::string(200, 'y')});
  put(below);
  const auto lost = damage_block(directory.path(), 'X', 1);
  REQUIRE(lost.keys.contains("Xaa"));
  const auto engine = value_or_throw(open_rocksdb(table_settings(directory.path())));
  const auto put_in = [&](write_set writes) {
    const write_set* sets[] = {&writes};
    value_or_throw(engine->write(sets));
  };
  put_in({{"Wone", "in memory"}, {"Wgone", "to be erased"}});
  put_in({{"Wgone", std::nullopt}, {"Xaa2", "behind"}});
  std::vector<key_range> skipped;
  CHECK(keys_found(*engine, "W", "X", skipped) == std::set<std::string>{"Wone"});
  CHECK(skipped.size() == 1);
  skipped.clear();
  CHECK(keys_found(*engine, "W", "Y", skipped) == std::set<std::string>{"Wone", "Xaa2"});
  auto row = engine->scan("W", "X");
  REQUIRE(row->skip_damage());
  CHECK(row->value() == "in memory");
}

TEST_CASE_FIXTURE(fixture, "R24: schedules that are made behind a damaged block fire") {
  {
    write_set writes;
    for (std::uint64_t i = 1; i <= 3; ++i)
      add_schedule(writes, i);
    for (int i = 0; i < 200; ++i) { // blocks of their own for what opens a store
      writes.push_back({keys::object({"NOBODY", fmt::format("{:03}", i)}), std::string(200, 'o')});
      writes.push_back({fmt::format("Z{:03}", i), std::string(200, 'z')});
    }
    put(writes);
  }
  const auto lost = damage_block(directory.path(), 'W', 1);
  runtime running(settings());
  running.define<bell>();
  CHECK(eventually([&] { return running.stats().damage != 0; }));
  for (int i = 0; i < 20; ++i)
    value_of(running.get<bell>("new").call<&bell::plan>());
  reaches([] { return static_cast<std::uint64_t>(rings); }, 20 + 3 - lost.keys.size());
  lost.mend();
  reaches([] { return static_cast<std::uint64_t>(rings); }, 23);
  CHECK(eventually([&] { return running.stats().schedules == 0; }, 10s));
}

TEST_CASE_FIXTURE(fixture, "R24: of several damaged blocks only their own rows are passed over") {
  std::set<std::string> all;
  {
    write_set writes;
    for (std::uint64_t i = 0; i < 4'000; ++i) {
      writes.push_back({number_key(i * 1'000), std::string(200, static_cast<char>('a' + i % 26))});
      all.insert(writes.back().key);
    }
    put(writes);
  }
  const auto file = compact_store(directory.path());
  for (int i = 1; i <= 5; ++i) // some of them close to each other
    flip_byte(file, std::filesystem::file_size(file) / 3 + static_cast<std::uintmax_t>(i * i) * 400);
  const auto lost = unreadable_keys(file, {all.begin(), all.end()});
  REQUIRE_FALSE(lost.empty());
  REQUIRE(lost.size() < all.size());
  auto engine = value_or_throw(open_rocksdb(table_settings(directory.path())));
  std::vector<key_range> skipped;
  const auto found = keys_found(*engine, "K", "L", skipped);
  CHECK(found.size() == all.size() - lost.size());
}

TEST_CASE_FIXTURE(fixture, "R24: schedules behind a damaged block fire, and the others when it can be read") {
  constexpr std::uint64_t all = 600;
  put_schedules(all);
  const auto lost = damage_block(directory.path(), 'W');
  runtime running(settings());
  running.define<bell>();
  reaches([] { return static_cast<std::uint64_t>(rings); }, all - lost.keys.size());
  CHECK(running.stats().damage == 1);
  REQUIRE(running.stats().damaged_ranges.size() == 1);
  const auto named = running.stats().damaged_ranges.front();
  CHECK(contains(named.rows, "the due time of a schedule"));
  CHECK(contains(named.reason, lost.file.filename().string()));
  lost.mend();
  reaches([] { return static_cast<std::uint64_t>(rings); }, all);
  CHECK(eventually([&] { return running.stats().schedules == 0; }, 10s));
  CHECK(running.stats().dead_letters == 0);
}

TEST_CASE_FIXTURE(fixture, "R24: a place that the disk cannot read for long is damage, and others fire") {
  constexpr std::uint64_t all = 600;
  put_schedules(all);
  auto files = std::make_shared<faulty_files>();
  const auto lost = spoil_block(*files, 'W');
  runtime running(settings(), ports{.wrap_engine = faulty_files::under(files, directory.path(), 300ms)});
  running.define<bell>();
  reaches([] { return static_cast<std::uint64_t>(rings); }, all - lost.keys.size());
  CHECK(eventually([&] { return running.stats().damage == 1; }, 10s));
  const auto named = running.stats().damaged_ranges.at(0);
  CHECK(contains(named.reason, "a bad sector of the disk"));
  CHECK(contains(named.reason, lost.file.filename().string()));
  files->mend();
  reaches([] { return static_cast<std::uint64_t>(rings); }, all);
  CHECK(eventually([&] { return running.stats().schedules == 0; }, 10s));
}

TEST_CASE_FIXTURE(fixture, "R24: a read that fails for a moment is no damage") {
  constexpr std::uint64_t all = 600;
  put_schedules(all);
  auto files = std::make_shared<faulty_files>();
  const auto lost = spoil_block(*files, 'W');
  runtime running(settings(), ports{.wrap_engine = faulty_files::under(files, directory.path(), 1h)});
  running.define<bell>();
  CHECK(eventually([&] { return files->failed() >= 3; }, 10s));
  files->mend();
  reaches([] { return static_cast<std::uint64_t>(rings); }, all);
  CHECK(running.stats().damage == 0);
}

TEST_CASE_FIXTURE(fixture, "R24: fetches behind a damaged block go out, and the others when it can be read") {
  constexpr std::uint64_t all = 400;
  write_set writes;
  for (std::uint64_t i = 1; i <= all; ++i)
    add_fetch(writes, fetch_number(i));
  put(writes);
  const auto lost = damage_block(directory.path(), 'Q');
  runtime running(settings());
  const auto ended = [&] { return running.stats().responses_stored; };
  reaches(ended, all - lost.keys.size());
  CHECK(running.stats().queued_fetches == 0);
  CHECK(running.stats().damage == 1);
  CHECK(contains(running.stats().damaged_ranges.at(0).rows, "the queue"));
  lost.mend();
  reaches(ended, all);
  CHECK(eventually([&] { return running.stats().queued_fetches == 0; }, 10s));
}

TEST_CASE_FIXTURE(fixture, "R24: what is behind a damaged block of an inbox is delivered") {
  constexpr std::uint64_t all = 500;
  write_set writes;
  for (std::uint64_t i = 1; i <= all; ++i)
    writes.push_back(
        {keys::inbox(bell_number(i), i), seal_value(frame_type::post, post_message{"ring", encode()})});
  put(writes);
  const auto lost = damage_block(directory.path(), 'I');
  runtime running(settings());
  running.define<bell>();
  reaches([] { return static_cast<std::uint64_t>(rings); }, all - lost.keys.size());
  CHECK(contains(running.stats().damaged_ranges.at(0).rows, "the inbox of object BELL/"));
  // New messages to the objects in the block are delivered, and not once more with it.
  for (const auto& key : lost.keys)
    value_of(running.get<bell>(keys::parse_inbox(key).value().where.instance_id).post<&bell::ring>());
  reaches([] { return static_cast<std::uint64_t>(rings); }, all);
  lost.mend();
  reaches([] { return static_cast<std::uint64_t>(rings); }, all + lost.keys.size());
  CHECK(eventually([&] { return running.stats().pending_messages == 0; }, 10s));
  CHECK(running.stats().dead_letters == 0);
}

struct brood_fixture : fixture {
  static constexpr std::uint64_t all = 400;
  std::vector<task_id> tasks;
  std::vector<promise_id<int>> words;

  brood_fixture() {
    brooder::is_other_code = false;
    runtime running(settings());
    running.define<brooder>();
    for (std::uint64_t i = 1; i <= all; ++i)
      tasks.push_back(value_of(running.get<brooder>(bell_number(i).instance_id).start<&brooder::brood>()));
    for (std::uint64_t i = 1; i <= all; ++i) {
      auto object = running.get<brooder>(bell_number(i).instance_id);
      std::string word;
      CHECK(eventually([&] { return !(word = value_of(object.call<&brooder::word>())).empty(); }, 10s));
      words.push_back(promise_id<int>(value_or_throw(parse_promise_id(word))));
    }
  }
};

TEST_CASE_FIXTURE(brood_fixture,
                  "R24: stuck tasks behind a damaged block go on, and the others when it can be read") {
  {
    brooder::is_other_code = true;
    runtime running(settings());
    running.define<brooder>();
    for (const auto& word : words)
      CHECK(value_of(running.tasks().resolve(word, 7)));
    CHECK(eventually([&] { return running.stats().stuck_tasks == all; }, 10s));
  }
  const auto lost = damage_block(directory.path(), 'U');
  brooder::is_other_code = false;
  brooder::begun = 0;
  runtime running(settings());
  running.define<brooder>();
  reaches([] { return static_cast<std::uint64_t>(brooder::begun); }, all - lost.keys.size());
  CHECK(contains(running.stats().damaged_ranges.at(0).rows, "stuck task"));
  lost.mend();
  reaches([] { return static_cast<std::uint64_t>(brooder::begun); }, all);
  CHECK(eventually([&] { return running.stats().stuck_tasks == 0; }, 10s));
  for (const auto& task : tasks)
    CHECK(value_of(running.tasks().result<int>(task)) == 7);
}

TEST_CASE_FIXTURE(brood_fixture, "R24: tasks in a damaged block fail by name, and all others go on") {
  const auto lost = damage_block(directory.path(), 'T');
  runtime running(settings());
  running.define<brooder>();
  const auto is_lost = [&](const task_id& task) { return lost.keys.contains(keys::task(task)); };
  CHECK(running.tasks().list({.limit = 1'000}).size() == all - lost.keys.size());
  for (std::uint64_t i = 0; i < all; ++i) {
    auto outcome = running.tasks().resolve(words[i], 7);
    if (!is_lost(tasks[i])) {
      CHECK(value_of(std::move(outcome)));
      CHECK(value_of(running.tasks().result<int>(tasks[i])) == 7);
      continue;
    }
    const auto why = error_of(std::move(outcome));
    CHECK(why.code == errc::corrupt);
    CHECK(contains(why.message, "BROODER/" + tasks[i].object.instance_id));
    CHECK_FALSE(value_of(running.get<brooder>(tasks[i].object.instance_id).call<&brooder::word>()).empty());
  }
  lost.mend(); // nothing was erased meanwhile
  CHECK(running.tasks().list({.limit = 1'000}).size() == all);
  for (std::uint64_t i = 0; i < all; ++i)
    if (is_lost(tasks[i])) {
      CHECK(value_of(running.tasks().resolve(words[i], 7)));
      CHECK(value_of(running.tasks().result<int>(tasks[i])) == 7);
    }
}

TEST_CASE_FIXTURE(fixture, "R24: objects in a damaged block fail by name, and all others work") {
  constexpr std::uint64_t all = 500;
  {
    runtime running(settings());
    running.define<bell>();
    std::vector<std::future<void>> done;
    for (std::uint64_t i = 1; i <= all; ++i)
      done.push_back(running.get<bell>(bell_number(i).instance_id).call<&bell::ring>());
    for (auto& each : done)
      value_of(std::move(each));
  }
  const auto lost = damage_block(directory.path(), 'O');
  runtime running(settings());
  running.define<bell>();
  std::size_t failed = 0;
  for (std::uint64_t i = 1; i <= all; ++i) {
    auto object = running.get<bell>(bell_number(i).instance_id);
    if (!lost.keys.contains(keys::object(bell_number(i)))) {
      CHECK(value_of(object.call<&bell::total>()) == 1);
      continue;
    }
    const auto why = error_of(object.call<&bell::ring>());
    CHECK(why.code == errc::corrupt);
    CHECK(contains(why.message, "BELL/" + bell_number(i).instance_id));
    CHECK(contains(why.message, lost.file.filename().string()));
    ++failed;
  }
  CHECK(failed == lost.keys.size());
  CHECK(running.stats().damage == failed);
  const auto page = running.objects("BELL");
  CHECK(page.ids.size() == all - failed);
  CHECK(page.damaged_ranges == 1);
}

TEST_CASE_FIXTURE(fixture, "R24: a list that meets a damaged block names its rows, and the damage is noted") {
  constexpr int all = 400;
  {
    runtime running(settings());
    running.define<keeper>();
    CHECK(value_of(running.get<keeper>("k").call<&keeper::fill>(all)) == all);
    CHECK(value_of(running.get<keeper>("k").call<&keeper::count>(false)) == all);
  }
  const auto lost = damage_block(directory.path(), 'K');
  for (const bool backward : {false, true}) {
    CAPTURE(backward);
    runtime running(settings());
    running.define<keeper>();
    const auto why = error_of(running.get<keeper>("k").call<&keeper::count>(backward));
    CHECK(why.code == errc::corrupt);
    CHECK(contains(why.message, "the storage of object KEEPER/k"));
    CHECK(running.stats().damage >= 1);
    CHECK(contains(running.stats().damaged_ranges.at(0).reason, lost.file.filename().string()));
    CHECK(std::filesystem::exists(directory.path() / damage_note));
    std::filesystem::remove(directory.path() / damage_note);
  }
}

TEST_CASE_FIXTURE(fixture, "R24: a schedule whose row cannot be read is not taken for one that is gone") {
  constexpr std::uint64_t all = 600;
  write_set writes;
  for (std::uint64_t i = 1; i <= all; ++i)
    add_schedule(writes, i);
  put(writes);
  const auto lost = damage_block(directory.path(), 'H');
  {
    runtime running(settings());
    running.define<bell>();
    reaches([] { return static_cast<std::uint64_t>(rings); }, all - lost.keys.size());
    CHECK(eventually([&] { return running.stats().schedules == lost.keys.size(); }, 10s));
    CHECK(running.stats().dead_letters == 0);
    CHECK(running.stats().damage == lost.keys.size());
  }
  CHECK(on_disk('W') == lost.keys.size());
  lost.mend();
  runtime again(settings());
  again.define<bell>();
  reaches([] { return static_cast<std::uint64_t>(rings); }, all);
}

TEST_CASE_FIXTURE(fixture, "R24: a request whose mark cannot be read does not go out, and all others do") {
  constexpr std::uint64_t all = 600;
  write_set writes;
  for (std::uint64_t i = 1; i <= all; ++i) {
    const auto key = add_fetch(writes, fetch_number(i, "POST"));
    writes.push_back({keys::attempt(i), key});
  }
  put(writes);
  const auto lost = damage_block(directory.path(), 'A');
  runtime running(settings());
  const auto ended = [&] { return running.stats().responses_stored; };
  reaches(ended, all - lost.keys.size());
  CHECK(running.stats().blocked == 0);
  CHECK(running.stats().queued_fetches == lost.keys.size());
  lost.mend();
  reaches(ended, all); // as FETCH_FAILED: they may have been received
  CHECK(running.stats().blocked == 0);
}

TEST_CASE_FIXTURE(fixture, "R24: the mark of a request whose row cannot be read is kept") {
  constexpr std::uint64_t all = 400;
  write_set writes;
  for (std::uint64_t i = 1; i <= all; ++i) {
    const auto key = add_fetch(writes, fetch_number(i, "POST"));
    writes.push_back({keys::attempt(i), key});
  }
  put(writes);
  const auto lost = damage_block(directory.path(), 'Q');
  runtime running(settings());
  const auto ended = [&] { return running.stats().responses_stored; };
  reaches(ended, all - lost.keys.size());
  lost.mend();
  reaches(ended, all);
  CHECK(running.stats().blocked == 0); // none of them went out again
  CHECK(eventually([&] { return running.stats().queued_fetches == 0; }, 10s));
}

TEST_CASE_FIXTURE(fixture, "R24: deadlines behind a damaged block are kept") {
  constexpr std::uint64_t all = 600;
  write_set writes;
  for (std::uint64_t i = 1; i <= all; ++i) {
    auto fetch = fetch_number(i);
    fetch.created_ms = 1;
    fetch.deadline_ms = static_cast<std::int64_t>(i) * 1'000;
    auto key = keys::queue({}, fetch.priority, 4'000'000'000'000, i); // in a hundred years
    writes.push_back({keys::deadline(fetch.deadline_ms, i), key});
    writes.push_back({std::move(key), seal_value(frame_type::fetch, fetch)});
  }
  put(writes);
  const auto lost = damage_block(directory.path(), 'E');
  runtime running(settings());
  reaches([&] { return running.stats().responses_stored; }, all - lost.keys.size());
  CHECK(contains(running.stats().damaged_ranges.at(0).rows, "a deadline"));
}

TEST_CASE_FIXTURE(fixture, "R24: deadlines of fetches that cannot be read are kept until they can be") {
  constexpr std::uint64_t all = 400;
  write_set writes;
  for (std::uint64_t i = 1; i <= all; ++i) {
    auto fetch = fetch_number(i);
    fetch.created_ms = 1;
    fetch.deadline_ms = 1'000;
    auto key = keys::queue({}, fetch.priority, 4'000'000'000'000, i); // in a hundred years
    writes.push_back({keys::deadline(fetch.deadline_ms, i), key});
    writes.push_back({std::move(key), seal_value(frame_type::fetch, fetch)});
  }
  put(writes);
  const auto lost = damage_block(directory.path(), 'Q');
  auto chosen = settings();
  const auto clock = std::make_shared<manual_clock>();
  chosen.clock = clock;
  runtime running(chosen);
  const auto ended = [&] { return running.stats().responses_stored; };
  reaches(ended, all - lost.keys.size());
  lost.mend();
  CHECK(eventually(
      [&] {
        clock->advance(1s);
        return ended() == all;
      },
      10s));
  CHECK(eventually([&] { return running.stats().queued_fetches == 0; }, 10s));
}

TEST_CASE_FIXTURE(fixture, "R24: aborts on the other side of a damaged block are acted on") {
  constexpr std::uint64_t all = 400;
  for (const char kind : {'S', 'G'}) {
    CAPTURE(kind);
    scratch_directory other;
    { runtime made({.directory = other.path()}); }
    write_set writes;
    for (std::uint64_t i = 1; i <= all; ++i) {
      auto fetch = fetch_number(i);
      const abort_id id{i, i};
      auto key = keys::queue({}, fetch.priority, 4'000'000'000'000, i);
      writes.push_back({keys::signal(id, i), key});
      writes.push_back({keys::abort_mark(id),
                        seal_value(frame_type::abort_mark, abort_mark{wall_clock().now_ms(), "enough"})});
      writes.push_back({std::move(key), seal_value(frame_type::fetch, fetch)});
    }
    disk(other.path()).put_all(writes);
    const auto lost = damage_block(other.path(), kind);
    runtime running({.directory = other.path()});
    const auto aborted = [&] { return running.stats().aborted; };
    reaches(aborted, all - lost.keys.size());
    lost.mend();
    reaches(aborted, all);
  }
}

TEST_CASE("R24: what could not be read is looked at again, less and less often") {
  unread_ranges unread;
  CHECK(unread.next_ms() == unread_ranges::never);
  unread.add({"b", "d"}, 0);
  unread.add({"b", "d"}, 500);
  CHECK(unread.contains("b"));
  CHECK(unread.contains("c"));
  CHECK_FALSE(unread.contains("a"));
  CHECK_FALSE(unread.contains("d"));
  std::vector<std::int64_t> times;
  for (std::int64_t now = unread.next_ms(); times.size() < 12; now = unread.next_ms()) {
    unread.look_again(now - 1, [](const key_range&) { return true; }); // too early: it is not asked
    unread.look_again(now, [&](const key_range& rows) {
      CHECK(rows == key_range{"b", "d"});
      times.push_back(now);
      return false;
    });
  }
  CHECK(times[0] == 1'000);
  CHECK(times[1] == 3'000);
  CHECK(times[11] - times[10] == 600'000);
  unread.look_again(unread.next_ms(), [](const key_range&) { return true; });
  CHECK(unread.empty());
  CHECK(unread.next_ms() == unread_ranges::never);
}

} // namespace dormouse::test::damaged_block_test
