// Repair of damaged stores: one step brings them back, and what is in the bad block is lost and said to be.

#include "damaged_table.hpp"
#include "disk.hpp"
#include "eventually.hpp"
#include "faulty_files.hpp"
#include "outcome.hpp"
#include "store/exchange.hpp"
#include "store/repair.hpp"
#include "store/store.hpp"
#include "subprocess.hpp"

#include <dormouse/dormouse.hpp>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace dormouse::test::repair_test {

using namespace std::chrono_literals;

namespace {

class ledger : public durable_object {
public:
  int add(int amount) {
    storage().put("last", amount);
    return total_ += amount;
  }
  int total() const { return total_; }

  template <class Archive> void serialize(Archive& ar) { ar(total_); }

  using methods = dormouse::methods<"LEDGER", method<"add", &ledger::add>, method<"total", &ledger::total>>;

private:
  int total_ = 0;
};

constexpr int all = 400;

std::string id_of(int i) { return fmt::format("{:05}", i); }

struct fixture {
  scratch_directory directory;

  fixture() {
    runtime running(settings());
    running.define<ledger>();
    std::vector<std::future<int>> done;
    for (int i = 0; i < all; ++i)
      done.push_back(running.get<ledger>(id_of(i)).call<&ledger::add>(i));
    for (auto& each : done)
      value_of(std::move(each));
  }

  options settings() const { return {.directory = directory.path()}; }

  std::map<std::string, std::string> rows(char kind) { return disk(directory.path()).rows(kind); }

  bool has_kept_files() const {
    for (const auto& each : std::filesystem::directory_iterator(directory.path()))
      if (each.is_directory() && each.path().filename().string().starts_with("damaged-"))
        return std::filesystem::exists(each.path() / "CURRENT");
    return false;
  }

  /// Those whose calls fail with `corrupt`; all others work, and writes do.
  std::set<std::string> broken(runtime& running) {
    std::set<std::string> out;
    for (int i = 0; i < all; ++i) {
      auto object = running.get<ledger>(id_of(i));
      try {
        const int total =
            value_of(object.call<&ledger::total>()); // CHECK itself would catch what this throws
        const int written = value_of(object.call<&ledger::add>(0));
        CHECK(total == i);
        CHECK(written == i);
      } catch (const failure& why) {
        CHECK(why.code() == errc::corrupt);
        CHECK(contains(why.what(), "LEDGER/" + id_of(i)));
        out.insert(id_of(i));
      }
    }
    return out;
  }
};

std::set<std::string> ids_of(const std::set<std::string>& object_keys) {
  std::set<std::string> out;
  for (const auto& key : object_keys)
    out.insert(keys::parse_object(key).value().instance_id);
  return out;
}

} // namespace

TEST_CASE_FIXTURE(fixture, "R24: a repair gives up what is in the bad block and saves all else") {
  const auto before = rows('K');
  const auto lost = damage_block(directory.path(), 'O');
  const auto done = value_or_throw(repair_store(table_settings(directory.path()), 1'000));
  CHECK(has_kept_files());
  CHECK(done.kept == directory.path() / "damaged-1000");
  CHECK_FALSE(done.log_was_cut);
  REQUIRE(done.lost.size() == 1);
  CHECK(contains(describe_rows(done.lost[0].rows()), "object LEDGER/"));
  CHECK(contains(done.lost[0].reason, lost.file.filename().string()));
  CHECK(rows('K') == before);
  CHECK(rows('O').size() == all - lost.keys.size());
  {
    runtime running(settings());
    running.define<ledger>();
    CHECK(broken(running) == ids_of(lost.keys));
    CHECK(running.stats().damage >= 1);
    CHECK(contains(running.stats().damaged_ranges.at(0).reason, "was lost when the store was repaired"));
    CHECK(value_of(running.get<ledger>("somebody new").call<&ledger::add>(1)) == 1);
  }
  // It is no damage that is to be repaired again.
  CHECK_FALSE(std::filesystem::exists(directory.path() / damage_note));
  CHECK(value_or_throw(accept_losses(table_settings(directory.path()))) == 1);
  runtime running(settings());
  running.define<ledger>();
  for (const auto& id : ids_of(lost.keys))
    CHECK(value_of(running.get<ledger>(id).call<&ledger::total>()) == 0);
  CHECK(running.stats().damage == 0);
}

TEST_CASE_FIXTURE(fixture, "R24: a repair gives up what is in a bad sector and saves all else") {
  const auto before = rows('K');
  const auto lost = damage_block(directory.path(), 'O');
  lost.mend();
  auto files = std::make_shared<faulty_files>();
  files->spoil(lost.file, lost.at);
  auto settings = table_settings(directory.path());
  settings.files = files;
  const auto done = value_or_throw(repair_store(settings, 1'000));
  REQUIRE(done.lost.size() == 1);
  CHECK(contains(done.lost[0].reason, "a bad sector of the disk"));
  CHECK(rows('K') == before);
  CHECK(rows('O').size() == all - lost.keys.size());
}

TEST_CASE_FIXTURE(fixture, "R24: an object whose rows were lost is damaged too") {
  const auto lost = damage_block(directory.path(), 'K');
  value_or_throw(repair_store(table_settings(directory.path()), 1'000));
  std::set<std::string> wanted;
  for (const auto& key : lost.keys)
    wanted.insert(keys::address_in(key).value().instance_id);
  runtime running(settings());
  running.define<ledger>();
  auto found = broken(running);
  CHECK(std::includes(found.begin(), found.end(), wanted.begin(), wanted.end()));
  CHECK(found.size() <= wanted.size() + 2); // its neighbours: the damage may begin or end with rows of theirs
}

TEST_CASE_FIXTURE(fixture, "R24: rows in other tables are saved, though damage lies over them") {
  const auto below = compact_store(directory.path());
  { // A second table with a row at either end: its block covers all the others.
    runtime running(settings());
    running.define<ledger>();
    value_of(running.get<ledger>(id_of(0)).call<&ledger::add>(0));
    value_of(running.get<ledger>(id_of(all - 1)).call<&ledger::add>(0));
  }
  { // the log becomes a table
    rocksdb::DB* opened = nullptr;
    const auto options = rocksdb_options(table_settings(directory.path()));
    REQUIRE(rocksdb::DB::Open(options, directory.path().string(), &opened).ok());
    std::unique_ptr<rocksdb::DB> db(opened);
    REQUIRE(db->Flush({}).ok());
  }
  const auto key = keys::object({"LEDGER", id_of(0)});
  std::filesystem::path over;
  for (const auto& each : std::filesystem::directory_iterator(directory.path())) {
    if (each.path().extension() != ".sst" || each.path() == below) continue;
    rocksdb::SstFileReader reader(rocksdb_options(table_settings(directory.path())));
    REQUIRE(reader.Open(each.path().string()).ok());
    std::unique_ptr<rocksdb::Iterator> row(reader.NewIterator({}));
    row->Seek(key);
    if (row->Valid() && row->key() == key) over = each.path();
  }
  REQUIRE_FALSE(over.empty());
  flip_byte(over, 10);
  value_or_throw(repair_store(table_settings(directory.path()), 1'000));
  const auto left = rows('O');
  CHECK(left.size() == all - 2);
  CHECK_FALSE(left.contains(keys::object({"LEDGER", id_of(0)}))); // the table below has an older state of it
  CHECK_FALSE(left.contains(keys::object({"LEDGER", id_of(all - 1)})));
}

TEST_CASE_FIXTURE(fixture, "R24: a store in which damage was found is repaired when it is opened, if asked") {
  const auto lost = damage_block(directory.path(), 'O');
  auto mending = settings();
  mending.on_damage = damage_policy::repair;
  {
    runtime running(mending); // nothing is known yet
    running.define<ledger>();
    CHECK(broken(running).size() == lost.keys.size());
  }
  CHECK_FALSE(has_kept_files());
  CHECK(std::filesystem::exists(directory.path() / damage_note));
  runtime running(mending);
  running.define<ledger>();
  CHECK(has_kept_files());
  CHECK(broken(running) == ids_of(lost.keys));
}

TEST_CASE_FIXTURE(fixture, "R24: what a repair cannot mend is left as it is") {
  compact_store(directory.path());
  for (const auto& each : std::filesystem::directory_iterator(directory.path()))
    if (each.path().filename().string().starts_with("MANIFEST")) flip_byte(each.path(), each.file_size() / 2);
  CHECK(error_thrown_by([&] { runtime running(settings()); }).code == errc::corrupt);
  auto mending = settings();
  mending.on_damage = damage_policy::repair;
  CHECK(error_thrown_by([&] { runtime running(mending); }).code == errc::corrupt);
  CHECK(repair_store(table_settings(directory.path()), 1'000).error().code == errc::corrupt);
  CHECK(std::filesystem::exists(directory.path() / "CURRENT"));
  CHECK_FALSE(has_kept_files());
}

TEST_CASE_FIXTURE(fixture, "R24: a store without its file CURRENT is refused as it is, and repaired") {
  const auto before = rows('O');
  const auto manifests = [this] {
    std::set<std::string> out;
    for (const auto& each : std::filesystem::directory_iterator(directory.path()))
      if (each.path().filename().string().starts_with("MANIFEST")) out.insert(each.path().string());
    return out;
  };
  const auto manifests_before = manifests();
  std::filesystem::remove(directory.path() / "CURRENT");
  for (const bool has_mark : {true, false}) {
    if (!has_mark) std::filesystem::remove(directory.path() / "dormouse.watermark");
    const auto refused = error_thrown_by([&] { runtime running(settings()); });
    CHECK(refused.code == errc::corrupt);
    CHECK(contains(refused.message, "CURRENT"));
    CHECK_FALSE(std::filesystem::exists(directory.path() / "CURRENT"));
    CHECK(manifests() == manifests_before);
  }
  value_or_throw(repair_store(table_settings(directory.path()), 1'000));
  CHECK(rows('O') == before);
}

TEST_CASE_FIXTURE(fixture,
                  "R24: a repair says how many commits are missing, and an open how to give them up") {
  {
    runtime running(settings());
    running.define<ledger>();
    for (int i = 0; i < 20; ++i)
      value_of(running.get<ledger>(id_of(i)).call<&ledger::add>(0));
  }
  for (const auto& each : std::filesystem::directory_iterator(directory.path()))
    if (each.path().extension() == ".log") std::filesystem::resize_file(each.path(), 0);
  auto mending = settings();
  mending.on_damage = damage_policy::repair;
  const auto refused = error_thrown_by([&] { runtime running(mending); });
  CHECK(refused.code == errc::corrupt);
  CHECK(contains(refused.message, directory.path().string()));
  CHECK(contains(refused.message, "acknowledged commits are missing"));
  const auto done = value_or_throw(repair_store(table_settings(directory.path()), 1'000));
  CHECK(done.missing_commits.value_or(0) >= 20);
}

TEST_CASE_FIXTURE(fixture, "R24: a damaged filter of a table costs no row") {
  const auto objects = rows('O');
  const auto storage = rows('K');
  const auto table = compact_store(directory.path());
  std::uintmax_t behind_the_data = 0;
  {
    rocksdb::SstFileReader reader(rocksdb_options(table_settings(directory.path())));
    REQUIRE(reader.Open(table.string()).ok());
    behind_the_data = reader.GetTableProperties()->data_size;
  }
  flip_byte(table, behind_the_data + 8);
  value_or_throw(repair_store(table_settings(directory.path()), 1'000));
  CHECK(rows('O') == objects);
  CHECK(rows('K') == storage);
}

TEST_CASE_FIXTURE(fixture, "R24: of a store without one of its tables the command saves the others") {
  const auto first = compact_store(directory.path());
  {
    runtime running(settings());
    running.define<ledger>();
    for (int i = all; i < 2 * all; ++i)
      value_of(running.get<ledger>(id_of(i)).call<&ledger::add>(i));
  }
  for (const bool is_cut : {true, false}) {
    CAPTURE(is_cut);
    scratch_directory copy;
    std::filesystem::copy(directory.path(), copy.path(), std::filesystem::copy_options::recursive);
    const auto gone = copy.path() / first.filename();
    if (is_cut)
      std::filesystem::resize_file(gone, std::filesystem::file_size(gone) / 2);
    else
      std::filesystem::remove(gone);
    CHECK(error_thrown_by([&] { runtime running({.directory = copy.path()}); }).code == errc::corrupt);
    options mending{.directory = copy.path()};
    mending.on_damage = damage_policy::repair;
    const auto refused = error_thrown_by([&] { runtime running(mending); });
    CHECK(refused.code == errc::corrupt);
    CHECK(contains(refused.message, "dormouse repair"));
    const auto done = value_or_throw(repair_store(table_settings(copy.path()), 1'000));
    CHECK_FALSE(done.lost.empty());
    {
      runtime running({.directory = copy.path()});
      running.define<ledger>();
      for (int i = 0; i < 2 * all; ++i) { // right, or an error
        auto object = running.get<ledger>(id_of(i));
        try {
          const int total = value_of(object.call<&ledger::total>());
          CHECK(total == i);
        } catch (const failure& why) {
          CHECK(why.code() == errc::corrupt);
        }
      }
    }
    CHECK(value_or_throw(accept_losses(table_settings(copy.path()))) != 0);
    runtime running({.directory = copy.path()});
    running.define<ledger>();
    for (int i = all; i < 2 * all; ++i)
      CHECK(value_of(running.get<ledger>(id_of(i)).call<&ledger::total>()) == i);
  }
}

TEST_CASE_FIXTURE(fixture, "R24: acknowledged commits are given up by the command only, never by an open") {
  for (const auto& each : std::filesystem::directory_iterator(directory.path()))
    if (each.path().extension() == ".log" && each.file_size() > 4'096)
      std::filesystem::resize_file(each.path(), each.file_size() / 2);
  auto mending = settings();
  mending.on_damage = damage_policy::repair;
  const auto refused = error_thrown_by([&] { runtime running(mending); });
  CHECK(refused.code == errc::corrupt);
  CHECK(contains(refused.message, "dormouse repair"));
  CHECK_FALSE(has_kept_files());
  CHECK(value_or_throw(repair_store(table_settings(directory.path()), 1'000)).log_was_cut);
  runtime running(settings());
  running.define<ledger>();
  CHECK(value_of(running.get<ledger>("new").call<&ledger::add>(1)) == 1);
}

TEST_CASE_FIXTURE(fixture, "R24: lost due times and marks are made anew") {
  {
    write_set writes;
    for (std::uint64_t i = 1; i <= 500; ++i) {
      schedule_message what;
      what.id.number = i;
      what.method = "add";
      what.tick_ms = what.due_ms = 4'000'000'000'000 + static_cast<std::int64_t>(i);
      const auto key = keys::schedule({"LEDGER", id_of(static_cast<int>(i))}, what.id);
      writes.push_back({key, seal_value(frame_type::schedule, what)});
      writes.push_back({keys::due(what.due_ms, i), key});
    }
    disk(directory.path()).put_all(writes);
  }
  const auto before = rows('W');
  const auto lost = damage_block(directory.path(), 'W');
  REQUIRE_FALSE(lost.keys.empty());
  value_or_throw(repair_store(table_settings(directory.path()), 1'000));
  CHECK(rows('W') == before);
}

TEST_CASE_FIXTURE(fixture, "R24: lost rows that lead to fetches are made anew") {
  for (const char kind : std::string("AEG")) {
    CAPTURE(kind);
    scratch_directory other;
    { runtime made({.directory = other.path()}); }
    write_set writes;
    for (std::uint64_t i = 1; i <= 500; ++i) {
      fetch_message fetch;
      fetch.id = i;
      fetch.method = "POST";
      fetch.url = "http://127.0.0.1/";
      fetch.timeout_ms = 1'000;
      fetch.deadline_ms = 4'000'000'000'000;
      const abort_controller stop;
      fetch.extra.signal = stop.signal();
      REQUIRE(fetch.path.push({{"LEDGER", id_of(static_cast<int>(i))}, "add", {}}));
      auto key = keys::queue({}, fetch.priority, 4'000'000'000'000, i);
      writes.push_back({keys::attempt(i), key});
      writes.push_back({keys::deadline(fetch.deadline_ms, i), key});
      writes.push_back({keys::signal(stop.id(), i), key});
      writes.push_back({std::move(key), seal_value(frame_type::fetch, fetch)});
    }
    disk(other.path()).put_all(writes);
    const auto before = disk(other.path()).rows(kind);
    const auto lost = damage_block(other.path(), kind);
    REQUIRE_FALSE(lost.keys.empty());
    value_or_throw(repair_store(table_settings(other.path()), 1'000));
    CHECK(disk(other.path()).rows(kind) == before);
  }
}

TEST_CASE_FIXTURE(fixture, "R24: a repair that is interrupted is finished by the next open") {
  const auto before = rows('O');
  for (int step = 0; step < 3; ++step) {
    CAPTURE(step);
    const auto& at = directory.path();
    const auto info = rows('M');
    { // A fresh store beside the old one, and a part of the files has been moved.
      auto engine = value_or_throw(open_rocksdb(table_settings(at / repair_fresh)));
      write_set writes;
      for (const auto& [key, value] : before)
        writes.push_back({key, value});
      for (const auto& [key, value] : info)
        writes.push_back({key, value});
      const write_set* sets[] = {&writes};
      value_or_throw(engine->write(sets));
    }
    const std::string kept = fmt::format("damaged-{}", step);
    std::ofstream(at / (step < 2 ? "repair.ready" : "repair.swap")) << kept;
    std::filesystem::create_directories(at / kept);
    const auto move_some = [](const std::filesystem::path& from, const std::filesystem::path& to, int most) {
      std::vector<std::filesystem::path> files;
      for (const auto& each : std::filesystem::directory_iterator(from))
        if (const auto name = each.path().filename().string();
            each.is_regular_file() && name != "LOCK" && !name.starts_with("repair."))
          files.push_back(each.path());
      std::sort(files.begin(), files.end());
      for (const auto& each : files)
        if (most-- > 0) std::filesystem::rename(each, to / each.filename());
    };
    if (step == 1) move_some(at, at / kept, 2);
    if (step == 2) {
      move_some(at, at / kept, 1'000);
      move_some(at / repair_fresh, at, 2);
    }
    CHECK(rows('O') == before);
    CHECK_FALSE(std::filesystem::exists(at / repair_fresh));
    CHECK_FALSE(is_exchange_open(at));
    CHECK(std::filesystem::exists(at / kept / "CURRENT"));
  }
}

TEST_CASE_FIXTURE(fixture, "R24: a store that is open is not repaired") {
  runtime running(settings());
  const auto done = repair_store(table_settings(directory.path()), 1'000);
  REQUIRE_FALSE(done);
  CHECK(done.error().code == errc::directory_locked);
}

TEST_CASE_FIXTURE(fixture, "R24: a repair of a sound store loses nothing") {
  std::map<char, std::map<std::string, std::string>> before;
  for (const char kind : std::string("OKHWQTJI"))
    before.emplace(kind, rows(kind));
  const auto done = value_or_throw(repair_store(table_settings(directory.path()), 1'000));
  CHECK(done.lost.empty());
  for (const auto& [kind, of_kind] : before)
    CHECK(rows(kind) == of_kind);
}

TEST_CASE_FIXTURE(fixture,
                  "R24: the command dormouse repairs a directory, says what is lost, and accepts it") {
  const auto run = [&](const std::string& what, const std::string& where) {
    subprocess command({.arguments = {DORMOUSE_TOOL, what, where}});
    std::vector<std::string> lines;
    while (auto line = command.read_line())
      lines.push_back(*line);
    lines.push_back(command.wait());
    return lines;
  };
  const auto lost = damage_block(directory.path(), 'O');
  {
    runtime running(settings());
    CHECK(run("repair", directory.path().string()).back() != ""); // somebody has it open
  }
  const auto said = run("repair", directory.path().string());
  CHECK(said.back() == "");
  REQUIRE(said.size() >= 3);
  CHECK(contains(said[0], "rows saved; the old files are in " + directory.path().string() + "/damaged-"));
  CHECK(contains(said[1], "lost: from object LEDGER/"));
  CHECK(contains(said[1], lost.file.filename().string()));
  CHECK(has_kept_files());
  {
    runtime running(settings());
    running.define<ledger>();
    CHECK(broken(running) == ids_of(lost.keys));
  }
  CHECK(run("accept-losses", directory.path().string()) ==
        std::vector<std::string>{"1 lost ranges forgotten", ""});
  {
    runtime running(settings());
    running.define<ledger>();
    CHECK(value_of(running.get<ledger>(*ids_of(lost.keys).begin()).call<&ledger::total>()) == 0);
  }
  CHECK(run("repair", (directory.path() / "nowhere").string()).back() != "");
  CHECK(run("mend", directory.path().string()).back() != "");
}

TEST_CASE_FIXTURE(fixture,
                  "R24: when a compaction meets the bad block writes fail by name, reads of all else go on, "
                  "and a repair ends it") {
  const auto lost = damage_block(directory.path(), 'O');
  const auto key_of = [](int i) { return keys::object({"LEDGER", id_of(i)}); };
  {
    auto engine = value_or_throw(open_rocksdb(table_settings(directory.path())));
    std::optional<error> failed;
    for (int round = 0; round < 400 && !failed; ++round) { // over all keys, until the tables are merged
      write_set writes;
      writes.push_back({"A", std::string(32 * 1024, static_cast<char>('a' + round % 26))});
      writes.push_back({"Z", std::string(32 * 1024, static_cast<char>('a' + round % 26))});
      const write_set* sets[] = {&writes};
      if (auto written = engine->write(sets); !written) failed = written.error();
    }
    REQUIRE(failed);
    CHECK(failed->code == errc::corrupt);
    CHECK(contains(failed->message, lost.file.filename().string()));
    for (int i = 0; i < all; ++i)
      CHECK(engine->get(key_of(i)).has_value() != lost.keys.contains(key_of(i)));
    const write_set more{{"B", "b"}};
    const write_set* sets[] = {&more};
    CHECK(engine->write(sets).error().code == errc::corrupt);
  }
  CHECK_FALSE(value_or_throw(repair_store(table_settings(directory.path()), 1'000)).lost.empty());
  auto engine = value_or_throw(open_rocksdb(table_settings(directory.path())));
  const write_set more{{"B", "b"}};
  const write_set* sets[] = {&more};
  CHECK(engine->write(sets));
  for (int i = 0; i < all; ++i)
    CHECK(value_or_throw(engine->get(key_of(i))).has_value() != lost.keys.contains(key_of(i)));
}

} // namespace dormouse::test::repair_test
