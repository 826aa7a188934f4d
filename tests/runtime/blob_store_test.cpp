#include "blob_files.hpp"
#include "disk.hpp"
#include "eventually.hpp"
#include "gate.hpp"
#include "memory_engine.hpp"
#include "outcome.hpp"
#include "storage_valve.hpp"
#include "store/blob_store.hpp"
#include "store/committer.hpp"
#include "store/store.hpp"

#include <dormouse/serialization/codec.hpp>
#include <dormouse/serialization/crc32c.hpp>

#include <doctest/doctest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <filesystem>
#include <functional>
#include <future>
#include <mutex>
#include <random>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace dormouse::test::blob_store_test {
namespace {

/// What becomes of the syncs of files in a folder of this name.
struct folder_syncs {
  std::atomic<int> seen{0};
  std::atomic<bool> fail{false};
};
folder_syncs& syncs_of_blobs() {
  static folder_syncs all;
  return all;
}

} // namespace
} // namespace dormouse::test::blob_store_test

/// That of the C library, which sees the files of bodies, and fails theirs if told so.
extern "C" int fdatasync(int descriptor) {
  std::error_code gone;
  const auto path = std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(descriptor), gone);
  if (path.parent_path().filename() == "blobs") {
    auto& all = dormouse::test::blob_store_test::syncs_of_blobs();
    ++all.seen;
    if (all.fail) {
      errno = EIO;
      return -1;
    }
  }
  return static_cast<int>(::syscall(SYS_fdatasync, descriptor));
}

namespace dormouse::test::blob_store_test {
namespace {

std::string random_bytes(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::string bytes(count, '\0');
  for (auto& byte : bytes)
    byte = static_cast<char>(random());
  return bytes;
}

struct fixture {
  scratch_directory directory;
  std::shared_ptr<blob_store> blobs = value_or_throw(blob_store::open(directory.path(), 1));

  ~fixture() { blobs->close(); }

  std::filesystem::path path_of(const blob_ref& what) const { return blobs->folder() / what.file_name(); }

  blob_writer_ptr written(const std::string& bytes, std::uint64_t fetch_id = 7,
                          blob_side side = blob_side::response) {
    auto file = blobs->create(fetch_id, side);
    value_or_throw(file->append(bytes));
    return file;
  }

  /// On the disk, and to stay.
  blob_ref kept(const std::string& bytes, std::uint64_t fetch_id = 7) {
    auto file = written(bytes, fetch_id);
    value_or_throw(synced({file}));
    file->keep();
    return file->ref();
  }

  expected<void> synced(std::vector<blob_writer_ptr> files) {
    auto told = std::make_shared<std::promise<expected<void>>>();
    auto outcome = told->get_future();
    blobs->sync(std::move(files), [told](const expected<void>& how) { told->set_value(how); });
    return value_of(std::move(outcome));
  }

  /// All that a reader hands out, in pieces of this size, and how it ended.
  std::pair<std::string, expected<void>> streamed(const blob_ref& what, std::size_t piece_bytes) {
    auto file = blobs->read(what);
    std::string all;
    if (auto begun = file.begin(); !begun) return {all, begun};
    std::string piece(piece_bytes, '\0');
    for (;;) {
      auto got = file.read(piece);
      if (!got) return {all, unexpected<error>(got.error())};
      if (*got == 0) return {all, {}};
      all.append(piece, 0, *got);
    }
  }

  /// Nothing of the thread's is under way any more, but for what it does between other work.
  void settle() { value_or_throw(synced({})); }
};

std::size_t open_files() {
  return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator("/proc/self/fd"),
                                                std::filesystem::directory_iterator()));
}

} // namespace

// --- files -------------------------------------------------------------------------------------------------

TEST_CASE("large bodies: the name of a file says whose it is, and no other name does") {
  for (const blob_ref& what : {blob_ref{1, blob_side::request, 2, 0, 0},
                               blob_ref{~std::uint64_t{0}, blob_side::response, 0x10000000007, 0, 0}}) {
    const auto name = what.file_name();
    CAPTURE(name);
    const auto back = parse_blob_name(name);
    REQUIRE(back);
    CHECK(back->fetch_id == what.fetch_id);
    CHECK(back->side == what.side);
    CHECK(back->number == what.number);
  }
  const auto name = blob_ref{0xabc, blob_side::request, 0xdef, 0, 0}.file_name();
  CHECK(name == "0000000000000abcq0000000000000def");
  std::vector<std::string> others{"",         ".",        "..",           "q",
                                  "x" + name, name + "x", name.substr(1), name.substr(0, 32)};
  for (std::size_t at : {0U, 15U, 16U, 17U, 32U})
    for (char wrong : {'x', 'A', '-', ' ', '\0'})
      others.push_back(std::string(name).replace(at, 1, 1, wrong));
  for (const auto& other : others) {
    CAPTURE(other);
    CHECK_FALSE(parse_blob_name(other));
  }
}

TEST_CASE_FIXTURE(fixture, "large bodies: what was written in pieces is read whole and in pieces") {
  const auto bytes = random_bytes(1'000'003, 1);
  auto file = blobs->create(7, blob_side::request);
  for (std::size_t at = 0, piece = 1; at < bytes.size(); at += piece, piece = piece * 3 % 300'007)
    value_or_throw(file->append(std::string_view(bytes).substr(at, piece)));
  CHECK_FALSE(file->is_durable());
  CHECK(synced({file}));
  CHECK(file->is_durable());
  CHECK(file->ref().bytes == bytes.size());
  CHECK(file->ref().crc == crc32c(bytes));
  CHECK(read_file(path_of(file->ref())) == bytes);
  CHECK(value_or_throw(blobs->load(file->ref())) == bytes);
  for (std::size_t piece : {1'000'003U, 1'000'002U, 65'536U, 4099U}) {
    CAPTURE(piece);
    const auto [all, ended] = streamed(file->ref(), piece);
    CHECK(ended);
    CHECK(all == bytes);
  }
}

TEST_CASE_FIXTURE(fixture, "large bodies: a reader that is rewound begins again, checksum and all") {
  const auto bytes = random_bytes(100'000, 2);
  const auto what = kept(bytes);
  auto file = blobs->read(what);
  REQUIRE(file.begin());
  std::string piece(60'000, '\0');
  CHECK(value_or_throw(file.read(piece)) == 60'000);
  file.rewind();
  std::string all;
  while (const auto got = value_or_throw(file.read(piece)))
    all.append(piece, 0, got);
  CHECK(all == bytes);
}

TEST_CASE_FIXTURE(
    fixture,
    "R21: a body file that is not what was written is corrupt by name, and is never handed out whole") {
  const std::vector<std::pair<std::string, std::function<void(std::string&)>>> damages{
      {"first bit", [](std::string& bytes) { bytes.front() = static_cast<char>(bytes.front() ^ 1); }},
      {"a bit in the middle", flip_middle_bit},
      {"last bit", flip_last_bit},
      {"truncated", cut_in_half},
      {"one byte less", [](std::string& bytes) { bytes.pop_back(); }},
      {"one byte more", [](std::string& bytes) { bytes += 'x'; }},
      {"empty", [](std::string& bytes) { bytes.clear(); }},
      {"two pieces swapped",
       [](std::string& bytes) { std::rotate(bytes.begin(), bytes.begin() + 1000, bytes.begin() + 5000); }},
  };
  const auto bytes = random_bytes(300'000, 3);
  for (const auto& [name, how] : damages) {
    const auto& this_name = name; // clang 14 captures no structured binding
    CAPTURE(this_name);
    const auto what = kept(bytes);
    auto damaged = bytes;
    how(damaged);
    write_file(path_of(what), damaged);
    const auto whole = blobs->load(what);
    REQUIRE_FALSE(whole);
    CHECK(whole.error().code == errc::corrupt);
    CHECK(contains(whole.error().message, path_of(what).string()));
    const auto [all, ended] = streamed(what, 65'536);
    REQUIRE_FALSE(ended);
    CHECK(ended.error().code == errc::corrupt);
    CHECK(contains(ended.error().message, path_of(what).string()));
    CHECK(all.size() < bytes.size());
  }
  auto what = kept(bytes);
  ++what.crc; // of another file
  CHECK(blobs->load(what).error().code == errc::corrupt);
  std::filesystem::remove(path_of(what));
  const auto missing = blobs->load(what);
  REQUIRE_FALSE(missing);
  CHECK(missing.error().code == errc::corrupt);
  CHECK(contains(missing.error().message, "missing"));
  CHECK(contains(missing.error().message, path_of(what).string()));
}

TEST_CASE_FIXTURE(fixture, "R21: a body file that shrinks while it is read is corrupt") {
  const auto what = kept(random_bytes(200'000, 4));
  auto file = blobs->read(what);
  REQUIRE(file.begin());
  std::string piece(50'000, '\0');
  REQUIRE(file.read(piece));
  std::filesystem::resize_file(path_of(what), 60'000);
  REQUIRE(file.read(piece)); // to its end
  const auto behind = file.read(piece);
  REQUIRE_FALSE(behind);
  CHECK(behind.error().code == errc::corrupt);
  CHECK(contains(behind.error().message, "60000"));
}

TEST_CASE_FIXTURE(fixture, "large bodies: a file stays only if it was kept") {
  const auto dropped = written("x")->ref();
  CHECK(eventually([&] { return !std::filesystem::exists(path_of(dropped)); }));
  const auto stays = kept("x");
  auto doubted = written("x");
  const auto doubtful = doubted->ref();
  doubted->doubt();
  doubted.reset();
  settle();
  CHECK(std::filesystem::exists(path_of(stays)));
  CHECK(std::filesystem::exists(path_of(doubtful)));
  blobs->commit_succeeded();
  CHECK(eventually([&] { return !std::filesystem::exists(path_of(doubtful)); }));
  CHECK(std::filesystem::exists(path_of(stays)));
  blobs->remove(stays);
  CHECK(no_blob_files(directory.path()));
}

TEST_CASE_FIXTURE(fixture, "large bodies: two attempts of one fetch have files of their own") {
  auto first = written("the first");
  auto second = written("the second");
  CHECK(first->ref().file_name() != second->ref().file_name());
  first.reset(); // the worker that had it was replaced
  settle();
  CHECK(value_or_throw(blobs->load(second->ref())) == "the second");
}

TEST_CASE_FIXTURE(fixture,
                  "large bodies: a file that cannot be written is a storage_error by name, and stays lost") {
  auto file = blobs->create(7, blob_side::request);
  auto half = written("the first half");
  {
    const no_blob_folder away(directory.path());
    const auto failed = file->append("x");
    REQUIRE_FALSE(failed);
    CHECK(failed.error().code == errc::storage_error);
    CHECK(contains(failed.error().message, path_of(file->ref()).string()));
    CHECK(file->is_lost());
    CHECK_FALSE(synced({half})); // its bytes can be synced, its entry in the folder cannot
    CHECK_FALSE(half->is_lost());
  }
  CHECK(file->append("x").error().code == errc::storage_error);
  CHECK(synced({file}).error().code == errc::storage_error);
  CHECK_FALSE(file->is_durable());
  CHECK(synced({half}));
}

TEST_CASE_FIXTURE(fixture, "large bodies: one that is held is in its file when it is synced, and need not be "
                           "read from there, once") {
  scratch_directory elsewhere;
  auto roomy = value_or_throw(blob_store::open(elsewhere.path(), 1, 4'000'000));
  const auto hold = [&roomy](const std::string& bytes) {
    held_body body(roomy->memory());
    REQUIRE(eventually([&] {
      return body.grow(bytes.size());
    })); // the one before may still be on its way out of another thread
    body.append(bytes);
    auto file = roomy->create(7, blob_side::response);
    file->hold(std::move(body));
    return file;
  };
  const auto synced_there = [&roomy](const blob_writer_ptr& file) {
    auto told = std::make_shared<std::promise<expected<void>>>();
    auto outcome = told->get_future();
    roomy->sync({file}, [told](const expected<void>& how) { told->set_value(how); });
    return value_of(std::move(outcome));
  };
  const auto bytes = random_bytes(3'000'001, 5);
  auto file = hold(bytes);
  const auto what = file->ref();
  const auto path = roomy->folder() / what.file_name();
  CHECK(what.bytes == bytes.size());
  CHECK(what.crc == crc32c(bytes));
  CHECK_FALSE(std::filesystem::exists(
      path)); // neither the loop of a worker nor anybody else has waited for the disk yet
  CHECK_FALSE(file->is_durable());
  CHECK(synced_there(file));
  CHECK(file->is_durable());
  CHECK(read_file(path) == bytes);
  file->keep();
  file.reset();
  write_file(path, "damage that only a reader of the file sees");
  CHECK(value_or_throw(roomy->load(what)) == bytes);
  CHECK(roomy->load(what).error().code == errc::corrupt); // the next one does
  CHECK(roomy->memory()->used() == 0);

  // One that is dropped leaves nothing, one that is removed before it was asked for neither.
  hold(bytes).reset();
  auto removed = hold(bytes);
  CHECK(synced_there(removed));
  removed->keep();
  CHECK(roomy->memory()->used() == bytes.size());
  roomy->remove(removed->ref());
  removed.reset();
  roomy->remove(what);
  CHECK(no_blob_files(elsewhere.path()));
  CHECK(eventually([&roomy] { return roomy->memory()->used() == 0; }));

  // A second name needs the file.
  auto shared = hold(bytes);
  auto link = roomy->link(*shared, 8, blob_side::response);
  REQUIRE(link);
  CHECK(synced_there(shared));
  CHECK(synced_there(link));
  link->keep();
  shared.reset();
  CHECK(value_or_throw(roomy->load(link->ref())) == bytes);

  // It grows, and what came is written ahead of the sync; until there is no more room, and it goes on in its
  // file.
  shared = nullptr;
  link = nullptr;
  auto grows = hold(bytes.substr(0, 100'000));
  auto growing_path = roomy->folder() / grows->ref().file_name();
  std::size_t at = 100'000;
  const auto append = [&](std::size_t upto) {
    for (; at < upto; at += 10'000)
      value_or_throw(grows->append(std::string_view(bytes).substr(at, 10'000)));
  };
  REQUIRE(grows->grow(1'500'000));
  append(1'500'000);
  std::error_code none_yet;
  CHECK(eventually(
      [&] { return std::filesystem::file_size(growing_path, none_yet) >= 1'000'000 && !none_yet; }));
  REQUIRE(grows->grow(2'600'000));
  append(2'600'000);
  CHECK_FALSE(grows->grow(5'000'000));
  CHECK(grows->is_held());
  CHECK(grows->let_go());
  CHECK_FALSE(grows->is_held());
  CHECK(roomy->memory()->used() == 0);
  value_or_throw(grows->append(std::string_view(bytes).substr(at)));
  CHECK(grows->ref().crc == crc32c(bytes));
  CHECK(synced_there(grows));
  CHECK(read_file(growing_path) == bytes);
  CHECK(value_or_throw(roomy->load(grows->ref())) == bytes);

  // One that is given up while it is written ahead is gone.
  auto given_up = hold(bytes.substr(0, 1000));
  REQUIRE(given_up->grow(bytes.size()));
  value_or_throw(given_up->append(std::string_view(bytes).substr(1000)));
  given_up = nullptr;
  grows = nullptr;
  CHECK(eventually([&] {
    return blob_files(elsewhere.path()).size() == 1;
  })); // the one that was kept under its second name

  // R25: the disk does not take it for a while.
  auto held = hold(bytes);
  {
    const no_blob_folder away(elsewhere.path());
    const auto failed = synced_there(held);
    REQUIRE_FALSE(failed);
    CHECK(failed.error().code == errc::storage_error);
    CHECK(contains(failed.error().message, held->ref().file_name()));
    CHECK_FALSE(held->is_lost());
    CHECK_FALSE(roomy->link(*held, 9, blob_side::response));
  }
  CHECK(synced_there(held));
  CHECK(read_file(roomy->folder() / held->ref().file_name()) == bytes);

  // Nor when there is no room in memory any more: then it is lost.
  auto lost = hold(bytes.substr(0, 1000));
  {
    const no_blob_folder away(elsewhere.path());
    CHECK_FALSE(lost->let_go());
    CHECK(lost->is_lost());
  }
  CHECK(synced_there(lost).error().code == errc::storage_error);
  roomy->close();
}

TEST_CASE_FIXTURE(fixture, "R19: many bodies under way share few file descriptors") {
  constexpr std::size_t files = 300;
  const auto before = open_files();
  std::vector<blob_writer_ptr> all;
  for (std::size_t i = 0; i < files; ++i)
    all.push_back(blobs->create(i, blob_side::response));
  for (int round = 0; round < 3; ++round)
    for (std::size_t i = 0; i < files; ++i)
      value_or_throw(all[i]->append(
          std::string(100, static_cast<char>('a' + (i + static_cast<std::size_t>(round)) % 26))));
  CHECK(open_files() <= before + blob_store::most_descriptors + 1);
  CHECK(synced(all));
  CHECK(open_files() <= before + 1);
  for (std::size_t i = 0; i < files; ++i) {
    const auto whole = value_or_throw(blobs->load(all[i]->ref()));
    for (std::size_t round = 0; round < 3; ++round)
      REQUIRE(whole.substr(100 * round, 100) == std::string(100, static_cast<char>('a' + (i + round) % 26)));
  }
}

TEST_CASE_FIXTURE(fixture, "R20: after close nothing is opened, and what is dropped goes at once") {
  auto begun = written("x");
  auto untouched = blobs->create(8, blob_side::request);
  const auto what = kept("y");
  blobs->remove(what);
  blobs->close();
  CHECK_FALSE(std::filesystem::exists(path_of(what)));
  CHECK(untouched->append("x").error().code == errc::stopped);
  CHECK(blobs->load(what).error().code == errc::stopped);
  begun.reset();
  CHECK(blob_files(directory.path()).empty());
  blobs->close(); // again: nothing
}

TEST_CASE("large bodies: a folder that cannot be is named") {
  scratch_directory directory;
  write_file(directory.path() / "blobs", "a file");
  const auto refused = blob_store::open(directory.path(), 1);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == errc::directory_unusable);
  CHECK(contains(refused.error().message, (directory.path() / "blobs").string()));
}

// --- orphans -----------------------------------------------------------------------------------------------

TEST_CASE_FIXTURE(fixture,
                  "large bodies: files of earlier epochs that no row names are removed, and no others") {
  blobs->close();
  std::vector<blob_ref> named;
  std::vector<blob_ref> orphans;
  std::vector<blob_ref> unknown;
  for (std::uint64_t i = 0; i < 300; ++i) // several slices
    (i % 3 == 0   ? named
     : i % 3 == 1 ? orphans
                  : unknown)
        .push_back(
            {i, i % 2 == 0 ? blob_side::request : blob_side::response, (std::uint64_t{4} << 40U) + i, 1, 0});
  for (const auto* all : {&named, &orphans, &unknown})
    for (const auto& each : *all)
      write_file(path_of(each), "x");
  const blob_ref of_this_epoch{1, blob_side::request, std::uint64_t{5} << 40U, 1, 0};
  write_file(path_of(of_this_epoch), "x");
  write_file(blobs->folder() / "not ours", "x");
  std::filesystem::create_directory(blobs->folder() / "a folder");
  blobs = value_or_throw(blob_store::open(directory.path(), 5));
  blobs->remove_orphans([](const blob_ref& name) -> expected<bool> {
    if (name.fetch_id % 3 == 2) return fail(errc::storage_error, "the row cannot be read");
    return name.fetch_id % 3 == 0;
  });
  const auto fresh = written("new");
  CHECK(eventually([&] {
    return std::none_of(orphans.begin(), orphans.end(),
                        [&](const auto& each) { return std::filesystem::exists(path_of(each)); });
  }));
  settle();
  for (const auto* all : {&named, &unknown})
    for (const auto& each : *all)
      CHECK(std::filesystem::exists(path_of(each)));
  for (const auto& path : {path_of(of_this_epoch), path_of(fresh->ref()), blobs->folder() / "not ours",
                           blobs->folder() / "a folder"})
    CHECK(std::filesystem::exists(path));
}

// --- commits -----------------------------------------------------------------------------------------------

namespace {

struct committing : fixture {
  std::shared_ptr<storage_valve> valve = std::make_shared<storage_valve>();
  std::unique_ptr<storage_engine> engine = valve->wrap()(std::make_unique<memory_engine>());
  std::mutex mutex;
  std::vector<std::pair<std::string, bool>> told;
  std::optional<group_committer> committer;

  committing() { committer.emplace(*engine, blobs); }
  ~committing() { committer.reset(); }

  class commit final : public pending_commit {
  public:
    commit(committing& on, std::string name) : on_(on), name_(std::move(name)) {}
    void settle(const expected<void>& outcome) noexcept override {
      std::lock_guard guard(on_.mutex);
      on_.told.emplace_back(name_, outcome.has_value());
    }

  private:
    committing& on_;
    std::string name_;
  };

  std::unique_ptr<pending_commit> make(const std::string& name, std::shared_ptr<commit_gate> gate = nullptr,
                                       blob_writer_ptr file = nullptr) {
    auto next = std::make_unique<commit>(*this, name);
    next->writes.push_back({name, "value"});
    next->gate = std::move(gate);
    if (file) next->new_blobs.push_back(std::move(file));
    return next;
  }

  auto settled() {
    std::lock_guard guard(mutex);
    return told;
  }
  bool settles(std::size_t count) {
    return eventually([&] { return settled().size() == count; });
  }

  /// The thread of the files waits here.
  struct busy_disk {
    gate held;
    gate::closing closed{held};
    explicit busy_disk(blob_store& blobs) {
      blobs.sync({}, [this](const expected<void>&) { held.pass(); });
      REQUIRE(eventually([this] { return held.waiting() == 1; }));
    }
  };
};

using outcomes = std::vector<std::pair<std::string, bool>>;

} // namespace

TEST_CASE_FIXTURE(committing,
                  "R4: a commit waits for its files and those of its gate behind it, and all others go on") {
  auto mine = std::make_shared<commit_gate>();
  auto other = std::make_shared<commit_gate>();
  const auto first = written("first");
  const auto third = written("third");
  {
    const busy_disk busy(*blobs);
    committer->submit(make("mine 1", mine, first));
    committer->submit(make("mine 2", mine));
    committer->submit(make("mine 3", mine, third));
    committer->submit(make("mine 4", mine));
    committer->submit(make("other", other));
    committer->submit(make("free"));
    REQUIRE(settles(2));
    CHECK(settled() == outcomes{{"other", true}, {"free", true}});
  }
  REQUIRE(settles(6));
  CHECK(settled() == outcomes{{"other", true},
                              {"free", true},
                              {"mine 1", true},
                              {"mine 2", true},
                              {"mine 3", true},
                              {"mine 4", true}});
  CHECK(first->is_durable());
  CHECK(third->is_durable());
  committer->submit(make("mine 5", mine)); // nothing is held any more
  CHECK(settles(7));
}

TEST_CASE_FIXTURE(
    committing,
    "R4: a commit whose file is lost fails unwritten with what its gate computed from it, and others go on") {
  auto mine = std::make_shared<commit_gate>();
  auto lost = blobs->create(7, blob_side::request);
  {
    const no_blob_folder away(directory.path());
    REQUIRE_FALSE(lost->append("x"));
  }
  committer->submit(make("mine 1", mine, lost));
  committer->submit(make("mine 2", mine));
  committer->submit(make("other"));
  REQUIRE(settles(3));
  auto all = settled();
  std::sort(all.begin(), all.end());
  CHECK(all == outcomes{{"mine 1", false}, {"mine 2", false}, {"other", true}});
  CHECK(mine->failed);
  CHECK_FALSE(value_or_throw(engine->get("mine 1")));
  CHECK_FALSE(value_or_throw(engine->get("mine 2")));
  CHECK(value_or_throw(engine->get("other")));
}

TEST_CASE_FIXTURE(committing, "R4: a commit is written when its file is synced, and fails if that fails") {
  auto& syncs = syncs_of_blobs();
  syncs.seen = 0;
  syncs.fail = true;
  committer->submit(make("lost", nullptr, written("first")));
  REQUIRE(settles(1));
  syncs.fail = false;
  CHECK(syncs.seen == 1);
  committer->submit(make("good", nullptr, written("second")));
  REQUIRE(settles(2));
  CHECK(syncs.seen == 2);
  CHECK(settled() == outcomes{{"lost", false}, {"good", true}});
  CHECK_FALSE(value_or_throw(engine->get("lost")));
}

TEST_CASE_FIXTURE(committing, "R20: draining waits for files that are being synced") {
  auto file = written("x");
  auto mine = std::make_shared<commit_gate>();
  std::future<void> drained;
  {
    const busy_disk busy(*blobs);
    committer->submit(make("with a file", mine, file));
    committer->submit(make("behind it", mine));
    drained = std::async(std::launch::async, [this] { committer->drain(); });
    CHECK_FALSE(is_ready(drained));
  }
  value_of(std::move(drained));
  CHECK(settled() == outcomes{{"with a file", true}, {"behind it", true}});
}

TEST_CASE_FIXTURE(committing,
                  "large bodies: files come and go with the commits that name them, never before") {
  auto file = written("x");
  const auto what = file->ref();
  committer->submit(make("put", nullptr, std::move(file)));
  REQUIRE(settles(1));
  CHECK(std::filesystem::exists(path_of(what)));
  const auto erasing = [&](const std::string& name) {
    auto next = make(name);
    next->old_blobs.push_back(what);
    committer->submit(std::move(next));
  };
  valve->fail_writes();
  erasing("erase, in vain");
  REQUIRE(settles(2));
  settle();
  CHECK(std::filesystem::exists(path_of(what)));
  valve->heal();
  {
    gate::closing held(valve->writes);
    erasing("erase");
    REQUIRE(eventually([this] { return valve->writes.waiting() == 1; }));
    settle();
    CHECK(std::filesystem::exists(path_of(what)));
  }
  CHECK(eventually([&] { return !std::filesystem::exists(path_of(what)); }));
}

TEST_CASE_FIXTURE(committing,
                  "large bodies: the file of a commit that failed goes when another has succeeded") {
  auto file = written("x");
  const auto what = file->ref();
  valve->fail_writes();
  committer->submit(make("put, in vain", nullptr, std::move(file)));
  REQUIRE(settles(1));
  settle();
  CHECK(std::filesystem::exists(path_of(what))); // a restart may find the rows all the same
  valve->heal();
  committer->submit(make("another"));
  CHECK(eventually([&] { return !std::filesystem::exists(path_of(what)); }));
}

// --- rows --------------------------------------------------------------------------------------------------

TEST_CASE("large bodies: a body in its row, as earlier versions wrote it, is read") {
  scratch_directory directory;
  {
    disk rows(directory.path());
    rows.put(keys::blob(1, 'q'), seal(frame_type::blob, "a request"));
    rows.put(keys::blob(1, 'r'), seal(frame_type::blob, "a response"));
    rows.put(keys::blob(2, 'r'), seal(frame_type::result, "something else"));
  }
  auto opened = value_or_throw(store::open(
      value_or_throw(open_rocksdb({directory.path(), std::size_t{1} << 20U, std::size_t{1} << 20U, 1024})),
      directory.path(), 1024));
  const auto request = value_or_throw(opened->find_body(1, blob_side::request));
  CHECK_FALSE(request.file);
  CHECK(request.bytes == "a request");
  CHECK(value_or_throw(opened->load_response_body(1)) == "a response");
  CHECK(opened->load_response_body(2).error().code == errc::corrupt);
  const auto missing = opened->load_response_body(3);
  REQUIRE_FALSE(missing);
  CHECK(missing.error().code == errc::corrupt);
  CHECK(contains(missing.error().message, "3"));
}

TEST_CASE("large bodies: the row of a body in a file is what the format document says") {
  const blob_ref what{
      .fetch_id = 0x77, .side = blob_side::request, .number = 0x0102, .bytes = 0x0304, .crc = 0x05060708};
  CHECK(seal_value(frame_type::blob_file, what).substr(frame_header_bytes) ==
        std::string("\x02\x01\0\0\0\0\0\0\x04\x03\0\0\0\0\0\0\x08\x07\x06\x05", 20));
}

} // namespace dormouse::test::blob_store_test
