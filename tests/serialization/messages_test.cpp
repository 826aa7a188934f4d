#include "reference_frame.hpp"
#include "store/death_record.hpp"

#include <dormouse/serialization/codec.hpp>
#include <dormouse/serialization/crc32c.hpp>
#include <dormouse/serialization/messages.hpp>
#include <dormouse/serialization/open_call.hpp>
#include <dormouse/serialization/remembered_call.hpp>
#include <dormouse/serialization/schedule.hpp>
#include <dormouse/serialization/task_journal.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace dormouse::test::messages_test {

using namespace std::string_literals;
using namespace std::string_view_literals;

namespace {

/// A new one in every run, so that runs find what runs before did not; a failure prints it.
/// DORMOUSE_TEST_SEED=<number> repeats a run.
std::uint64_t pick_seed() {
  const char* given = std::getenv("DORMOUSE_TEST_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
}

class generator {
public:
  explicit generator(std::uint64_t seed) : random_(seed) {}

  std::uint64_t number() { return random_(); }
  std::uint64_t below(std::uint64_t limit) { return random_() % limit; }

  std::string bytes(std::size_t most) {
    std::string out;
    for (auto left = below(most + 1); left > 0; --left)
      out += static_cast<char>(number());
    return out;
  }

  std::string name() {
    auto out = bytes(10);
    std::replace(out.begin(), out.end(), '\0', 'x');
    return out;
  }

  dormouse::headers fields() {
    constexpr std::string_view name_bytes = "abcXYZ019-_!#$%&'*+.^`|~";
    dormouse::headers out;
    for (auto left = below(6); left > 0; --left) {
      std::string name;
      std::string value;
      for (auto size = below(12) + 1; size > 0; --size)
        name += name_bytes[below(name_bytes.size())];
      for (auto size = below(20); size > 0; --size)
        value += static_cast<char>(0x80 + below(0x80));
      out.append(name, value);
    }
    return out;
  }

  return_path path() {
    return_path out;
    for (auto left = below(max_return_path_hops + 1); left > 0; --left)
      value_or_throw(out.push({{bytes(10), bytes(20)}, name(), bytes(30), below(2) == 0 ? 0 : number()}));
    return out;
  }

  abort_signal signal() {
    const auto at = abort_signal::timeout(std::chrono::milliseconds(1 + below(1'000'000)),
                                          std::chrono::system_clock::time_point());
    switch (below(4)) {
    case 0:
      return {};
    case 1:
      return at;
    case 2:
      return abort_controller().signal();
    default:
      return abort_signal::any({abort_controller().signal(), at, abort_controller().signal()});
    }
  }

  fetch_message::extension fetch_extension() {
    if (below(3) == 0) return {};
    return {.queue = bytes(10),
            .not_before_ms = static_cast<std::int64_t>(number()),
            .delivery = static_cast<delivery>(below(2)),
            .sharing = static_cast<sharing>(below(2)),
            .signal = signal(),
            .jar = bytes(10)};
  }

  result_message::extension result_extension() {
    if (below(3) == 0) return {};
    result_message::extension out{.request = {.method = bytes(8),
                                              .url = bytes(60),
                                              .headers = fields(),
                                              .body = bytes(100),
                                              .body_bytes = number(),
                                              .queue = bytes(10),
                                              .created_ms = static_cast<std::int64_t>(number()),
                                              .attempts = static_cast<std::uint32_t>(number())},
                                  .jar = bytes(10),
                                  .cookies = {}};
    for (auto left = below(5); left > 0; --left)
      out.cookies.push_back({bytes(60), bytes(60), static_cast<std::int64_t>(number())});
    return out;
  }

  fetch_message fetch() {
    return {.id = number(),
            .method = bytes(8),
            .url = bytes(60),
            .headers = fields(),
            .body = bytes(500),
            .body_bytes = number(),
            .body_is_blob = static_cast<std::uint8_t>(below(2)),
            .timeout_ms = static_cast<std::int64_t>(number()),
            .deadline_ms = static_cast<std::int64_t>(number()),
            .retry = {.max_retries = static_cast<std::uint32_t>(number()),
                      .initial_delay = std::chrono::milliseconds(static_cast<std::int64_t>(number())),
                      .max_delay = std::chrono::milliseconds(static_cast<std::int64_t>(number()))},
            .redirect = static_cast<redirect_mode>(below(3)),
            .idempotency_key = bytes(40),
            .priority = static_cast<fetch_priority>(below(3)),
            .created_ms = static_cast<std::int64_t>(number()),
            .attempts = static_cast<std::uint32_t>(number()),
            .path = path(),
            .extra = fetch_extension()};
  }

  result_message result() {
    result_message out{
        .fetch_id = number(), .path = path(), .body_is_blob = static_cast<std::uint8_t>(below(2))};
    if (below(2) == 0)
      out.result = response(static_cast<std::uint16_t>(number()), fields(), bytes(500), bytes(60),
                            static_cast<std::uint32_t>(number()));
    else
      out.result =
          unexpected<fetch_error>({static_cast<fetch_errc>(1 + below(8)), bytes(60),
                                   static_cast<sent_state>(below(3)), static_cast<std::uint32_t>(number())});
    out.extra = result_extension();
    return out;
  }

  post_message post() { return {bytes(64), bytes(500)}; }

private:
  std::mt19937_64 random_;
};

// Fixed values in which no two neighbouring fields are equal, so that fields which changed places are found.

return_path golden_path() {
  return_path path;
  value_or_throw(path.push({{"OUTER_DO", "bob"}, "on_inner", "\x01\x02"}));
  value_or_throw(path.push({{"USER_DO", "z\u00fcrich"}, "on_repo", std::string("\0\xff", 2)}));
  return path;
}

fetch_message golden_fetch() {
  return {.id = 0x0102030405060708,
          .method = "POST",
          .url = "https://example.com:8443/a?b=c",
          .headers = {{"Accept", "application/json"}, {"X-Empty", ""}},
          .body = "{\"n\":1}",
          .body_bytes = 7,
          .body_is_blob = 0,
          .timeout_ms = 5'000,
          .deadline_ms = 1'700'000'060'000,
          .retry = {.max_retries = 4,
                    .initial_delay = std::chrono::milliseconds(250),
                    .max_delay = std::chrono::milliseconds(9'000)},
          .redirect = redirect_mode::error,
          .idempotency_key = "key-1",
          .priority = fetch_priority::low,
          .created_ms = 1'700'000'000'000,
          .attempts = 2,
          .path = golden_path()};
}

result_message golden_response() {
  return {.fetch_id = 42,
          .path = golden_path(),
          .result = response(201, {{"Content-Type", "text/plain"}, {"Set-Cookie", "a=b"}},
                             std::string("body\0\n", 6), "https://example.com/final", 3),
          .body_is_blob = 1};
}

result_message golden_error() {
  return {.fetch_id = 43,
          .path = golden_path(),
          .result =
              unexpected<fetch_error>({fetch_errc::network_error, "connection lost", sent_state::maybe, 5}),
          .body_is_blob = 0};
}

/// A signal whose controllers are the same in every run: as bytes, for a new one is like no other.
abort_signal golden_signal() {
  return value_or_throw(
      decode<abort_signal>(encode(std::vector<abort_id>{{0x1112131415161718, 0x2122232425262728},
                                                        {0x3132333435363738, 0x4142434445464748}},
                                  std::int64_t{1'700'000'030'000})));
}

fetch_message golden_extended_fetch() {
  auto out = golden_fetch();
  out.extra = {.queue = "bulk",
               .not_before_ms = 1'700'000'010'000,
               .delivery = delivery::at_most_once,
               .sharing = sharing::single_flight,
               .signal = golden_signal(),
               .jar = "session"};
  return out;
}

result_message golden_extended_result() {
  auto out = golden_response();
  out.extra = {.request = {.method = "PUT",
                           .url = "https://example.com/asked",
                           .headers = {{"X-Asked", "yes"}},
                           .body = "asked",
                           .body_bytes = 5,
                           .queue = "mail",
                           .created_ms = 1'700'000'000'001,
                           .attempts = 3},
               .jar = "session",
               .cookies = {{"https://example.com/hop", "a=1; Path=/", 1'700'000'000'002},
                           {"https://example.com/final", "b=2", 1'700'000'000'003}}};
  return out;
}

post_message golden_post() { return {"refresh", std::string("\x03\0\0\0\0\0\0\0abc", 11)}; }

std::string from_hex(const std::string& file) {
  std::ifstream in(file);
  INFO("golden file: ", file);
  REQUIRE(in.is_open());
  std::string bytes;
  for (std::string line; std::getline(in, line);) {
    if (line.rfind('#', 0) == 0) continue;
    REQUIRE(line.find_first_not_of("0123456789abcdef") == std::string::npos);
    REQUIRE(line.size() % 2 == 0);
    for (std::size_t i = 0; i < line.size(); i += 2)
      bytes += static_cast<char>(std::stoi(line.substr(i, 2), nullptr, 16));
  }
  return bytes;
}

std::string to_hex(std::string_view bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    auto byte = static_cast<unsigned char>(bytes[i]);
    out += digits[byte / 16];
    out += digits[byte % 16];
    if (i % 32 == 31 || i + 1 == bytes.size()) out += '\n';
  }
  return out;
}

/// The value has exactly the bytes in tests/golden/<name>.hex, and they are that value.
///
/// A test that fails here says that programs in the field can no longer read their disks: bump
/// `frame_version` and keep reading the old one. Only for a message that no release has written yet:
/// DORMOUSE_REGENERATE_GOLDEN=<name>  writes that one file, and the test fails all the same, so that no run
/// that is watched can pass by rewriting what it compares with.
template <class T> void is_golden(const std::string& name, frame_type type, const T& value) {
  auto file = std::string(DORMOUSE_TEST_GOLDEN_DIR) + "/" + name + ".hex";
  auto frame = seal_value(type, value);
  const char* regenerate = std::getenv("DORMOUSE_REGENERATE_GOLDEN");
  if (regenerate != nullptr && regenerate == name) {
    std::ofstream(file)
        << "# A frame as store format " << name.substr(1, 1)
        << " has it; see docs/on-disk-format.md. Never edited, never rewritten after a release.\n"
        << to_hex(frame);
    FAIL("wrote ", file, "; read the difference, then run again without DORMOUSE_REGENERATE_GOLDEN");
  }
  auto golden = from_hex(file);
  CHECK(to_hex(frame) == to_hex(golden));
  auto back = unseal_value<T>(type, golden);
  REQUIRE(back);
  CHECK(*back == value);
}

template <class T> void comes_back(frame_type type, const T& value) {
  auto frame = seal_value(type, value);
  auto back = unseal_value<T>(type, frame);
  REQUIRE(back);
  CHECK(*back == value);
  CHECK(seal_value(type, *back) == frame);
}

/// The header of `frame` made true again, so that what is wrong with it is in the payload.
std::string with_true_header(const std::string& frame) {
  auto type = frame.size() > 5 ? static_cast<std::uint8_t>(frame[5]) : std::uint8_t{1};
  return reference::frame(
      1, type, frame.size() > frame_header_bytes ? std::string_view(frame).substr(frame_header_bytes) : ""sv);
}

std::string mutated(std::string bytes, generator& random) {
  for (auto left = 1 + random.below(4); left > 0; --left) {
    auto at = bytes.empty() ? 0 : random.below(bytes.size());
    switch (bytes.empty() ? 2 : random.below(7)) {
    case 0:
      bytes[at] = static_cast<char>(static_cast<unsigned char>(bytes[at]) ^ (1U << random.below(8)));
      break;
    case 1:
      bytes[at] = static_cast<char>(random.number());
      break;
    case 2:
      bytes.insert(at, random.bytes(20));
      break;
    case 3:
      bytes.erase(at, 1 + random.below(20));
      break;
    case 4:
      bytes.insert(at, bytes.substr(at, 1 + random.below(40)));
      break;
    case 5:
      bytes.resize(at);
      break;
    default: { // a count that lies
      const std::uint64_t lies[] = {0,           1,           255,         bytes.size(), bytes.size() + 1,
                                    1ULL << 28U, 1ULL << 32U, 1ULL << 60U, ~0ULL};
      auto lie = reference::little_endian(lies[random.below(std::size(lies))], 8);
      bytes.replace(at, std::min<std::size_t>(8, bytes.size() - at), lie);
    }
    }
  }
  return bytes;
}

struct tally {
  int accepted = 0;
  int refused_by_frame = 0;
  int refused_by_payload = 0;
};

template <class T> void judge(frame_type type, const std::string& bytes, tally& seen) {
  bool frame_is_true = bytes.size() >= frame_header_bytes &&
                       bytes == reference::frame(1, static_cast<std::uint8_t>(type),
                                                 std::string_view(bytes).substr(frame_header_bytes));
  auto value = unseal_value<T>(type, bytes);
  if (!value) {
    if (value.error().code != errc::corrupt && value.error().code != errc::newer_format)
      FAIL("refused with ", to_string(value.error()));
    if (value.error().message.empty()) FAIL("refused without a word");
    ++(frame_is_true ? seen.refused_by_payload : seen.refused_by_frame);
    return;
  }
  if (!frame_is_true) FAIL("accepted with a wrong header or checksum");
  auto again = decode<T>(encode(*value));
  if (!again || *again != *value) FAIL("accepted a value that does not come back");
  ++seen.accepted;
}

} // namespace

TEST_CASE("messages come back from their frames as they were") {
  auto seed = pick_seed();
  INFO("repeat with DORMOUSE_TEST_SEED=", seed);
  generator random(seed);
  comes_back(frame_type::fetch, fetch_message{});
  comes_back(frame_type::result, result_message{});
  comes_back(frame_type::post, post_message{});
  for (int round = 0; round < 300; ++round) {
    comes_back(frame_type::fetch, random.fetch());
    comes_back(frame_type::result, random.result());
    comes_back(frame_type::post, random.post());
  }
}

TEST_CASE("R21: the fetch frame of format version 1 is for ever") {
  is_golden("v1_fetch", frame_type::fetch, golden_fetch());
}

TEST_CASE("R21: the result frame of format version 1 with a response is for ever") {
  is_golden("v1_result_response", frame_type::result, golden_response());
}

TEST_CASE("R21: the result frame of format version 1 with an error is for ever") {
  is_golden("v1_result_error", frame_type::result, golden_error());
}

TEST_CASE("R21: the post frame of format version 1 is for ever") {
  is_golden("v1_post", frame_type::post, golden_post());
}

TEST_CASE("R21: the extended fetch of store format 2 is for ever") {
  is_golden("v2_fetch_extended", frame_type::fetch, golden_extended_fetch());
}

TEST_CASE("R21: the extended result of store format 2 is for ever") {
  is_golden("v2_result_extended", frame_type::result, golden_extended_result());
}

TEST_CASE("R21: a call between objects and its answers, as store format 2 has them, are for ever") {
  is_golden(
      "v2_call", frame_type::call,
      call_message{
          0x0000010000000007, {"TELLER", "t"}, "add", std::string("\x05\0\0\0\0\0\0\0", 8), golden_path()});
  is_golden("v2_reply", frame_type::reply,
            reply_message{0x0000010000000008, golden_path(), std::string("\x0c\0\0\0\0\0\0\0", 8)});
  is_golden("v2_reply_error", frame_type::reply,
            reply_message{
                0x0000010000000009, golden_path(),
                tl::unexpected<call_error>(call_error{errc::handler_failed, "no debts", {"ACCOUNT", "a"}})});
  is_golden("v2_reply_error_typed", frame_type::reply,
            reply_message{0x000001000000000b, golden_path(),
                          tl::unexpected<call_error>(
                              call_error{errc::handler_failed, "no debts", {"ACCOUNT", "a"}, "bank::debt"})});
}

TEST_CASE("R21: a schedule, as store format 2 has it, is for ever") {
  schedule_message what;
  what.id.number = 0x000001000000000a;
  what.id.name = "daily";
  what.method = "report";
  what.arguments = std::string("\x03\0\0\0\0\0\0\0abc", 11);
  what.tick_ms = 1'700'000'000'000;
  what.due_ms = 1'700'000'002'345;
  what.interval_ms = 60'000;
  what.cron = "0 9 * * MON-FRI";
  what.zone = "Europe/Berlin";
  what.missed = missed_ticks::all;
  what.tries.push_back({1'700'000'000'007, "handler_failed: not now"});
  is_golden("v2_schedule", frame_type::schedule, what);
}

TEST_CASE("R21: a durable task and a step of its journal, as store format 2 has them, are for ever") {
  task_record task{.method = "scrape", .arguments = std::string("\x03\0\0\0\0\0\0\0abc", 11)};
  task.state = task_state::stuck;
  task.keep = 1;
  task.first_step = 0x0102;
  task.cancelled_at = 3;
  task.cancel_reason = "enough";
  task.waiters.push_back(golden_path());
  task.outcome =
      tl::unexpected<call_error>(call_error{errc::bad_arguments, "another operation", {"SITE", "s"}});
  task.created_ms = 1'700'000'000'000;
  task.ended_ms = 1'700'000'000'001;
  is_golden("v2_task", frame_type::task, task);
  journal_step step{.kind = step_kind::fetch,
                    .target = "GET https://example.com/",
                    .digest = 0x01020304,
                    .outcome = std::string("\x01xyz")};
  step.order = 5;
  step.failed = 1;
  step.body_is_blob = 1;
  step.reference = 0x000001000000000b;
  is_golden("v2_task_step", frame_type::task_step, step);
}

TEST_CASE("golden: the schedule that is the record of a call with a time limit") {
  schedule_message what;
  what.id = {0x0000010000000011, ""};
  what.method = call_methods::timeout;
  what.arguments = encode(open_call{{"ACCOUNT", "a"}, "add", 30'000, golden_path()});
  what.tick_ms = 1'700'000'030'000;
  what.due_ms = 1'700'000'030'001;
  is_golden("v2_schedule_call_timeout", frame_type::schedule, what);
  auto back = decode<open_call>(what.arguments);
  REQUIRE(back);
  CHECK(*back == open_call{{"ACCOUNT", "a"}, "add", 30'000, golden_path()});
}

TEST_CASE("golden: a call that is remembered, one whose reply comes later, and one that was answered with an "
          "error") {
  remembered_call what{.method = "add",
                       .arguments_digest = 0x01020304,
                       .arguments_bytes = 8,
                       .done_ms = 1'700'000'000'004,
                       .outcome = std::string("\x0c\0\0\0\0\0\0\0", 8)};
  is_golden("v2_remembered_call", frame_type::remembered_call, what);
  what.outcome = tl::unexpected<call_error>(call_error{errc::overloaded, "later", {"ACCOUNT", "a"}});
  comes_back(frame_type::remembered_call, what);
  comes_back(frame_type::remembered_call, remembered_call{.method = "add", .arguments_digest = 5});
}

TEST_CASE("R22: the death record of store format 2 is for ever") {
  const death_record what{
      .deaths = 2, .failures = 1, .epoch = 7, .history = {{1'700'000'000'004, "the process died"}}};
  is_golden("v2_death_record", frame_type::death_record, what);
  comes_back(frame_type::death_record, death_record{});
}

TEST_CASE("R18: a message that says nothing new has the bytes it had before there were extensions, and one "
          "without an extension is read") {
  auto fetch = golden_extended_fetch();
  fetch.extra = {};
  CHECK(encode(fetch) == encode(golden_fetch()));
  auto result = golden_extended_result();
  result.extra = {};
  CHECK(encode(result) == encode(golden_response()));
  for (const std::string name : {"v1_fetch", "v1_result_response", "v1_result_error"}) {
    CAPTURE(name);
    const auto frame = from_hex(std::string(DORMOUSE_TEST_GOLDEN_DIR) + "/" + name + ".hex");
    if (name == "v1_fetch") {
      const auto old = unseal_value<fetch_message>(frame_type::fetch, frame);
      REQUIRE(old);
      CHECK(old->extra == fetch_message::extension{});
      CHECK(old->extra.delivery == delivery::at_least_once);
      CHECK(old->extra.sharing == sharing::none);
      CHECK(old->extra.signal.never());
    } else {
      const auto old = unseal_value<result_message>(frame_type::result, frame);
      REQUIRE(old);
      CHECK(old->extra == result_message::extension{});
    }
  }
}

TEST_CASE("R21: each single thing that an extension says is written") {
  const std::vector<fetch_message::extension> of_fetches{
      {.queue = "q"},
      {.not_before_ms = 1},
      {.delivery = delivery::at_most_once},
      {.sharing = sharing::single_flight},
      {.signal = abort_controller().signal()},
      {.signal = abort_signal::timeout(std::chrono::milliseconds(1))},
      {.jar = "j"}};
  for (const auto& extra : of_fetches) {
    auto what = golden_fetch();
    what.extra = extra;
    CHECK(encode(what).size() > encode(golden_fetch()).size());
    comes_back(frame_type::fetch, what);
  }
  const std::vector<result_message::extension> of_results{{.request = {.method = "GET"}},
                                                          {.request = {.attempts = 1}},
                                                          {.jar = "j"},
                                                          {.cookies = {{"u", "f", 1}}}};
  for (const auto& extra : of_results) {
    auto what = golden_error();
    what.extra = extra;
    CHECK(encode(what).size() > encode(golden_error()).size());
    comes_back(frame_type::result, what);
  }
}

TEST_CASE("R21: a truncated extension is corrupt, and so is anything behind it") {
  const auto judge_all = [](const std::string& plain, const std::string& extended, auto decodes) {
    REQUIRE(extended.starts_with(plain));
    for (std::size_t size = 0; size < extended.size(); ++size) {
      CAPTURE(size);
      // Where the extension begins, the old message ends.
      CHECK(decodes(std::string_view(extended).substr(0, size)) == (size == plain.size()));
    }
    CHECK(decodes(extended));
    CHECK_FALSE(decodes(extended + '\0'));
  };
  judge_all(encode(golden_fetch()), encode(golden_extended_fetch()),
            [](std::string_view bytes) { return decode<fetch_message>(bytes).has_value(); });
  judge_all(encode(golden_response()), encode(golden_extended_result()),
            [](std::string_view bytes) { return decode<result_message>(bytes).has_value(); });
  const auto why =
      decode<fetch_message>(encode(golden_extended_fetch()).substr(0, encode(golden_fetch()).size() + 3));
  REQUIRE_FALSE(why);
  CHECK(why.error().code == errc::corrupt);
}

TEST_CASE("R21: every flipped bit and every truncation of a message is found") {
  for (const auto& good :
       {seal_value(frame_type::fetch, golden_fetch()), seal_value(frame_type::result, golden_response()),
        seal_value(frame_type::result, golden_error()), seal_value(frame_type::post, golden_post())}) {
    auto opens = [](std::string_view frame) {
      switch (static_cast<frame_type>(frame.size() > 5 ? frame[5] : 0)) {
      case frame_type::fetch:
        return unseal_value<fetch_message>(frame_type::fetch, frame).has_value();
      case frame_type::result:
        return unseal_value<result_message>(frame_type::result, frame).has_value();
      default:
        return unseal_value<post_message>(frame_type::post, frame).has_value();
      }
    };
    REQUIRE(opens(good));
    for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
      auto bad = good;
      bad[bit / 8] = static_cast<char>(static_cast<unsigned char>(bad[bit / 8]) ^ (1U << (bit % 8)));
      CAPTURE(bit);
      REQUIRE_FALSE(opens(bad));
    }
    for (std::size_t size = 0; size < good.size(); ++size) {
      CAPTURE(size);
      REQUIRE_FALSE(opens(good.substr(0, size)));
      REQUIRE_FALSE(opens(with_true_header(good.substr(0, size)))); // and by its payload alone
    }
  }
}

TEST_CASE("R21: a hundred thousand mutated frames are values or typed errors") {
  auto seed = pick_seed();
  INFO("repeat with DORMOUSE_TEST_SEED=", seed);
  generator random(seed);
  const std::string frames[] = {seal_value(frame_type::fetch, golden_fetch()),
                                seal_value(frame_type::result, golden_response()),
                                seal_value(frame_type::result, golden_error()),
                                seal_value(frame_type::post, golden_post()),
                                seal_value(frame_type::fetch, golden_extended_fetch()),
                                seal_value(frame_type::result, golden_extended_result())};
  tally seen;
  for (int round = 0; round < 100'000; ++round) {
    auto which = random.below(std::size(frames));
    auto bytes = mutated(frames[which], random);
    if (random.below(2) == 0) bytes = with_true_header(bytes);
    switch (which) {
    case 0:
    case 4:
      judge<fetch_message>(frame_type::fetch, bytes, seen);
      break;
    case 3:
      judge<post_message>(frame_type::post, bytes, seen);
      break;
    default:
      judge<result_message>(frame_type::result, bytes, seen);
    }
  }
  // Each of the three was really put to the test.
  CHECK(seen.accepted > 1'000);
  CHECK(seen.refused_by_frame > 10'000);
  CHECK(seen.refused_by_payload > 10'000);
}

TEST_CASE("R21: a stored abort signal is held to the rules of one that is made") {
  const auto stored = [](const std::vector<abort_id>& sources) {
    return decode<abort_signal>(encode(sources, std::int64_t{7}));
  };
  const auto whole = stored({{0, 5}, {1, 2}, {1, 3}});
  REQUIRE(whole);
  CHECK(whole->sources().size() == 3);
  CHECK(whole->at_ms() == 7);
  for (const auto& sources : std::vector<std::vector<abort_id>>{{{1, 3}, {1, 2}}, {{1, 2}, {1, 2}}}) {
    const auto refused = stored(sources);
    REQUIRE_FALSE(refused);
    CHECK(refused.error() ==
          error{errc::corrupt, "the controllers of a stored abort signal are not in order, each once"});
  }
  std::vector<abort_id> many;
  for (std::uint64_t i = 0; i < max_signal_sources; ++i)
    many.push_back({0, i});
  CHECK(stored(many));
  many.push_back({1, 0});
  const auto refused = stored(many);
  REQUIRE_FALSE(refused);
  CHECK(refused.error() ==
        error{errc::corrupt, "a stored abort signal hangs on 65 controllers; the limit is 64"});
}

TEST_CASE("R9: a request is repeatable by its method or by its idempotency key") {
  for (const auto* safe : {"GET", "HEAD", "OPTIONS", "PUT", "DELETE"}) {
    CAPTURE(safe);
    CHECK(fetch_message{.method = safe}.is_repeatable());
  }
  for (const auto* unsafe : {"POST", "PATCH", "patch", "get", "PUTT", "GE", "LOCK", ""}) {
    CAPTURE(unsafe);
    CHECK_FALSE(fetch_message{.method = unsafe}.is_repeatable());
    CHECK(fetch_message{.method = unsafe, .idempotency_key = "k"}.is_repeatable());
  }
}

TEST_CASE("R9: delivery at most once makes no method repeatable") {
  for (const auto* method : {"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "POST"}) {
    fetch_message once{.method = method, .idempotency_key = "k"};
    CHECK(once.is_repeatable());
    once.extra.delivery = delivery::at_most_once;
    CHECK_FALSE(once.is_repeatable());
  }
}

TEST_CASE("a fetch ends by itself at its deadline or at its signal's time, whichever comes first") {
  const auto at = [](std::int64_t ms) {
    return abort_signal::timeout(std::chrono::milliseconds(ms), std::chrono::system_clock::time_point());
  };
  fetch_message fetch;
  CHECK(fetch.end_ms() == 0);
  fetch.extra.signal = abort_controller().signal();
  CHECK(fetch.end_ms() == 0);
  fetch.deadline_ms = 7;
  CHECK(fetch.end_ms() == 7);
  fetch.extra.signal = at(5);
  CHECK(fetch.end_ms() == 5);
  fetch.extra.signal = at(9);
  CHECK(fetch.end_ms() == 7);
  fetch.deadline_ms = 0;
  CHECK(fetch.end_ms() == 9);
}

TEST_CASE("R14: fetch error codes have stable numbers and names") {
  struct row {
    fetch_errc code;
    int number;
    std::string_view name;
  };
  for (const auto& at : {row{fetch_errc::timeout, 1, "TIMEOUT"},
                         {fetch_errc::fetch_failed, 2, "FETCH_FAILED"},
                         {fetch_errc::network_error, 3, "NETWORK_ERROR"},
                         {fetch_errc::queue_error, 4, "QUEUE_ERROR"},
                         {fetch_errc::aborted, 5, "ABORTED"},
                         {fetch_errc::blocked, 6, "BLOCKED"},
                         {fetch_errc::too_large, 7, "TOO_LARGE"},
                         {fetch_errc::circuit_open, 8, "CIRCUIT_OPEN"}}) {
    CHECK(static_cast<int>(at.code) == at.number);
    CHECK(to_string(at.code) == at.name);
  }
  CHECK(to_string(static_cast<fetch_errc>(0)) == "UNKNOWN");
  CHECK(to_string(static_cast<fetch_errc>(9)) == "UNKNOWN");
}

TEST_CASE("R9: what was sent has stable numbers and names") {
  struct row {
    sent_state sent;
    int number;
    std::string_view name;
  };
  for (const auto& at :
       {row{sent_state::no, 0, "no"}, {sent_state::maybe, 1, "maybe"}, {sent_state::yes, 2, "yes"}}) {
    CHECK(static_cast<int>(at.sent) == at.number);
    CHECK(to_string(at.sent) == at.name);
  }
  CHECK(to_string(static_cast<sent_state>(3)) == "unknown");
}

TEST_CASE("R14: error codes have stable numbers and names") {
  struct row {
    errc code;
    int number;
    std::string_view name;
  };
  for (const auto& at : {row{errc::unknown_binding, 1, "unknown_binding"},
                         {errc::unknown_method, 2, "unknown_method"},
                         {errc::invalid_binding, 3, "invalid_binding"},
                         {errc::invalid_instance_id, 4, "invalid_instance_id"},
                         {errc::invalid_option, 5, "invalid_option"},
                         {errc::bad_arguments, 6, "bad_arguments"},
                         {errc::invalid_header, 7, "invalid_header"},
                         {errc::invalid_url, 8, "invalid_url"},
                         {errc::invalid_request, 9, "invalid_request"},
                         {errc::blocked, 10, "blocked"},
                         {errc::too_large, 11, "too_large"},
                         {errc::queue_full, 12, "queue_full"},
                         {errc::overloaded, 13, "overloaded"},
                         {errc::handler_failed, 14, "handler_failed"},
                         {errc::storage_error, 15, "storage_error"},
                         {errc::corrupt, 16, "corrupt"},
                         {errc::directory_locked, 17, "directory_locked"},
                         {errc::directory_unusable, 18, "directory_unusable"},
                         {errc::newer_format, 19, "newer_format"},
                         {errc::stopped, 20, "stopped"},
                         {errc::timeout, 21, "timeout"},
                         {errc::path_too_long, 22, "path_too_long"},
                         {errc::invalid_cookie, 23, "invalid_cookie"},
                         {errc::not_found, 24, "not_found"}}) {
    CHECK(static_cast<int>(at.code) == at.number);
    CHECK(to_string(at.code) == at.name);
  }
  CHECK(to_string(static_cast<errc>(0)) == "unknown");
  CHECK(to_string(error{errc::stopped, "why"}) == "stopped: why");
}

TEST_CASE("R14: the other numbers that frames carry are stable") {
  CHECK(static_cast<int>(redirect_mode::follow) == 0);
  CHECK(static_cast<int>(redirect_mode::manual) == 1);
  CHECK(static_cast<int>(redirect_mode::error) == 2);
  CHECK(static_cast<int>(fetch_priority::high) == 0);
  CHECK(static_cast<int>(fetch_priority::normal) == 1);
  CHECK(static_cast<int>(fetch_priority::low) == 2);
  CHECK(static_cast<int>(delivery::at_least_once) == 0);
  CHECK(static_cast<int>(delivery::at_most_once) == 1);
  CHECK(static_cast<int>(sharing::none) == 0);
  CHECK(static_cast<int>(sharing::single_flight) == 1);
}

TEST_CASE("a failure carries its error") {
  failure thrown({errc::stopped, "why"});
  CHECK(thrown.code() == errc::stopped);
  CHECK(thrown.what_failed() == error{errc::stopped, "why"});
  CHECK(thrown.what() == "stopped: why"s);
  CHECK(value_or_throw(expected<int>(3)) == 3);
  CHECK_NOTHROW(value_or_throw(expected<void>()));
  try {
    value_or_throw(expected<int>(fail(errc::blocked, "no")));
    FAIL("an error was no exception");
  } catch (const failure& f) {
    CHECK(f.what_failed() == error{errc::blocked, "no"});
  }
}

} // namespace dormouse::test::messages_test
