#include "disk.hpp"
#include "eventually.hpp"
#include "outcome.hpp"
#include "store/keys.hpp"
#include "store/store.hpp"

#include <dormouse/dormouse.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace dormouse::test::damage_test {

using namespace std::chrono_literals;

namespace {

std::atomic<bool> refuses{false};

class counter : public durable_object {
public:
  int add(int amount) {
    if (refuses) throw std::runtime_error("not today");
    return total_ += amount;
  }
  int total() const { return total_; }

  template <class Archive> void serialize(Archive& ar) { ar(total_, names_); }

  using methods =
      dormouse::methods<"COUNTER", method<"add", &counter::add>, method<"total", &counter::total>>;

private:
  int total_ = 0;
  std::vector<std::string> names_{"a", "b"};
};

using damage = std::pair<std::string, std::function<void(std::string&)>>;

const std::vector<damage> damages{
    {"a bit of the payload", test::flip_last_bit},
    {"truncated", test::cut_in_half},
    {"empty", [](std::string& row) { row.clear(); }},
    {"only a header", [](std::string& row) { row.resize(frame_header_bytes); }},
    {"one byte more", [](std::string& row) { row += 'x'; }},
    {"a length of 4 GiB", [](std::string& row) { row.replace(6, 4, 4, '\xff'); }},
    {"something else altogether", [](std::string& row) { row = "garbage"; }},
    {"a frame of another type",
     [](std::string& row) { row = seal(frame_type::attempt, row.substr(frame_header_bytes)); }},
    {"a sound frame around garbage",
     [](std::string& row) { row = seal(frame_type::object, std::string(100, '\xff')); }},
    {"a sound frame around nothing", [](std::string& row) { row = seal(frame_type::object, ""); }},
};

struct fixture {
  test::scratch_directory directory;

  fixture() { refuses = false; }

  options settings() const { return {.directory = directory.path()}; }
};

} // namespace

TEST_CASE_FIXTURE(fixture,
                  "R21: a damaged object fails its calls by name, is listed, and harms nobody else") {
  {
    runtime running(settings());
    running.define<counter>();
    value_of(running.get<counter>("sound").call<&counter::add>(1));
    for (std::size_t i = 0; i < damages.size(); ++i)
      value_of(running.get<counter>(std::to_string(i)).call<&counter::add>(1));
  }
  {
    test::disk disk(directory.path());
    for (std::size_t i = 0; i < damages.size(); ++i) {
      const auto key = keys::object({"COUNTER", std::to_string(i)});
      auto row = disk.rows('O').at(key);
      damages[i].second(row);
      disk.put(key, row);
    }
  }
  const auto before = test::disk(directory.path()).rows('O');
  {
    runtime running(settings());
    running.define<counter>();
    for (std::size_t i = 0; i < damages.size(); ++i) {
      CAPTURE(damages[i].first);
      auto object = running.get<counter>(std::to_string(i));
      for (const auto& why :
           {error_of(object.call<&counter::add>(1)), error_of(object.call<&counter::total>())}) {
        CHECK(why.code == errc::corrupt);
        CHECK(contains(why.message, "COUNTER/" + std::to_string(i)));
      }
    }
    CHECK(value_of(running.get<counter>("sound").call<&counter::add>(1)) == 2);
    const auto listed = running.stats().corrupt_objects;
    CHECK(listed.size() == damages.size());
    for (const auto& each : listed) {
      CHECK(each.where.binding == "COUNTER");
      CHECK(each.where.instance_id != "sound");
      CHECK_FALSE(each.reason.empty());
    }
  }
  auto after = test::disk(directory.path()).rows('O');
  const auto sound = keys::object({"COUNTER", "sound"});
  CHECK(after.at(sound) != before.at(sound));
  after.at(sound) = before.at(sound);
  CHECK(after == before); // what is damaged is left as it is
}

TEST_CASE_FIXTURE(fixture, "R21: no flipped bit of an object's row gets through") {
  std::string row;
  {
    runtime running(settings());
    running.define<counter>();
    value_of(running.get<counter>("x").call<&counter::add>(1));
  }
  std::size_t bits = 0;
  {
    test::disk disk(directory.path());
    row = disk.rows('O').begin()->second;
    bits = row.size() * 8;
    for (std::size_t bit = 0; bit < bits; ++bit) {
      auto flipped = row;
      flipped[bit / 8] = static_cast<char>(static_cast<unsigned char>(flipped[bit / 8]) ^ (1U << (bit % 8)));
      disk.put(keys::object({"COUNTER", std::to_string(bit)}), flipped);
    }
  }
  runtime running(settings());
  running.define<counter>();
  for (std::size_t bit = 0; bit < bits; ++bit) {
    CAPTURE(bit);
    const auto why = error_of(running.get<counter>(std::to_string(bit)).call<&counter::total>());
    CHECK((why.code == errc::corrupt ||
           (why.code == errc::newer_format && bit / 8 == 4))); // byte 4 is the frame's version
    CHECK(contains(why.message, "COUNTER/" + std::to_string(bit)));
  }
  CHECK(running.stats().corrupt_objects.size() == 100); // the list is bounded
}

TEST_CASE_FIXTURE(fixture, "R21: messages for a damaged object wait until it is mended") {
  refuses = true;
  {
    runtime running(settings());
    running.define<counter>();
    value_of(running.get<counter>("x").post<&counter::add>(1));
    value_of(running.get<counter>("y").post<&counter::add>(1));
    REQUIRE(eventually([&running] { return running.stats().failed_turns >= 2; }));
  }
  refuses = false;
  const std::string newer_frame = [] {
    auto row = seal(frame_type::object, "whatever");
    row[4] = static_cast<char>(frame_version + 1);
    return row;
  }();
  {
    test::disk disk(directory.path());
    REQUIRE(disk.count('I') == 2);
    disk.put(keys::object({"COUNTER", "x"}), "garbage");
    disk.put(keys::object({"COUNTER", "y"}), newer_frame);
  }
  {
    runtime running(settings());
    running.define<counter>();
    REQUIRE(eventually([&running] { return running.stats().corrupt_objects.size() == 2; }));
    CHECK(error_of(running.get<counter>("y").call<&counter::total>()).code == errc::newer_format);
    CHECK(eventually([&running] { return running.stats().pending_messages == 0; }));
    CHECK(running.stats().dead_letters == 0);
  }
  {
    test::disk disk(directory.path());
    CHECK(disk.count('I') == 2);
    CHECK(disk.count('D') == 0);
    for (const std::string id : {"x", "y"})
      disk.put(keys::object({"COUNTER", id}),
               seal(frame_type::object, encode(41, std::vector<std::string>())));
  }
  runtime running(settings());
  running.define<counter>();
  for (const std::string id : {"x", "y"})
    CHECK(eventually(
        [&running, &id] { return value_of(running.get<counter>(id).call<&counter::total>()) == 42; }));
}

TEST_CASE_FIXTURE(fixture,
                  "R21: a damaged message in an inbox becomes a dead letter with its bytes and its reason") {
  const std::vector<damage> of_posts{
      {"a bit", test::flip_last_bit},
      {"truncated", test::cut_in_half},
      {"empty", [](std::string& row) { row.clear(); }},
      {"a sound frame around garbage",
       [](std::string& row) { row = seal(frame_type::post, std::string(40, '\xff')); }},
      {"a result without a return path",
       [](std::string& row) { row = seal_value(frame_type::result, result_message{}); }},
      {"a method that is gone",
       [](std::string& row) {
         row = seal_value(frame_type::post, post_message{"subtract", ""});
       }},
  };
  refuses = true;
  {
    runtime running(settings());
    running.define<counter>();
    for (std::size_t i = 0; i <= of_posts.size(); ++i)
      value_of(running.get<counter>(std::to_string(i)).post<&counter::add>(1));
    REQUIRE(eventually([&] { return running.stats().failed_turns > of_posts.size(); }));
  }
  refuses = false;
  std::map<std::string, std::string> damaged;
  {
    test::disk disk(directory.path());
    std::size_t i = 0;
    for (auto [key, row] : disk.rows('I')) {
      if (i < of_posts.size()) {
        of_posts[i].second(row);
        disk.put(key, row);
        damaged.emplace(key, row);
      }
      ++i;
    }
    REQUIRE(i == of_posts.size() + 1);
    disk.put("Inonsense", "x"); // a key that is none, out of the range of any class: left alone
    disk.put(std::string("ICOUNTER\0", 9) + "nonsense", "x"); // in the range of this class
    damaged.emplace(std::string("ICOUNTER\0", 9) + "nonsense", "x");
  }
  {
    runtime running(settings());
    running.define<counter>();
    CHECK(eventually([&] { return running.stats().corrupt_rows == damaged.size(); }));
    CHECK(running.stats().dead_letters == damaged.size());
    const auto intact = std::to_string(of_posts.size());
    CHECK(eventually([&] { return value_of(running.get<counter>(intact).call<&counter::total>()) == 1; }));
    for (std::size_t i = 0; i < of_posts.size(); ++i)
      CHECK(value_of(running.get<counter>(std::to_string(i)).call<&counter::total>()) == 0);
  }
  test::disk disk(directory.path());
  CHECK(disk.count('I') == 1);
  std::map<std::string, std::string> kept;
  for (const auto& [key, row] : disk.rows('D')) {
    auto letter = value_or_throw(unseal_value<dead_letter>(frame_type::dead_letter, row));
    CHECK_FALSE(letter.reason.empty());
    CHECK(letter.time_ms > 0);
    kept.emplace(letter.key, letter.value);
  }
  CHECK(kept == damaged);
}

TEST_CASE_FIXTURE(fixture,
                  "R21: a dead letter of damaged bytes is not retried but discarded, whatever it was") {
  std::vector<std::string> damaged;
  {
    runtime running(settings());
    running.define<counter>(); // the store is made
  }
  {
    test::disk disk(directory.path());
    const address x{"COUNTER", "x"};
    std::uint64_t id = 0;
    const auto put = [&](const std::string& key, std::string row, void (*how)(std::string&)) {
      how(row);
      disk.put(key, row);
      damaged.push_back(key);
    };
    for (auto* how : {test::flip_last_bit, test::cut_in_half}) {
      fetch_message fetch;
      fetch.id = ++id;
      fetch.method = "GET";
      fetch.url = "http://127.0.0.1/";
      REQUIRE(fetch.path.push({x, "add", {}}));
      put(keys::queue({}, fetch.priority, 1, fetch.id), seal_value(frame_type::fetch, fetch), how);
      result_message result;
      result.fetch_id = ++id;
      result.result =
          unexpected<fetch_error>(fetch_error{fetch_errc::timeout, "too late", sent_state::no, 1});
      REQUIRE(result.path.push({x, "add", {}}));
      put(keys::inbox(x, result.fetch_id), seal_value(frame_type::result, result), how);
      put(keys::inbox(x, ++id), seal_value(frame_type::post, post_message{"add", encode(1)}), how);
    }
  }
  runtime running(settings());
  running.define<counter>();
  REQUIRE(eventually([&] { return running.stats().corrupt_rows == damaged.size(); }));
  const auto letters = running.dead_letters().list();
  REQUIRE(letters.size() == damaged.size());
  for (const auto& letter : letters) {
    CAPTURE(letter.reason);
    const auto why = error_thrown_by([&] { running.dead_letters().retry(letter.id); });
    CHECK(why.code == errc::corrupt);
    CHECK(contains(why.message, letter.reason));
  }
  CHECK(running.dead_letters().list().size() == damaged.size());
  for (const auto& letter : letters)
    running.dead_letters().discard(letter.id);
  CHECK(running.dead_letters().list().empty());
  CHECK(value_of(running.get<counter>("x").call<&counter::total>()) == 0);
}

TEST_CASE_FIXTURE(fixture, "R18: a store of a newer format is refused by name, and left as it is") {
  { runtime running(settings()); }
  const auto refused = [this](std::string row) {
    test::disk(directory.path()).put(keys::store_info(), row);
    const auto why = error_thrown_by([this] { runtime running(settings()); });
    CHECK(contains(why.message, directory.path().string()));
    CHECK(test::disk(directory.path()).rows('M').at(keys::store_info()) == row);
    return why;
  };
  const auto newer =
      refused(seal(frame_type::store_info, encode(store_format + 1, std::uint64_t{1}, std::uint64_t{1})));
  CHECK(newer.code == errc::newer_format);
  CHECK(contains(newer.message, std::to_string(store_format + 1)));
  // A newer version may say more than this one understands.
  const auto longer = refused(seal(frame_type::store_info, encode(store_format + 1, std::uint64_t{1},
                                                                  std::uint64_t{1}, std::string("more"))));
  CHECK(longer.code == errc::newer_format);
  auto frame = seal(frame_type::store_info, encode(store_format, std::uint64_t{1}, std::uint64_t{1}));
  frame[4] = static_cast<char>(frame_version + 1);
  CHECK(refused(frame).code == errc::newer_format);
}

TEST_CASE_FIXTURE(fixture, "R18: a store of an older format is taken over: its rows are read, and an older "
                           "program refuses it from then on") {
  { runtime running(settings()); }
  const auto older =
      seal(frame_type::store_info, encode(std::uint32_t{1}, std::uint64_t{7}, std::uint64_t{3}));
  test::disk(directory.path()).put(keys::store_info(), older);
  { runtime running(settings()); }
  const auto now = test::disk(directory.path()).rows('M').at(keys::store_info());
  CHECK(now == seal(frame_type::store_info, encode(store_format, std::uint64_t{7}, std::uint64_t{4})));
  CHECK(store_format > 1);
}

TEST_CASE_FIXTURE(fixture, "R21: a damaged format row is refused by name") {
  { runtime running(settings()); }
  auto row = test::disk(directory.path()).rows('M').at(keys::store_info());
  for (const auto& bad :
       {row.substr(0, row.size() - 1), row + "x", std::string(), std::string("garbage"),
        seal(frame_type::store_info, "x"),
        seal(frame_type::object, encode(store_format, std::uint64_t{1}, std::uint64_t{1}))}) {
    test::disk(directory.path()).put(keys::store_info(), bad);
    const auto why = error_thrown_by([this] { runtime running(settings()); });
    CHECK(why.code == errc::corrupt);
    CHECK(contains(why.message, directory.path().string()));
  }
  test::disk(directory.path()).put(keys::store_info(), row);
  runtime running(settings());
}

TEST_CASE_FIXTURE(fixture, "R18: ids are never used again, however often a store is opened") {
  std::vector<std::uint64_t> ids;
  for (int i = 0; i < 3; ++i) {
    auto opened = value_or_throw(store::open(
        value_or_throw(open_rocksdb({directory.path(), std::size_t{1} << 20U, std::size_t{1} << 20U, 1024})),
        directory.path(), 1024));
    ids.push_back(opened->next_id());
    ids.push_back(opened->next_id());
  }
  CHECK(std::is_sorted(ids.begin(), ids.end()));
  CHECK(std::adjacent_find(ids.begin(), ids.end()) == ids.end());
}

} // namespace dormouse::test::damage_test
