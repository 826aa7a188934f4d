// What a kill at any moment leaves of bodies in files: each file that a row names is there and whole, each
// fetch has one result with the body that belongs to it, and in the end no file is left.

#include "blob_files.hpp"
#include "crash/child_process.hpp"
#include "crash/hauler.hpp"
#include "crash/seeded_kill.hpp"
#include "disk.hpp"
#include "store/store.hpp"
#include "upstream/upstream_server.hpp"

#include <doctest/doctest.h>

namespace dormouse::test::large_body_crash_test {
namespace {

using std::chrono::microseconds;

constexpr int kills = 8;

struct files_after_kill {
  std::size_t named = 0;
  std::size_t unnamed = 0; ///< files without a row
  std::size_t broken = 0;  ///< rows whose file is missing or not what they say
};

/// Of a copy, so that the next process finds what the killed one left.
files_after_kill look_at(const std::filesystem::path& directory, const std::filesystem::path& copy) {
  files_after_kill seen;
  if (!std::filesystem::exists(directory / "CURRENT")) return seen; // killed before it made it
  std::filesystem::remove_all(copy);
  std::filesystem::copy(directory, copy, std::filesystem::copy_options::recursive);
  const auto files = blob_files(copy).size();
  auto rows = value_or_throw(store::open(
      value_or_throw(open_rocksdb({copy, std::size_t{1} << 20U, std::size_t{1} << 20U, 128 * 1024})), copy,
      128 * 1024));
  const auto range = keys::all('B');
  for (auto row = rows->scan(range); row->valid(); row->next()) {
    // Its key: a letter, the fetch's id, the side.
    const auto key = row->key();
    std::uint64_t id = 0;
    for (char c : key.substr(1, 8))
      id = (id << 8U) | static_cast<unsigned char>(c);
    auto body = rows->find_body(id, static_cast<blob_side>(key.back()));
    if (body && body->file && rows->blobs()->load(*body->file))
      ++seen.named;
    else
      ++seen.broken;
  }
  seen.unnamed = files - seen.named;
  return seen;
}

TEST_CASE("R3 R7 R12 R16: kill -9 at random moments while large bodies move, to continuations and to tasks: "
          "none is lost, mixed up or left behind") {
  std::mt19937_64 random(crash_seed());
  scratch_directory scratch;
  const auto directory = scratch.path() / "store";
  samples::upstream_server upstream;
  upstream.start();
  files_after_kill all;
  for (int life = 1; life <= kills; ++life) {
    CAPTURE(life);
    const auto progress = random() % 12;
    const auto moment = random_moment(random, microseconds(30'000));
    child_process child({"haul", directory.string(), upstream.url()});
    for (;;) {
      const auto line = child.read_line();
      REQUIRE_MESSAGE(line, "the child died by itself: ", child.kill());
      if (std::stoull(*line) >= progress) break;
    }
    spin(moment);
    REQUIRE(child.kill() == "");
    const auto seen = look_at(directory, scratch.path() / "copy");
    CHECK(seen.broken == 0);
    all.named += seen.named;
    all.unnamed += seen.unnamed;
  }
  child_process last({"unload", directory.string(), upstream.url()});
  REQUIRE(last.wait() == "");
  CHECK(blob_files(directory).empty());
  {
    disk rows(directory);
    for (char kind : {'B', 'D', 'I', 'Q', 'A', 'E', 'J', 'U'}) {
      CAPTURE(kind);
      CHECK(rows.count(kind) == 0);
    }
  }
  std::size_t right = 0;
  {
    auto rows = value_or_throw(store::open(
        value_or_throw(open_rocksdb({directory, std::size_t{1} << 20U, std::size_t{1} << 20U, 128 * 1024})),
        directory, 128 * 1024));
    for (std::size_t i = 0; i < hauler_count; ++i) {
      const auto state = value_or_throw(rows->load_object({"HAULER", hauler_id(i)}));
      REQUIRE(state);
      hauler object;
      describe<hauler>().load(object, state->state, state->facts.state_version);
      const auto hauls = object.hauls();
      CHECK(hauls.size() == hauls_each);
      for (const auto& each : hauls) {
        CHECK(each.results == 1);
        right += each.right ? 1 : 0;
      }
    }
  }
  CHECK(right == hauler_count * hauls_each);
  MESSAGE(all.named, " files that a row names and ", all.unnamed, " that none does after ", kills, " kills, ",
          upstream.total(), " requests");
  // A test that killed an idle process would have shown nothing.
  CHECK(all.named > 0);
}

} // namespace
} // namespace dormouse::test::large_body_crash_test
