// How far a store had come, beside it.

#include "eventually.hpp"
#include "memory_engine.hpp"
#include "store/store.hpp"
#include "store/watermark.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>

namespace dormouse::test::watermark_test {
namespace {

struct fixture {
  test::scratch_directory scratch;
  std::filesystem::path file = scratch.path() / "dormouse.watermark";

  watermark open() const { return value_or_throw(watermark::open(scratch.path())); }

  std::string bytes() const {
    std::ifstream from(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(from), {}};
  }
  void replace(const std::string& bytes) const {
    std::filesystem::remove(file);
    std::ofstream(file, std::ios::binary) << bytes;
  }
};

} // namespace

TEST_CASE_FIXTURE(fixture, "R24: a watermark keeps what it was told last") {
  {
    auto mark = open();
    CHECK(mark.commits() == 0);
    CHECK(mark.epoch() == 0);
    for (std::uint64_t number : {1, 2, 5, 1'000'000'007})
      mark.note_commits(number);
    CHECK(mark.note_epoch(3));
    CHECK(open().commits() == 1'000'000'007); // as after kill -9: nothing was closed
  }
  auto again = open();
  CHECK(again.commits() == 1'000'000'007);
  CHECK(again.epoch() == 3);
  again.note_commits(1'000'000'008);
  CHECK(open().commits() == 1'000'000'008);
  CHECK(open().epoch() == 3);
}

TEST_CASE_FIXTURE(fixture, "R24: a flipped bit in a watermark costs it at most one step, and no epoch") {
  {
    auto mark = open();
    for (std::uint64_t number = 1; number <= 8; ++number)
      mark.note_commits(number);
    CHECK(mark.note_epoch(4));
  }
  const auto sound = bytes();
  REQUIRE(sound.size() == 4096);
  std::size_t steps_back = 0;
  for (std::size_t at = 0; at < sound.size(); ++at) {
    if (at % 1024 >= 32 && at % 97 != 0) continue; // most of it means nothing
    auto damaged = sound;
    damaged[at] = static_cast<char>(damaged[at] ^ 1 << at % 8);
    replace(damaged);
    auto mark = open();
    CHECK(mark.epoch() == 4);
    CHECK((mark.commits() == 8 || mark.commits() == 7));
    steps_back += mark.commits() == 7 ? 1 : 0;
    mark.note_commits(9);
    CHECK(open().commits() == 9);
  }
  CHECK(steps_back == 24); // the bytes of one copy
}

TEST_CASE_FIXTURE(fixture, "R24: a watermark that cannot be read is reported by name") {
  {
    auto mark = open();
    mark.note_commits(3);
  }
  const auto sound = bytes();
  auto zeroed = sound;
  std::fill_n(zeroed.begin(), 2048, '\0');
  for (const auto& damaged :
       {std::string(), sound.substr(0, 4095), sound + "x", std::string(4096, 'x'), zeroed}) {
    CAPTURE(damaged.size());
    replace(damaged);
    const auto opened = watermark::open(scratch.path());
    REQUIRE(!opened);
    CHECK(opened.error().code == errc::corrupt);
    CHECK(opened.error().message.find(file.string()) != std::string::npos);
  }
}

TEST_CASE_FIXTURE(fixture,
                  "R24: an epoch is given out once, also if the store has lost the row that says so") {
  for (std::uint64_t epoch = 1; epoch <= 3; ++epoch) {
    const auto forgetful =
        value_or_throw(store::open(std::make_unique<test::memory_engine>(), scratch.path(), 1024));
    CHECK(forgetful->epoch() == epoch);
  }
}

} // namespace dormouse::test::watermark_test
