#include "outcome.hpp"
#include "upstream_fixture.hpp"

#include <doctest/doctest.h>

#include <filesystem>

namespace dormouse::test::dead_letters_test {
namespace {

constexpr int tries = 5; // of a handler, before its message is given up on

errc code_of(const std::function<void()>& what) {
  try {
    what();
  } catch (const failure& e) {
    return e.what_failed().code;
  }
  throw std::runtime_error("no failure");
}

class grumbler : public durable_object {
public:
  static inline std::atomic<bool> grumbles{true};
  void take(std::string what) {
    if (grumbles) throw std::runtime_error("will not take " + what);
    taken_.push_back(std::move(what));
  }
  std::vector<std::string> taken() const { return taken_; }
  template <class Archive> void serialize(Archive& ar) { ar(taken_); }
  using methods =
      dormouse::methods<"GRUMBLER", method<"take", &grumbler::take>, method<"taken", &grumbler::taken>>;

private:
  std::vector<std::string> taken_;
};

} // namespace

TEST_CASE_FIXTURE(upstream_fixture, "a result whose handler keeps throwing is kept with request, response, "
                                    "error and history, and can be retried") {
  runtime running(settings());
  auto x = object(running);
  fetcher::refusals = tries;
  auto what = key("apple", "status=200");
  what.method = "POST";
  what.body = "the body";
  what.headers.append("X-Mark", "7");
  what.headers.append("Authorization", "Bearer 7");
  value_of(x.call<&fetcher::send>(what));
  REQUIRE(eventually([&] { return running.stats().dead_letters == 1; }));
  auto letters = running.dead_letters().list();
  REQUIRE(letters.size() == 1);
  const auto& letter = letters.front();
  CHECK(letter.object == x.where());
  CHECK(letter.method == "on_result");
  CHECK(letter.reason.find("the continuation refuses") != std::string::npos);
  REQUIRE(letter.history.size() == tries);
  for (const auto& each : letter.history)
    CHECK(each.what.find("the continuation refuses") != std::string::npos);
  REQUIRE(letter.request);
  CHECK(letter.request->method == "POST");
  CHECK(letter.request->url == at("/k/apple?...")); // unless it is asked for, without what may be a secret
  CHECK(letter.request->headers.get("Authorization") == "...");
  CHECK(running.dead_letters().get(letter.id).request->url == letter.request->url);
  const auto whole = running.dead_letters().get(letter.id, secrets::shown);
  CHECK(whole.request->url == what.url);
  CHECK(whole.request->headers.get("Authorization") == "Bearer 7");
  CHECK(answered(*whole.result).url() == what.url);
  CHECK(answered(*letter.result).url() == at("/k/apple?..."));
  CHECK(running.dead_letters().list(0, 1, secrets::shown).front().request->url == what.url);
  CHECK(letter.request->body == "the body");
  CHECK(letter.request->headers.get("X-Mark") == "7");
  CHECK(letter.request->attempts == 1);
  REQUIRE(letter.result);
  CHECK(answered(*letter.result).status() == 200);

  running.dead_letters().retry(letter.id);
  CHECK(answered(result_under(x, "apple")).status() == 200);
  CHECK(upstream.hits("apple") == 1); // the response was kept: nothing was asked again
  CHECK(running.dead_letters().list().empty());
  CHECK(code_of([&] { running.dead_letters().retry(letter.id); }) == errc::not_found);
  CHECK(code_of([&] { running.dead_letters().discard(letter.id); }) == errc::not_found);
}

TEST_CASE_FIXTURE(
    upstream_fixture,
    "a dead letter with a large body keeps it until it is retried or discarded, over a restart") {
  constexpr std::size_t bytes = 3'000'000;
  const auto files = [this] {
    return std::distance(std::filesystem::directory_iterator(directory.path() / "blobs"),
                         std::filesystem::directory_iterator());
  };
  {
    runtime running(settings());
    auto x = object(running);
    fetcher::refusals = 2 * tries;
    value_of(x.call<&fetcher::send>(key("one", "bytes=3000000")));
    value_of(x.call<&fetcher::send>(key("two", "bytes=3000000")));
    REQUIRE(eventually([&] { return running.stats().dead_letters == 2; }));
  }
  CHECK(files() == 2);
  runtime running(settings());
  auto letters = running.dead_letters().list();
  REQUIRE(letters.size() == 2);
  CHECK(letters[0].result->value().text().empty());
  CHECK(running.dead_letters().get(letters[0].id).result->value().text().size() == bytes);
  running.dead_letters().retry(letters[0].id); // before its class is defined
  running.dead_letters().discard(letters[1].id);
  auto x = object(running);
  REQUIRE(all_came(x, 1));
  const auto tag = value_of(x.call<&fetcher::sequence>()).front();
  CHECK(answered(result_under(x, tag)).text().size() == bytes);
  CHECK(eventually([&] { return files() == 0; }));
  CHECK(running.dead_letters().list().empty());
}

TEST_CASE(
    "a post that keeps throwing is a dead letter with its arguments. Pages, limits and a stopped runtime") {
  scratch_directory directory;
  grumbler::grumbles = true;
  runtime running({.directory = directory.path(), .idle_after = std::chrono::milliseconds(0)});
  running.define<grumbler>();
  auto x = running.get<grumbler>("x");
  for (const char* each : {"a", "b", "c"})
    value_of(x.post<&grumbler::take>(std::string(each)));
  REQUIRE(eventually([&] { return running.stats().dead_letters == 3; }));
  auto letters = running.dead_letters();
  auto page = letters.list(0, 2);
  REQUIRE(page.size() == 2);
  CHECK(page[0].id < page[1].id);
  CHECK(page[0].method == "take");
  CHECK_FALSE(page[0].request);
  auto rest = letters.list(page[1].id);
  REQUIRE(rest.size() == 1);
  CHECK(code_of([&] { letters.list(0, 0); }) == errc::invalid_request);
  CHECK(code_of([&] { letters.list(0, 1'001); }) == errc::invalid_request);
  grumbler::grumbles = false;
  for (const auto& each : {page[0], page[1], rest[0]})
    letters.retry(each.id);
  REQUIRE(eventually([&] { return value_of(x.call<&grumbler::taken>()).size() == 3; }));
  CHECK(letters.list().empty());
  running.stop();
  CHECK(code_of([&] { letters.list(); }) == errc::stopped);
}

} // namespace dormouse::test::dead_letters_test
