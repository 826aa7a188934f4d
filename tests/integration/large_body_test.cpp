#include "blob_files.hpp"
#include "disk.hpp"
#include "raw_server.hpp"
#include "storage_valve.hpp"
#include "store/store.hpp"
#include "upstream/sample_content.hpp"
#include "upstream_fixture.hpp"
#include "url_encoded.hpp"

#include <dormouse/serialization/codec.hpp>
#include <dormouse/serialization/crc32c.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace dormouse::test::large_body_test {

using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t mib = std::uint64_t{1} << 20U;

/// Bytes of every value, the same for the same seed.
std::string binary(std::uint64_t bytes, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::string out;
  out.reserve(bytes + sizeof(std::uint64_t));
  while (out.size() < bytes) {
    const std::uint64_t word = random();
    out.append(reinterpret_cast<const char*>(&word), sizeof word);
  }
  out.resize(bytes);
  return out;
}

/// What came of one fetch; bodies are compared and forgotten, so that no state is large.
struct receipt {
  std::uint16_t status = 0;
  std::uint64_t bytes = 0;
  std::uint32_t crc = 0;
  std::string code; ///< of an error
  std::string message;
  sent_state sent{};

  template <class Archive> void serialize(Archive& ar) { ar(status, bytes, crc, code, message, sent); }
};

class carrier : public durable_object {
public:
  static inline std::atomic<int> refusals{0};
  static inline std::atomic<int> handled{0};

  void send(order what, std::uint64_t bytes, std::uint64_t seed) {
    auto init = what.init();
    const auto body = binary(bytes, seed);
    if (bytes != 0) init.body = std::as_bytes(std::span(body));
    fetch(what.url, std::move(init)).then<&carrier::on_result>(what.tag);
  }
  void send_and_throw(order what, std::uint64_t bytes) {
    send(what, bytes, 1);
    send(what, bytes, 2);
    throw std::runtime_error("changed my mind");
  }
  void send_and_grow(order what, std::uint64_t bytes) {
    send(what, bytes, 1);
    ballast_ = std::string(std::size_t{17} << 20U, 'x'); // over max_state_bytes
  }
  void on_result(fetch_result result, std::string tag) {
    ++handled;
    if (refusals > 0 && refusals-- > 0) throw std::runtime_error("the continuation refuses");
    receipt got;
    if (result) {
      got.status = result->status();
      got.bytes = result->text().size();
      got.crc = crc32c(result->text());
    } else {
      got.code = to_string(result.error().code);
      got.message = result.error().message;
      got.sent = result.error().sent;
    }
    receipts_.emplace(tag, got); // the first one
    ++results_;
  }
  std::vector<receipt> receipts(std::string tag) const {
    auto found = receipts_.find(tag);
    return found == receipts_.end() ? std::vector<receipt>() : std::vector<receipt>{found->second};
  }
  std::uint64_t results() const { return results_; }

  template <class Archive> void serialize(Archive& ar) { ar(receipts_, results_, ballast_); }
  using methods = dormouse::methods<
      "CARRIER", method<"send", &carrier::send>, method<"send_and_throw", &carrier::send_and_throw>,
      method<"send_and_grow", &carrier::send_and_grow>, method<"on_result", &carrier::on_result>,
      method<"receipts", &carrier::receipts>, method<"results", &carrier::results>>;

private:
  std::map<std::string, receipt> receipts_;
  std::uint64_t results_ = 0;
  std::string ballast_;
};

struct fixture : upstream_fixture {
  std::shared_ptr<storage_valve> valve = std::make_shared<storage_valve>();

  fixture() {
    carrier::refusals = 0;
    carrier::handled = 0;
  }

  ports valved() const { return {.wrap_engine = valve->wrap(), .wrap_transport = {}}; }

  static object_ref<carrier> object(runtime& running, const std::string& id = "x") {
    running.define<carrier>();
    return running.get<carrier>(id);
  }

  static receipt receipt_of(const object_ref<carrier>& mine, const std::string& tag) {
    std::vector<receipt> got;
    REQUIRE(eventually([&] {
      got = value_of(mine.call<&carrier::receipts>(tag));
      return !got.empty();
    }));
    return got.front();
  }

  receipt carried(const object_ref<carrier>& mine, const order& what, std::uint64_t bytes = 0,
                  std::uint64_t seed = 0) {
    value_of(mine.call<&carrier::send>(what, bytes, seed));
    return receipt_of(mine, what.tag);
  }

  /// A large GET; the key is the tag.
  order get(const std::string& name, std::uint64_t bytes, const std::string& more = "") const {
    return key(name, "bytes=" + std::to_string(bytes) + more);
  }

  order echo(const std::string& name, const std::string& parameters = "") const {
    return {.tag = name, .url = at("/echo?" + parameters), .method = "PUT"};
  }

  static void is_body_of(const receipt& got, const std::string& key, std::uint64_t bytes) {
    CHECK(got.status == 200);
    CHECK(got.bytes == bytes);
    CHECK(got.crc == crc32c(samples::body_of(key, bytes)));
  }

  static void is_echo(const receipt& got, std::uint64_t bytes, std::uint64_t seed) {
    CHECK(got.message == "");
    CHECK(got.status == 200);
    CHECK(got.bytes == bytes);
    CHECK(got.crc == crc32c(binary(bytes, seed)));
  }

  /// Nobody is told any more, and nothing is left: no file and no row of one.
  void is_clean() {
    CHECK(no_blob_files(directory.path()));
    CHECK(disk(directory.path()).count('B') == 0);
  }

  /// Responses in the inbox, each in its file: an earlier process stored them and knew no class.
  void leave_in_inbox(const std::vector<order>& orders) {
    {
      runtime running(settings());
      auto mine = object(running);
      for (const auto& each : orders)
        value_of(mine.call<&carrier::send>(each, std::uint64_t{0}, std::uint64_t{0}));
      REQUIRE(eventually([&] { return upstream.total() == orders.size(); }));
    }
    runtime running(settings());
    REQUIRE(eventually([&] { return running.stats().undeliverable == orders.size(); }));
  }

  /// A GET that gets no answer in the process that queued it.
  order waits(const std::string& name, std::uint64_t bytes) const {
    return get(name, bytes, "&mode=hang&fail_first=1");
  }

  /// Requests in the queue, each body in its file.
  void leave_queued(const std::vector<std::string>& names, std::uint64_t bytes) {
    runtime running(settings());
    auto mine = object(running);
    for (const auto& name : names)
      value_of(mine.call<&carrier::send>(
          order{.tag = name, .url = at("/k/" + name + "?mode=hang&fail_first=1"), .method = "PUT"}, bytes,
          std::uint64_t{1}));
    REQUIRE(eventually([&] { return upstream.total() == names.size(); }));
  }
};

using damage = std::pair<std::string, std::function<void(const std::filesystem::path&)>>;

const std::vector<damage> damages{
    {"flipped",
     [](const std::filesystem::path& file) {
       auto bytes = read_file(file);
       flip_middle_bit(bytes);
       write_file(file, bytes);
     }},
    {"truncated",
     [](const std::filesystem::path& file) {
       std::filesystem::resize_file(file, std::filesystem::file_size(file) / 2);
     }},
    {"missing", [](const std::filesystem::path& file) { std::filesystem::remove(file); }},
};

} // namespace

// --- both ways ---------------------------------------------------------------------------------------------

TEST_CASE_FIXTURE(fixture, "R12: 5 MiB of any bytes go out and come back as they are, and leave nothing") {
  {
    runtime running(settings());
    auto mine = object(running);
    is_echo(carried(mine, echo("put"), 5 * mib + 1, 1), 5 * mib + 1, 1);
    auto post = echo("post");
    post.method = "POST";
    is_echo(carried(mine, post, 5 * mib, 2), 5 * mib, 2);
    is_body_of(carried(mine, get("get", 5 * mib)), "get", 5 * mib);
    is_body_of(carried(mine, get("chunked", 5 * mib, "&mode=chunked&chunks=77")), "chunked", 5 * mib);
    CHECK(no_blob_files(directory.path()));
    CHECK(running.stats().retries == 0);
    CHECK(running.stats().dead_letters == 0);
  }
  is_clean();
}

TEST_CASE_FIXTURE(fixture, "R19: large bodies that find no room in memory, or not enough, are streamed into "
                           "their files and read from there") {
  for (const std::size_t room :
       {std::size_t{0}, std::size_t{300'000}, std::size_t{3 * mib}, std::size_t{64 * mib}}) {
    CAPTURE(room);
    auto chosen = settings();
    chosen.body_memory_bytes = room;
    runtime running(chosen);
    std::vector<object_ref<carrier>> objects;
    for (int i = 0; i < 6; ++i)
      objects.push_back(object(running, std::to_string(room) + "/" + std::to_string(i)));
    const std::vector<std::pair<std::string, std::string>> kinds{
        {"plain", ""}, {"chunked", "&mode=chunked&chunks=40"}, {"packed", "&encoding=gzip"}};
    for (const auto& [name, more] : kinds) {
      const auto& this_name = name; // clang 14 captures no structured binding
      CAPTURE(this_name);
      for (const auto& mine : objects)
        value_of(mine.call<&carrier::send>(get(name, 2 * mib, more), std::uint64_t{0}, std::uint64_t{0}));
      for (const auto& mine : objects)
        is_body_of(receipt_of(mine, name), name, 2 * mib);
    }
    CHECK(running.stats().retries == 0);
    CHECK(running.stats().dead_letters == 0);
    CHECK(no_blob_files(directory.path()));
  }
}

TEST_CASE_FIXTURE(fixture,
                  "R12: bodies around max_inline_bytes are the same to the handler, a byte more is a file") {
  const auto limit = settings().max_inline_bytes;
  runtime running(settings(), valved());
  auto mine = object(running);
  for (auto bytes : {limit - 1, limit, limit + 1, 2 * limit, 2 * limit + 1}) {
    CAPTURE(bytes);
    const auto tag = std::to_string(bytes);
    valve->hold_writes([](const write_op& op) { return op.key.front() == 'I' && !op.value; });
    {
      gate::closing held(valve->writes); // the result is handled, and not erased yet
      value_of(mine.call<&carrier::send>(echo(tag), std::uint64_t{bytes}, std::uint64_t{3}));
      REQUIRE(eventually([this] { return valve->writes.waiting() == 1; }));
      CHECK(eventually([&] {
        return blob_files(directory.path()).size() == (bytes > limit ? 1 : 0);
      })); // the response's; the request's is gone
    }
    is_echo(receipt_of(mine, tag), bytes, 3);
    CHECK(no_blob_files(directory.path()));
  }
}

TEST_CASE_FIXTURE(fixture, "R12: a large body goes out whole again on a redirect and on a retry") {
  runtime running(settings());
  auto mine = object(running);
  for (const std::string status : {"307", "308"}) {
    const order redirected{
        .tag = status, .url = at("/redirect?to=%2Fecho&status=" + status), .method = "POST"};
    is_echo(carried(mine, redirected, 2 * mib, 4), 2 * mib, 4);
  }
  is_echo(carried(mine, echo("again", "fail_first=4"), 2 * mib, 5), 2 * mib, 5); // two have been
  CHECK(running.stats().retries == 2);
  // 303: the body is left behind.
  const order see_other{.tag = "303", .url = at("/redirect?to=%2Fecho&status=303"), .method = "POST"};
  CHECK(carried(mine, see_other, 2 * mib, 6).bytes == 0);
  CHECK(no_blob_files(directory.path()));
}

TEST_CASE_FIXTURE(fixture, "R12: large bodies of attempts that do not count are removed") {
  runtime running(settings());
  auto mine = object(running);
  auto failing = get("failing", 2 * mib, "&status=503");
  failing.max_retries = 2;
  const auto last = carried(mine, failing);
  CHECK(last.status == 503);
  CHECK(last.bytes == 2 * mib); // spent: the last one is the result
  auto cut = get("cut", 2 * mib, "&mode=drop_body&fail_first=2");
  is_body_of(carried(mine, cut), "cut", 2 * mib);
  auto slow = get("slow", 2 * mib, "&mode=slow_body&chunks=20&chunk_ms=200");
  slow.timeout_ms = 800;
  slow.max_retries = 0;
  CHECK(carried(mine, slow).code == "TIMEOUT");
  CHECK(no_blob_files(directory.path()));
}

TEST_CASE_FIXTURE(
    fixture,
    "R12: a large body queued from outside any object arrives, and one that cannot be stored is refused") {
  runtime running(settings());
  auto mine = object(running);
  const auto outside = create_proxy_fetch(running.queue(), {.return_address = mine.where()});
  const auto body = binary(3 * mib, 7);
  const auto send = [&](const std::string& tag) {
    outside(at("/echo"), {.method = "POST", .body = std::as_bytes(std::span(body))})
        .then<&carrier::on_result>(tag);
  };
  send("a");
  is_echo(receipt_of(mine, "a"), 3 * mib, 7);
  {
    const no_blob_folder away(directory.path());
    const auto refused = error_thrown_by([&] { send("b"); });
    CHECK(refused.code == errc::storage_error);
    CHECK(contains(refused.message, "blobs"));
  }
  CHECK(running.stats().queued_fetches == 0);
  CHECK(no_blob_files(directory.path()));
}

// --- R3, R4: turns that do not happen ----------------------------------------------------------------------

TEST_CASE_FIXTURE(fixture, "R3: a turn that throws leaves no body behind") {
  runtime running(settings());
  auto mine = object(running);
  CHECK(error_of(mine.call<&carrier::send_and_throw>(echo("a"), mib)).code == errc::handler_failed);
  CHECK(no_blob_files(directory.path()));
  CHECK(error_of(mine.call<&carrier::send_and_grow>(echo("a"), mib)).code == errc::too_large);
  CHECK(no_blob_files(directory.path()));
  CHECK(running.stats().queued_fetches == 0);
  CHECK(upstream.total() == 0);
}

TEST_CASE_FIXTURE(fixture, "R4: a commit that fails leaves no body behind once another has succeeded") {
  runtime running(settings(), valved());
  auto mine = object(running);
  valve->fail_writes();
  CHECK(error_of(mine.call<&carrier::send>(echo("a"), mib, std::uint64_t{1})).code == errc::storage_error);
  valve->heal();
  is_echo(carried(mine, echo("b"), mib, 2), mib, 2);
  CHECK(no_blob_files(directory.path()));
  CHECK(upstream.total() == 1);
}

TEST_CASE_FIXTURE(fixture, "R4: no request goes out before its turn, body and all, is durable") {
  runtime running(settings(), valved());
  auto mine = object(running);
  std::future<void> sent;
  {
    gate::closing held(valve->writes);
    sent = mine.call<&carrier::send>(echo("a"), mib, std::uint64_t{1});
    REQUIRE(eventually([this] { return valve->writes.waiting() == 1; }));
    CHECK(blob_files(directory.path()).size() == 1); // before the rows that name it
    CHECK(upstream.total() == 0);
    CHECK_FALSE(is_ready(sent));
  }
  value_of(std::move(sent));
  is_echo(receipt_of(mine, "a"), mib, 1);
}

TEST_CASE_FIXTURE(fixture,
                  "R4: a body that cannot be written fails its turn by name, and nothing is committed") {
  runtime running(settings());
  auto mine = object(running);
  {
    const no_blob_folder away(directory.path());
    const auto failed = error_of(mine.call<&carrier::send>(echo("a"), mib, std::uint64_t{1}));
    CHECK(failed.code == errc::storage_error);
    CHECK(contains(failed.message, (directory.path() / "blobs").string()));
    CHECK(running.stats().queued_fetches == 0);
    CHECK(running.stats().turns == 0);
    // A stored call is not given up for that: its turn is tried until the disk takes it.
    value_of(mine.post<&carrier::send>(echo("b"), mib, std::uint64_t{2}));
    REQUIRE(eventually(
        [&running] { return running.stats().failed_turns >= 7; })); // a handler that throws has five tries
    CHECK(running.stats().dead_letters == 0);
  }
  is_echo(receipt_of(mine, "b"), mib, 2);
  CHECK(upstream.total() == 1);
  CHECK(no_blob_files(directory.path()));
}

// --- R8: responses -----------------------------------------------------------------------------------------

TEST_CASE_FIXTURE(
    fixture,
    "R8: a large response whose commit fails is kept in its file, and its request is not sent again") {
  runtime running(settings(), valved());
  auto mine = object(running);
  valve->fail_writes([](const write_op& op) { return op.key.front() == 'I' && op.value; });
  value_of(mine.call<&carrier::send>(get("a", 2 * mib), std::uint64_t{0}, std::uint64_t{0}));
  REQUIRE(eventually([this] { return valve->failed() >= 3; }));
  CHECK(blob_files(directory.path()).size() == 1);
  CHECK(upstream.hits("a") == 1);
  valve->heal();
  is_body_of(receipt_of(mine, "a"), "a", 2 * mib);
  CHECK(upstream.hits("a") == 1);
  CHECK(no_blob_files(directory.path()));
}

TEST_CASE_FIXTURE(
    fixture,
    "R9: a large response that the disk does not take is asked for again, or is a QUEUE_ERROR that says so") {
  auto streamed = settings();
  streamed.body_memory_bytes = 0;
  runtime running(streamed);
  auto mine = object(running);
  auto once = get("once", 2 * mib);
  once.max_retries = 0;
  auto more = get("more", 2 * mib);
  more.max_retries = 100;
  {
    const no_blob_folder away(directory.path());
    const auto lost = carried(mine, once);
    CHECK(lost.code == "QUEUE_ERROR");
    CHECK(lost.sent == sent_state::yes);
    CHECK(contains(lost.message, (directory.path() / "blobs").string()));
    value_of(mine.call<&carrier::send>(more, std::uint64_t{0}, std::uint64_t{0}));
    REQUIRE(eventually([this] { return upstream.hits("more") >= 2; }));
  }
  is_body_of(receipt_of(mine, "more"), "more", 2 * mib);
  CHECK(upstream.hits("once") == 1);
}

TEST_CASE_FIXTURE(
    fixture, "R8: a large response that is held in memory waits for the disk, and is not asked for again") {
  runtime running(settings());
  auto mine = object(running);
  auto once = get("held", 2 * mib);
  once.max_retries = 0;
  {
    const no_blob_folder away(directory.path());
    value_of(mine.call<&carrier::send>(once, std::uint64_t{0}, std::uint64_t{0}));
    REQUIRE(eventually([this] { return upstream.hits("held") == 1; }));
  }
  is_body_of(receipt_of(mine, "held"), "held", 2 * mib);
  CHECK(upstream.hits("held") == 1);
}

TEST_CASE_FIXTURE(
    fixture,
    "browser: a result that is a QUEUE_ERROR brings the cookies that came with the response which was lost") {
  auto chosen = settings();
  chosen.body_memory_bytes = 0;
  runtime running(chosen);
  auto mine = upstream_fixture::object(running, "o");
  const auto last = get("last", 2 * mib, "&set_cookie=last%3D2%3B%20Path%3D%2F").url;
  const order all{.tag = "all",
                  .url = at("/redirect?set_cookie=first%3D1%3B%20Path%3D%2F&to=" + url_encoded(last)),
                  .max_retries = 0,
                  .jar = "jar"};
  {
    const no_blob_folder away(directory.path());
    CHECK(failed(fetched(mine, all)).code == fetch_errc::queue_error);
  }
  CHECK(answered(fetched(mine, {.tag = "sent", .url = at("/cookies"), .jar = "jar"})).text() ==
        R"([["first","1"],["last","2"]])");
}

TEST_CASE_FIXTURE(fixture,
                  "circuit: trouble with the disk of this machine does not count against the origin") {
  for (const std::size_t room :
       {std::size_t{0}, std::size_t{64 * mib}}) { // lost, or held until the disk takes it
    CAPTURE(room);
    auto chosen = settings();
    chosen.body_memory_bytes = room;
    chosen.circuit_breaker = {.failures = 1, .open_for = 1h};
    runtime running(chosen);
    auto mine = object(running);
    auto once = get("k" + std::to_string(room), 2 * mib);
    once.tag = "big " + std::to_string(room);
    once.max_retries = 0;
    {
      const no_blob_folder away(directory.path());
      value_of(mine.call<&carrier::send>(once, std::uint64_t{0}, std::uint64_t{0}));
      REQUIRE(eventually([&] { return upstream.hits("k" + std::to_string(room)) == 1; }));
      if (room == 0) CHECK(receipt_of(mine, once.tag).code == "QUEUE_ERROR");
    }
    if (room != 0) CHECK(receipt_of(mine, once.tag).status == 200);
    for (const auto& each : running.stats().origins)
      CHECK(each.circuit == circuit_state::closed);
    CHECK(carried(mine, key("small " + std::to_string(room))).status == 200);
  }
}

TEST_CASE_FIXTURE(fixture, "R7: a large result is loaded again for each try of its handler") {
  runtime running(settings());
  auto mine = object(running);
  carrier::refusals = 2;
  is_body_of(carried(mine, get("a", 2 * mib)), "a", 2 * mib);
  CHECK(carrier::handled == 3);
  CHECK(running.stats().delivered == 1);
  CHECK(no_blob_files(directory.path()));
}

TEST_CASE_FIXTURE(fixture, "R7: a large result whose turn cannot be committed is handled again") {
  runtime running(settings(), valved());
  auto mine = object(running);
  valve->fail_writes([](const write_op& op) { return op.key.front() == 'I' && !op.value; });
  value_of(mine.call<&carrier::send>(get("a", 2 * mib), std::uint64_t{0}, std::uint64_t{0}));
  REQUIRE(eventually([] { return carrier::handled >= 2; }));
  CHECK(blob_files(directory.path()).size() == 1);
  valve->heal();
  is_body_of(receipt_of(mine, "a"), "a", 2 * mib);
  CHECK(value_of(mine.call<&carrier::results>()) == 1);
  CHECK(no_blob_files(directory.path()));
}

TEST_CASE_FIXTURE(fixture, "R7: a dead letter keeps its large body") {
  {
    runtime running(settings());
    auto mine = object(running);
    carrier::refusals = 1000;
    value_of(mine.call<&carrier::send>(get("a", 2 * mib), std::uint64_t{0}, std::uint64_t{0}));
    REQUIRE(eventually([&running] { return running.stats().dead_letters == 1; }));
    CHECK(running.stats().corrupt_rows == 0);
  }
  {
    runtime running(settings()); // a start removes only what nobody names
    auto mine = object(running);
    carrier::refusals = 0;
    is_body_of(carried(mine, get("b", 2 * mib)), "b", 2 * mib);
    REQUIRE(eventually([this] { return blob_files(directory.path()).size() == 1; }));
  }
  CHECK(disk(directory.path()).count('B') == 1);
  CHECK(disk(directory.path()).count('D') == 1);
  CHECK(read_file(blob_files(directory.path()).front()) == samples::body_of("a", 2 * mib));
}

TEST_CASE_FIXTURE(fixture, "R7: a large result that cannot be read for the moment is delivered when it can") {
  leave_in_inbox({waits("a", 2 * mib)});
  runtime running(settings(), valved());
  valve->fail_reads('B');
  auto mine = object(running);
  REQUIRE(eventually([this] { return valve->failed_reads() >= 2; }));
  CHECK(value_of(mine.call<&carrier::results>()) == 0);
  valve->heal();
  is_body_of(receipt_of(mine, "a"), "a", 2 * mib);
  CHECK(running.stats().dead_letters == 0);
  CHECK(no_blob_files(directory.path()));
}

// --- restarts and damage -----------------------------------------------------------------------------------

TEST_CASE_FIXTURE(
    fixture,
    "R12: large bodies in the queue and in the inbox survive a restart, what no row names does not") {
  const auto put = echo("echo", "mode=hang&fail_first=1");
  {
    runtime running(settings());
    value_of(object(running).call<&carrier::send>(put, 2 * mib, std::uint64_t{8}));
    REQUIRE(eventually([this] { return upstream.hits("/echo") == 1; }));
  }
  const auto live = blob_files(directory.path());
  REQUIRE(live.size() == 1);
  const auto orphan = [this](std::uint64_t id, blob_side side) {
    write_file(directory.path() / "blobs" / blob_ref{.fetch_id = id, .side = side, .number = 77}.file_name(),
               "left by a crash");
  };
  const auto owner = parse_blob_name(live.front().filename().string());
  orphan(12345, blob_side::request);
  orphan(owner->fetch_id, blob_side::request); // of the same fetch, and still not the one that the row names
  orphan(owner->fetch_id, blob_side::response);
  {
    runtime running(settings()); // without a class
    REQUIRE(eventually([&running] { return running.stats().undeliverable == 1; }));
    CHECK(eventually([this] { return blob_files(directory.path()).size() == 1; }));
    CHECK(blob_files(directory.path()) != live); // the response's now
  }
  {
    runtime running(settings());
    is_echo(receipt_of(object(running), "echo"), 2 * mib, 8);
  }
  is_clean();
}

TEST_CASE_FIXTURE(fixture, "R18: large bodies that an earlier version kept in rows are sent and delivered") {
  leave_queued({"request"}, 300'000);
  const auto to_row = [this] {
    disk rows(directory.path());
    const auto [key, row] = *rows.rows('B').begin();
    const auto file = blob_files(directory.path()).at(0);
    rows.put(key, seal(frame_type::blob, read_file(file)));
    std::filesystem::remove(file);
  };
  to_row();
  {
    disk rows(directory.path()); // to where the body comes back from
    auto [key, row] = *rows.rows('Q').begin();
    auto fetch = value_or_throw(unseal_value<fetch_message>(frame_type::fetch, row));
    fetch.url = at("/echo");
    rows.put(key, seal_value(frame_type::fetch, fetch));
  }
  {
    runtime running(settings());
    REQUIRE(eventually([&running] { return running.stats().undeliverable == 1; }));
  }
  to_row();
  {
    runtime running(settings());
    is_echo(receipt_of(object(running), "request"), 300'000, 1);
  }
  is_clean();
}

TEST_CASE_FIXTURE(
    fixture, "R21: a response's damaged body file makes a dead letter of its result, and the others go on") {
  std::vector<order> orders{waits("sound", mib)};
  for (const auto& [name, how] : damages)
    orders.push_back(waits(name, mib + orders.size()));
  leave_in_inbox(orders);
  for (const auto& file : blob_files(directory.path()))
    for (std::size_t i = 0; i < damages.size(); ++i)
      if (std::filesystem::exists(file) && std::filesystem::file_size(file) == mib + i + 1)
        damages[i].second(file);
  {
    runtime running(settings());
    auto mine = object(running);
    is_body_of(receipt_of(mine, "sound"), "sound", mib);
    CHECK(eventually([&running] { return running.stats().corrupt_rows == damages.size(); }));
    CHECK(running.stats().dead_letters == damages.size());
    is_body_of(carried(mine, get("later", mib)), "later", mib);
    CHECK(value_of(mine.call<&carrier::results>()) == 2);
  }
  disk rows(directory.path());
  CHECK(rows.count('I') == 0);
  for (const auto& [key, row] : rows.rows('D')) {
    const auto letter = value_or_throw(unseal_value<dead_letter>(frame_type::dead_letter, row));
    CHECK(contains(letter.reason, "corrupt"));
    CHECK(contains(letter.reason, (directory.path() / "blobs").string()));
  }
}

TEST_CASE_FIXTURE(
    fixture, "R21: a request's damaged body file is a result that says so, and the request is not received") {
  std::vector<std::string> names{"sound"};
  for (const auto& [name, how] : damages)
    names.push_back(name);
  leave_queued(names, mib);
  {
    disk rows(directory.path());
    for (const auto& [key, row] : rows.rows('Q')) {
      const auto fetch = value_or_throw(unseal_value<fetch_message>(frame_type::fetch, row));
      for (const auto& file : blob_files(directory.path()))
        for (const auto& [name, how] : damages)
          if (contains(fetch.url, "/k/" + name + "?") &&
              parse_blob_name(file.filename().string())->fetch_id == fetch.id)
            how(file);
    }
  }
  {
    runtime running(settings());
    auto mine = object(running);
    CHECK(receipt_of(mine, "sound").status == 200);
    for (const auto& [name, how] : damages) {
      const auto& this_name = name; // clang 14 captures no structured binding
      CAPTURE(this_name);
      const auto lost = receipt_of(mine, name);
      CHECK(lost.code == "FETCH_FAILED");
      CHECK(contains(lost.message, (directory.path() / "blobs").string()));
      CHECK(lost.sent == (name == "flipped" ? sent_state::maybe
                                            : sent_state::no)); // of the flipped one all but the end went out
      CHECK(upstream.hits(name) == 1);
    }
    CHECK(running.stats().in_flight_fetches == 0);
  }
  is_clean();
}

// --- R12: limits -------------------------------------------------------------------------------------------

TEST_CASE_FIXTURE(fixture, "R12: max_body_bytes holds for bodies in files, while they are received") {
  auto chosen = settings();
  chosen.max_body_bytes = 3 * mib;
  runtime running(chosen);
  auto mine = object(running);
  for (const std::string name : {"by-length", "chunked"}) {
    CAPTURE(name);
    const std::string mode = name == "chunked" ? "&mode=chunked&chunks=50" : "";
    is_body_of(carried(mine, get(name, 3 * mib, mode)), name, 3 * mib);
    const auto large = carried(mine, get(name + "-over", 3 * mib + 1, mode));
    CHECK(large.code == "TOO_LARGE");
    CHECK(large.sent == sent_state::yes);
    CHECK(contains(large.message, "options::max_body_bytes = 3145728"));
  }
  // One that would never end is cut off long before its end.
  CHECK(carried(mine, get("endless", 1024 * mib, "&mode=chunked&chunks=1024")).code == "TOO_LARGE");
  CHECK(running.stats().retries == 0);
  CHECK(no_blob_files(directory.path()));
}

TEST_CASE_FIXTURE(fixture, "R12: max_body_bytes holds for what a small compressed body unfolds to") {
  auto chosen = settings();
  chosen.max_body_bytes = 3 * mib;
  runtime running(chosen);
  auto mine = object(running);
  const auto answer = [](std::uint64_t zeros) {
    const auto body = gzip_of_zeros(zeros);
    return "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: " + std::to_string(body.size()) +
           "\r\nConnection: close\r\n\r\n" + body;
  };
  raw_server fits(answer(3 * mib));
  const auto whole = carried(mine, {.tag = "fits", .url = fits.url()});
  CHECK(whole.message == "");
  CHECK(whole.bytes == 3 * mib);
  CHECK(whole.crc == crc32c(std::string(3 * mib, '\0')));
  raw_server over(answer(64 * mib));
  CHECK(over.answer().size() < 512 * 1024);
  const auto large = carried(mine, {.tag = "over", .url = over.url()});
  CHECK(large.code == "TOO_LARGE");
  CHECK(contains(large.message, "options::max_body_bytes"));
  CHECK(no_blob_files(directory.path()));
}

} // namespace dormouse::test::large_body_test
