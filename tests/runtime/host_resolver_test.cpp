#include "eventually.hpp"
#include "gate.hpp"
#include "proxy/host_resolver.hpp"

#include <boost/asio/io_context.hpp>
#include <doctest/doctest.h>

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace dormouse::test::host_resolver_test {
namespace {

/// A resolver whose names under "silent.example" are answered when `hang` opens; "none.example" has no
/// address, all others have one.
struct fixture {
  struct shared {
    gate hang;
    std::atomic<int> asked{0};
  };
  std::shared_ptr<shared> state = std::make_shared<shared>();
  gate::closing closed{state->hang};
  boost::asio::io_context loop;
  std::unique_ptr<host_resolver> names = make();
  std::map<std::string, std::string> answers;

  std::unique_ptr<host_resolver> make() {
    return std::make_unique<host_resolver>(loop, [state = state](const std::string& name) {
      ++state->asked;
      if (name.ends_with("silent.example")) state->hang.pass();
      return name == "none.example" ? host_resolver::answer{{}, "no such name"}
                                    : host_resolver::answer{{"192.0.2.1", "2001:db8::1"}, {}};
    });
  }
  std::uint64_t ask(const std::string& name) {
    return names->ask(name, [this, name](const host_resolver::answer& what) {
      answers[name] += what.addresses.empty() ? what.error : what.addresses.front();
    });
  }
  bool has_answer(const std::string& name) {
    return eventually([&] {
      loop.restart();
      loop.poll();
      return answers.contains(name);
    });
  }
};

} // namespace

TEST_CASE_FIXTURE(fixture, "R10: a name is looked up once for all that wait for it, and kept") {
  CHECK(names->known("a.silent.example") == nullptr);
  for (int i = 0; i < 3; ++i)
    ask("a.silent.example");
  REQUIRE(eventually([&] { return state->hang.waiting() == 1; }));
  state->hang.open();
  REQUIRE(has_answer("a.silent.example"));
  CHECK(answers["a.silent.example"] == "192.0.2.1192.0.2.1192.0.2.1");
  CHECK(state->asked.load() == 1);
  REQUIRE(names->known("a.silent.example") != nullptr);
  CHECK(names->known("a.silent.example")->addresses == std::vector<std::string>{"192.0.2.1", "2001:db8::1"});
}

TEST_CASE_FIXTURE(fixture, "R10: that a name has no address is kept for a second") {
  ask("none.example");
  REQUIRE(has_answer("none.example"));
  CHECK(answers["none.example"] == "no such name");
  REQUIRE(names->known("none.example") != nullptr);
  CHECK(names->known("none.example")->error == "no such name");
  CHECK(eventually([&] { return names->known("none.example") == nullptr; }, std::chrono::seconds(5)));
}

TEST_CASE_FIXTURE(fixture,
                  "R10: names that are never answered hold a bounded number of threads, and no others up") {
  constexpr int many = 500;
  for (int i = 0; i < many; ++i)
    ask(std::to_string(i) + ".silent.example");
  REQUIRE(eventually([&] { return state->hang.waiting() == host_resolver::most_lookups_of_domain; }));
  ask("www.example.org");
  CHECK(has_answer("www.example.org"));
  CHECK(state->hang.waiting() == host_resolver::most_lookups_of_domain);
  CHECK(state->asked.load() == static_cast<int>(host_resolver::most_lookups_of_domain) + 1);
  state->hang.open();
  for (int i = 0; i < many; ++i)
    CHECK(has_answer(std::to_string(i) + ".silent.example"));
  CHECK(state->asked.load() == many + 1);
}

TEST_CASE_FIXTURE(fixture, "R10: silent names of any number of domains hold a bounded number of threads") {
  for (int i = 0; i < 200; ++i)
    ask("www.d" + std::to_string(i) + "silent.example");
  CHECK(eventually([&] { return state->hang.waiting() == host_resolver::most_lookups; }));
  CHECK(state->asked.load() == static_cast<int>(host_resolver::most_lookups));
}

TEST_CASE_FIXTURE(fixture, "R10: a name that nobody waits for any more is not looked up") {
  for (std::size_t i = 0; i < host_resolver::most_lookups_of_domain; ++i)
    ask(std::to_string(i) + ".silent.example");
  const auto number = ask("late.silent.example");
  ask("last.silent.example");
  names->forget("late.silent.example", number);
  REQUIRE(eventually([&] { return state->hang.waiting() == host_resolver::most_lookups_of_domain; }));
  state->hang.open();
  REQUIRE(has_answer("last.silent.example"));
  CHECK_FALSE(answers.contains("late.silent.example"));
  CHECK(state->asked.load() == static_cast<int>(host_resolver::most_lookups_of_domain) + 1);
}

TEST_CASE_FIXTURE(fixture, "R10: a resolver ends while its names hang, and tells nobody any more") {
  ask("a.silent.example");
  REQUIRE(eventually([&] { return state->hang.waiting() == 1; }));
  names.reset();
  state->hang.open();
  REQUIRE(eventually([&] { return state->hang.waiting() == 0; }));
  loop.poll();
  CHECK(answers.empty());
}

TEST_CASE_FIXTURE(fixture, "R10: answers are kept within a bound") {
  const auto many = host_resolver::most_kept + 10;
  for (std::size_t i = 0; i < many; ++i)
    ask("n" + std::to_string(i) + ".x" + std::to_string(i));
  for (std::size_t i = 0; i < many; ++i)
    REQUIRE(has_answer("n" + std::to_string(i) + ".x" + std::to_string(i)));
  std::size_t kept = 0;
  for (std::size_t i = 0; i < many; ++i)
    kept += names->known("n" + std::to_string(i) + ".x" + std::to_string(i)) != nullptr ? 1 : 0;
  CHECK(kept == host_resolver::most_kept);
}

TEST_CASE("R10: the system's resolver knows this machine") {
  const auto here = host_resolver::look_up("localhost");
  CHECK(here.error.empty());
  CHECK_FALSE(here.addresses.empty());
  CHECK_FALSE(host_resolver::look_up("no-such-name.invalid").error.empty());
}

} // namespace dormouse::test::host_resolver_test
