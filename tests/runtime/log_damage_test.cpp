// The write-ahead log of a store, damaged in all ways: the store opens with everything that was acknowledged,
// or says that it does not.

#include "damaged_table.hpp"
#include "eventually.hpp"
#include "outcome.hpp"
#include "store/keys.hpp"
#include "store/repair.hpp"
#include "store/rocksdb_options.hpp"
#include "store/store.hpp"
#include "store/watermark.hpp"

#include <dormouse/dormouse.hpp>

#include <doctest/doctest.h>
#include <rocksdb/db.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace dormouse::test::log_damage_test {
namespace {

class counter : public durable_object {
public:
  int add(int amount) { return total_ += amount; }
  int total() const { return total_; }
  template <class Archive> void serialize(Archive& ar) { ar(total_); }

  using methods =
      dormouse::methods<"COUNTER", method<"add", &counter::add>, method<"total", &counter::total>>;

private:
  int total_ = 0;
};

namespace fs = std::filesystem;
using rows = std::map<std::string, std::string>;

std::uint64_t pick_seed() {
  const char* given = std::getenv("DORMOUSE_TEST_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
}

/// More of them in a long run.
int flips() {
  const char* given = std::getenv("DORMOUSE_TEST_FLIPS");
  return given != nullptr ? std::atoi(given) : 60;
}

std::string read(const fs::path& file) {
  std::ifstream from(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(from), {}};
}

void write(const fs::path& file, const std::string& bytes) {
  std::ofstream(file, std::ios::binary | std::ios::trunc) << bytes;
}

/// The log that holds what was written last.
fs::path log_of(const fs::path& directory) {
  fs::path last;
  for (const auto& each : fs::directory_iterator(directory))
    if (each.path().extension() == ".log" && each.file_size() > 0 && each.path() > last) last = each.path();
  REQUIRE(!last.empty());
  return last;
}

rocksdb_settings settings_for(const fs::path& directory) {
  return {directory, std::size_t{1} << 20U, std::size_t{1} << 20U, 128 * 1024};
}

/// All rows of a store, or why it does not open.
expected<rows> open_and_read(const fs::path& directory) {
  auto engine = open_rocksdb(settings_for(directory));
  if (!engine) return unexpected<error>(engine.error());
  rows all;
  auto row = (*engine)->scan("N", "Z");
  for (; row->valid(); row->next())
    all.emplace(row->key(), row->value());
  if (auto good = row->status(); !good) return unexpected<error>(good.error());
  return all;
}

std::string key_of(int number) { return "O" + std::to_string(number % 20); }

/// A store in which 20 rows were written three times each, each time by a commit of its own, and what its
/// files were after each commit.
class written_store {
public:
  static constexpr int commits = 60;

  written_store() {
    auto engine = value_or_throw(open_rocksdb(settings_for(directory)));
    for (int number = 0; number < commits; ++number) {
      write_set writes{{key_of(number), std::to_string(number) + std::string(200 + number * 97 % 1500, 'x')}};
      if (number % 10 == 0) writes.push_back({"P" + std::to_string(number), "more than one row"});
      const write_set* sets[] = {&writes};
      value_or_throw(engine->write(sets));
      for (const auto& each : writes)
        now_.insert_or_assign(each.key, *each.value);
      after.push_back(now_);
      borders.push_back(fs::file_size(log_of(directory)));
      marks.push_back(read(directory / "dormouse.watermark"));
    }
    engine.reset();
    log = read(log_of(directory));
    REQUIRE(log.size() == borders.back());
  }

  /// A copy whose log is this.
  fs::path with_log(const std::string& bytes) const {
    const auto copy = scratch_.path() / "copy";
    fs::remove_all(copy);
    fs::copy(directory, copy, fs::copy_options::recursive);
    write(log_of(copy), bytes);
    return copy;
  }

  /// Opens with everything, or is refused as corrupt, naming the directory, with its log left as it is.
  /// Whether it was refused.
  bool is_refused(const std::string& damaged) const {
    const auto copy = with_log(damaged);
    const auto file = damaged.empty() ? fs::path() : log_of(copy);
    const auto found = open_and_read(copy);
    if (found) {
      CHECK((*found == after.back()));
      return false;
    }
    CHECK(found.error().code == errc::corrupt);
    CHECK_MESSAGE(contains(found.error().message, copy.string()), found.error().message);
    if (!damaged.empty()) CHECK((read(file) == damaged));
    return true;
  }

private:
  test::scratch_directory scratch_;
  rows now_;

public:
  fs::path directory = scratch_.path() / "store";
  std::vector<rows> after;
  std::vector<std::uintmax_t> borders; ///< the size of the log
  std::vector<std::string> marks;      ///< the watermark
  std::string log;
};

} // namespace

TEST_CASE("R24: a flipped bit in the log is reported, never passed over") {
  const written_store store;
  REQUIRE(!store.is_refused(store.log));
  const auto seed = pick_seed();
  INFO("repeat with DORMOUSE_TEST_SEED=", seed);
  std::mt19937_64 random(seed);
  const int all = flips();
  int refused = 0;
  for (int flip = 0; flip < all; ++flip) {
    const auto bit = random() % (store.log.size() * 8);
    CAPTURE(bit);
    auto damaged = store.log;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ 1 << bit % 8);
    refused += store.is_refused(damaged) ? 1 : 0;
  }
  CHECK(refused >= all - 2); // the rest of a block may be unused
}

TEST_CASE("R24: every bit of the header of a record in the log counts") {
  const written_store store;
  constexpr std::size_t header = 7;
  for (const int commit : {0, written_store::commits / 2, written_store::commits - 1}) {
    const auto begin = commit == 0 ? 0 : store.borders[static_cast<std::size_t>(commit) - 1];
    for (std::size_t bit = 0; bit < header * 8; bit += commit == 0 ? 3 : 6) {
      CAPTURE(commit);
      CAPTURE(bit);
      auto damaged = store.log;
      damaged[begin + bit / 8] = static_cast<char>(damaged[begin + bit / 8] ^ 1 << bit % 8);
      CHECK(store.is_refused(damaged));
    }
  }
}

TEST_CASE("R24: a run of zeros in the log is reported, never passed over") {
  const written_store store;
  const auto seed = pick_seed();
  INFO("repeat with DORMOUSE_TEST_SEED=", seed);
  std::mt19937_64 random(seed);
  std::vector<std::size_t> places{0, store.log.size() - 64};
  for (int run = 0; run < 15; ++run)
    places.push_back(random() % (store.log.size() - 64));
  for (std::size_t block = 32'768; block + 64 < store.log.size(); block += 32'768)
    places.push_back(block);
  for (int run = 0; run < 15; ++run) // over the header of a record
    places.push_back(
        std::min<std::size_t>(store.borders[random() % (store.borders.size() - 1)], store.log.size() - 64));
  for (const auto at : places) {
    CAPTURE(at);
    auto damaged = store.log;
    std::fill_n(damaged.begin() + static_cast<std::ptrdiff_t>(at), 64, '\0');
    CHECK(store.is_refused(damaged));
  }
  CHECK(store.is_refused(std::string(store.log.size(), '\0')));
}

TEST_CASE("R24: a hole in the log is reported where RocksDB goes on behind it") {
  test::scratch_directory scratch;
  const auto directory = scratch.path() / "store";
  constexpr std::uintmax_t block = 32'768;
  std::uintmax_t second = 0;
  {
    auto engine = value_or_throw(open_rocksdb(settings_for(directory)));
    const auto put = [&engine](std::size_t bytes) {
      const write_set writes{{"Orow", std::string(bytes, 'z')}};
      const write_set* sets[] = {&writes};
      value_or_throw(engine->write(sets));
    };
    put(10'000);
    second = fs::file_size(log_of(directory));
    put(10'000);
    put(block - 2 * second -
        (second - 10'000)); // to the last byte of the block: the next begins with a record
    REQUIRE(fs::file_size(log_of(directory)) == block);
    put(100);
    put(100);
  }
  const auto log = read(log_of(directory));
  for (const auto at : {std::uintmax_t{0}, second, 2 * second}) {
    CAPTURE(at);
    auto damaged = log;
    std::fill_n(damaged.begin() + static_cast<std::ptrdiff_t>(at), 64, '\0');
    write(log_of(directory), damaged);
    const auto found = open_and_read(directory);
    REQUIRE(!found);
    CHECK(found.error().code == errc::corrupt);
    CHECK_MESSAGE(contains(found.error().message, "missing"), found.error().message);
  }
  write(log_of(directory), log);
  CHECK(open_and_read(directory));
}

TEST_CASE("R24: a repair keeps what is in front of the damage in a log, and nothing behind it") {
  const written_store store;
  for (const bool with_hole : {false, true}) // of zeros, which RocksDB itself passes over
    for (std::size_t commit = 1; commit < store.borders.size(); commit += 7) {
      CAPTURE(with_hole);
      CAPTURE(commit);
      auto damaged = store.log;
      const auto at = store.borders[commit - 1];
      if (with_hole)
        std::fill_n(damaged.begin() + static_cast<std::ptrdiff_t>(at), 64, '\0');
      else
        damaged[at + 100] = static_cast<char>(damaged[at + 100] ^ 1);
      const auto copy = store.with_log(damaged);
      const auto done = value_or_throw(repair_store(settings_for(copy), 1'000));
      CHECK(done.log_was_cut);
      CHECK(done.lost.empty());
      CHECK((value_or_throw(open_and_read(copy)) == store.after[commit - 1]));
    }
}

TEST_CASE("R24: a log that was cut off is reported with the number of commits that are missing") {
  const written_store store;
  for (std::size_t whole : {0, 1, 37, 59}) {
    for (const std::size_t part : {0, 9, 100}) {
      CAPTURE(whole);
      CAPTURE(part);
      const auto border = whole == 0 ? 0 : store.borders[whole - 1];
      const auto copy = store.with_log(store.log.substr(0, border + part));
      const auto found = open_and_read(copy);
      REQUIRE(!found);
      CHECK(found.error().code == errc::corrupt);
      const auto missing = std::to_string(written_store::commits - whole) + " acknowledged commits";
      CHECK_MESSAGE(contains(found.error().message, missing), found.error().message);
      CHECK(!open_and_read(copy)); // nor the next time
    }
  }
  const auto without = store.with_log(store.log);
  fs::remove(log_of(without));
  CHECK(open_and_read(without).error().code == errc::corrupt);
}

TEST_CASE("R24: what is missing at the end of a log is counted in commits, though a write had several") {
  const test::scratch_directory scratch;
  const auto store = scratch.path() / "store";
  std::uintmax_t before = 0;
  {
    auto engine = value_or_throw(open_rocksdb(settings_for(store)));
    const std::vector<write_set> writes{{{"O1", "a"}}, {{"O2", "b"}}, {{"O3", "c"}}, {{"O4", "d"}}};
    const write_set* alone[] = {&writes[0]};
    const write_set* together[] = {&writes[1], &writes[2], &writes[3]};
    value_or_throw(engine->write(alone));
    before = fs::file_size(log_of(store));
    value_or_throw(engine->write(together));
  }
  fs::resize_file(log_of(store), before);
  const auto found = open_and_read(store);
  REQUIRE(!found);
  CHECK_MESSAGE(contains(found.error().message, "3 acknowledged commits"), found.error().message);
}

TEST_CASE("R24: a log whose end is torn opens with all that was acknowledged") {
  const written_store store;
  for (std::size_t whole : {1, 37, 59}) {
    const auto border = store.borders[whole - 1];
    const auto next = store.borders[whole] - border;
    for (const auto part : {std::uintmax_t{0}, std::uintmax_t{1}, std::uintmax_t{8}, next / 2, next - 1}) {
      CAPTURE(whole);
      CAPTURE(part);
      const auto copy = store.with_log(store.log.substr(0, border + part));
      write(copy / "dormouse.watermark", store.marks[whole - 1]);
      auto found = open_and_read(copy);
      REQUIRE_MESSAGE(found, found.error().message);
      CHECK((*found == store.after[whole - 1]));
      found = open_and_read(copy);
      REQUIRE_MESSAGE(found, found.error().message);
      CHECK((*found == store.after[whole - 1]));
    }
  }
}

TEST_CASE("R24: a log of which only a torn record was written harms none of the logs behind it") {
  const written_store store;
  test::scratch_directory scratch;
  const auto put = [&scratch](const std::string& key) {
    auto engine = value_or_throw(open_rocksdb(settings_for(scratch.path())));
    const write_set writes{{key, "value"}};
    const write_set* sets[] = {&writes};
    value_or_throw(engine->write(sets));
  };
  CHECK(open_rocksdb(settings_for(scratch.path())));
  for (const auto& each : fs::directory_iterator(scratch.path()))
    if (each.path().extension() == ".log") write(each.path(), store.log.substr(0, 100));
  put("O1");
  put("O2");
  CHECK((value_or_throw(open_and_read(scratch.path())) == rows{{"O1", "value"}, {"O2", "value"}}));
}

TEST_CASE("R24: a watermark that is behind, or not there, refuses nothing") {
  const written_store store;
  for (std::size_t whole : {0, 30, 58}) {
    const auto copy = store.with_log(store.log);
    if (whole == 0)
      fs::remove(copy / "dormouse.watermark");
    else
      write(copy / "dormouse.watermark", store.marks[whole]);
    const auto found = open_and_read(copy);
    REQUIRE_MESSAGE(found, found.error().message);
    CHECK((*found == store.after.back()));
  }
}

TEST_CASE("R24: a database that is gone while its watermark is there is reported, and no other one is made") {
  const written_store store;
  const auto copy = store.with_log(store.log);
  for (const auto& each : fs::directory_iterator(copy))
    if (each.is_regular_file() && each.path().filename() != "dormouse.watermark") fs::remove(each.path());
  const auto found = open_and_read(copy);
  REQUIRE(!found);
  CHECK(found.error().code == errc::corrupt);
  CHECK(contains(found.error().message, "60 acknowledged commits"));
  CHECK(!fs::exists(copy / "CURRENT"));
}

TEST_CASE("R24: a list of tables that lacks one is reported, and the table is not deleted") {
  const written_store store;
  const auto files = [&store](const std::string& kind) {
    std::size_t count = 0;
    for (const auto& each : fs::directory_iterator(store.directory))
      count += each.path().extension() == kind ? 1 : 0;
    return count;
  };
  {
    auto settings = settings_for(store.directory);
    settings.buffer_bytes = std::size_t{64} << 10U;
    auto engine = value_or_throw(open_rocksdb(settings));
    const auto tables = files(".sst");
    int row = 0;
    const auto put = [&] {
      const write_set more{{"Y" + std::to_string(row++), std::string(4'000, 'y')}};
      const write_set* sets[] = {&more};
      value_or_throw(engine->write(sets));
    };
    REQUIRE(test::eventually([&] { // a table that the MANIFEST names last
      put();
      return files(".sst") > tables;
    }));
    REQUIRE(test::eventually([&] { return files(".log") == 1; }));
    put(); // and then the log
  }
  const auto files_of = [](const fs::path& directory, const std::string& kind) {
    std::vector<fs::path> out;
    for (const auto& each : fs::directory_iterator(directory))
      if (each.path().extension() == kind || each.path().filename().string().starts_with(kind))
        out.push_back(each.path());
    return out;
  };
  const auto tables = files_of(store.directory, ".sst").size();
  const auto whole = value_or_throw(open_and_read(store.with_log(read(log_of(store.directory)))));
  REQUIRE(whole.size() > store.after.back().size());
  const auto manifest = files_of(store.directory, "MANIFEST-").at(0).filename();
  const auto bytes = read(store.directory / manifest);
  int refused = 0;
  for (std::size_t cut = 1; cut < bytes.size(); ++cut) {
    CAPTURE(cut);
    const auto copy = store.with_log(read(log_of(store.directory)));
    fs::resize_file(copy / manifest, cut);
    const auto found = open_and_read(copy);
    if (found) {
      CHECK((*found == whole));
      continue;
    }
    ++refused;
    CHECK(found.error().code == errc::corrupt);
    CHECK_MESSAGE(contains(found.error().message, copy.string()), found.error().message);
    CHECK(files_of(copy, ".sst").size() >= tables);
    const auto repaired = repair_store(settings_for(copy), 1, missing_commits::refuse);
    CHECK(!repaired);
    CHECK(files_of(copy, ".sst").size() >= tables);
  }
  CHECK(refused > 0);
}

TEST_CASE("R24: an id is not given out twice, also if the log lost the row of the epoch") {
  test::scratch_directory scratch;
  const auto open = [&scratch] {
    return store::open(value_or_throw(open_rocksdb(settings_for(scratch.path()))), scratch.path(), 1024);
  };
  const auto first = value_or_throw(open())->next_id();
  const auto second = value_or_throw(open())->next_id();
  CHECK(second > first);
  write(log_of(scratch.path()), "");
  CHECK(open_rocksdb(settings_for(scratch.path())).error().code == errc::corrupt);
  auto mark = value_or_throw(watermark::open(scratch.path()));
  for (int copy = 0; copy < 2; ++copy)
    mark.note_commits(0); // somebody accepts the loss
  CHECK(value_or_throw(open())->next_id() > second);
}

TEST_CASE("R24: a runtime on a damaged log is refused by name") {
  test::scratch_directory scratch;
  {
    runtime running({.directory = scratch.path()});
    running.define<counter>();
    CHECK(value_of(running.get<counter>("x").call<&counter::add>(1)) == 1);
  }
  const auto log = read(log_of(scratch.path()));
  auto damaged = log;
  damaged[log.size() / 2] = static_cast<char>(damaged[log.size() / 2] ^ 1);
  write(log_of(scratch.path()), damaged);
  const auto why = error_thrown_by([&] { runtime running({.directory = scratch.path()}); });
  CHECK(why.code == errc::corrupt);
  CHECK(contains(why.message, scratch.path().string()));
  write(log_of(scratch.path()), log);
  runtime running({.directory = scratch.path()});
  running.define<counter>();
  CHECK(value_of(running.get<counter>("x").call<&counter::total>()) == 1);
}

TEST_CASE("R18: a store of an earlier version, with recycled logs and no watermark, opens with all it has") {
  test::scratch_directory scratch;
  const auto directory = scratch.path() / "store";
  const auto copy = scratch.path() / "copy";
  rows written;
  {
    auto options = rocksdb_options(settings_for(directory));
    options.wal_recovery_mode = rocksdb::WALRecoveryMode::kPointInTimeRecovery;
    options.recycle_log_file_num = 2;
    options.track_and_verify_wals_in_manifest = false;
    options.avoid_flush_during_recovery = false;
    options.write_buffer_size = std::size_t{64} << 10U;
    rocksdb::DB* opened = nullptr;
    REQUIRE(rocksdb::DB::Open(options, directory.string(), &opened).ok());
    const std::unique_ptr<rocksdb::DB> db(opened);
    for (int number = 0; number < 1'000; ++number) {
      const auto value = std::to_string(number) + std::string(1'000, 'y');
      REQUIRE(db->Put({}, key_of(number), value).ok());
      written.insert_or_assign(key_of(number), value);
    }
    REQUIRE(db->FlushWAL(true).ok());
    for (int tries = 0; tries < 100; ++tries) { // files come and go in the background
      fs::remove_all(copy);
      std::error_code changed;
      fs::copy(directory, copy, fs::copy_options::recursive, changed);
      if (!changed) break;
    }
  }
  for (const auto& each : {copy, directory}) { // as after kill -9, and closed
    CAPTURE(each.string());
    for (int life = 0; life < 3; ++life) {
      const auto found = open_and_read(each);
      REQUIRE_MESSAGE(found, found.error().message);
      CHECK((*found == written));
    }
  }
}

TEST_CASE("R24: a flipped bit in any file of a store is an error, or changes nothing that is read") {
  test::scratch_directory scratch;
  const auto sound = scratch.path() / "sound";
  constexpr int objects = 40;
  const auto id_of = [](int i) { return "c" + std::to_string(i); };
  const options settings{.directory = sound};
  for (int life = 1; life <= 2; ++life) { // of two processes: tables and a log
    runtime running(settings);
    running.define<counter>();
    for (int i = 0; i < objects; ++i)
      CHECK(value_of(running.get<counter>(id_of(i)).call<&counter::add>(i)) == life * i);
    if (life == 1) {
      running.stop();
      (void)compact_store(sound);
    }
  }
  std::vector<fs::path> files;
  for (const auto& each : fs::recursive_directory_iterator(sound))
    if (each.is_regular_file() && each.file_size() > 0 && each.path().filename() != "ballast" &&
        !each.path().filename().string().starts_with("LOG"))
      files.push_back(fs::relative(each.path(), sound));
  std::sort(files.begin(), files.end());
  const auto seed = pick_seed();
  INFO("repeat with DORMOUSE_TEST_SEED=", seed);
  std::mt19937_64 random(seed);
  int refused = 0;
  int damaged = 0;
  for (int flip = 0; flip < flips(); ++flip) {
    const auto copy = scratch.path() / "copy";
    fs::remove_all(copy);
    fs::create_directories(copy);
    for (const auto& each : fs::recursive_directory_iterator(sound)) {
      const auto to = copy / fs::relative(each.path(), sound);
      if (each.is_directory())
        fs::create_directories(to);
      else if (each.path().filename() != "ballast")
        fs::copy_file(each.path(), to);
    }
    const auto& file = files[random() % files.size()];
    auto bytes = read(copy / file);
    const auto bit = random() % (bytes.size() * 8);
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ 1 << bit % 8);
    write(copy / file, bytes);
    const auto name = file.string();
    CAPTURE(name);
    CAPTURE(bit);
    try {
      runtime running({.directory = copy});
      running.define<counter>();
      for (int i = 0; i < objects; ++i) {
        auto total = running.get<counter>(id_of(i)).call<&counter::total>();
        try {
          const int found = value_of(std::move(total));
          CHECK(found == 2 * i);
        } catch (const failure& why) {
          CHECK(why.code() == errc::corrupt);
          ++damaged;
        }
      }
    } catch (const failure& why) {
      CHECK((why.code() == errc::corrupt || why.code() == errc::newer_format ||
             why.code() == errc::directory_unusable));
      ++refused;
    }
  }
  MESSAGE(refused, " times refused, ", damaged, " objects damaged");
}

} // namespace dormouse::test::log_damage_test
