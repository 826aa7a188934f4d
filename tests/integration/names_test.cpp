// Hosts whose names the system's resolver answers late, with nothing, or not at all.

#include "gate.hpp"
#include "upstream_fixture.hpp"

#include <dlfcn.h>
#include <doctest/doctest.h>
#include <netdb.h>

#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace dormouse::test::names_test {
namespace {

gate silence;
std::atomic<std::size_t> most_silent{0};
std::atomic<int> none_asked{0};

int answer_for(const char* name, const char* service, const addrinfo* wanted, addrinfo** found) {
  using resolver = int (*)(const char*, const char*, const addrinfo*, addrinfo**);
  static const auto real = reinterpret_cast<resolver>(::dlsym(RTLD_NEXT, "getaddrinfo"));
  const auto asked = std::string_view(name == nullptr ? "" : name);
  if (!asked.ends_with(".test")) return real(name, service, wanted, found);
  if (asked.ends_with("none.test")) {
    ++none_asked;
    return EAI_NONAME;
  }
  if (asked.ends_with("silent.test")) {
    for (auto now = silence.waiting() + 1, most = most_silent.load();
         now > most && !most_silent.compare_exchange_weak(most, now);) {
    }
    silence.pass();
    return EAI_AGAIN;
  }
  return real("127.0.0.1", service, wanted, found);
}

struct fixture : upstream_fixture {
  options settings() const {
    auto chosen = upstream_fixture::settings();
    chosen.allow = {"127.0.0.1", "here.test", "none.test", "*.silent.test"};
    chosen.worker_lease = std::chrono::milliseconds(1000);
    return chosen;
  }
  /// The upstream under a name.
  std::string named(const std::string& host, const std::string& target) const {
    const auto url = upstream.url();
    return "http://" + host + url.substr(url.rfind(':')) + target;
  }
};

} // namespace
} // namespace dormouse::test::names_test

/// Instead of the C library's, for all of this program.
extern "C" int getaddrinfo(const char* name, const char* service, const addrinfo* wanted, addrinfo** found) {
  return dormouse::test::names_test::answer_for(name, service, wanted, found);
}

namespace dormouse::test::names_test {

TEST_CASE_FIXTURE(fixture, "R10: names that are never answered fail their own fetches, and no others") {
  const gate::closing closed(silence);
  most_silent = 0;
  runtime running(settings());
  auto mine = object(running);
  constexpr int hanging = 60;
  std::vector<order> orders;
  for (int i = 0; i < hanging; ++i)
    orders.push_back({.tag = "silent " + std::to_string(i),
                      .url = "http://h" + std::to_string(i) + ".silent.test/",
                      .timeout_ms = 300,
                      .max_retries = 2});
  value_of(mine.call<&fetcher::send_all>(orders));
  REQUIRE(eventually([&] { return silence.waiting() > 0; }));
  for (int i = 0; i < 20; ++i) {
    const auto tag = "here " + std::to_string(i);
    CHECK(answered(fetched(mine, {.tag = tag,
                                  .url = named("here.test", "/k/" + std::to_string(i)),
                                  .method = i % 2 == 0 ? "GET" : "POST",
                                  .timeout_ms = 10'000}))
              .ok());
  }
  for (int i = 0; i < hanging; ++i) {
    const auto error = failed(result_under(mine, "silent " + std::to_string(i)));
    CHECK(error.code == fetch_errc::timeout);
    CHECK(error.sent == sent_state::no);
    CHECK(error.attempts == 3);
    CHECK(contains(error.message, "Resolving timed out"));
  }
  CHECK(running.stats().worker_restarts == 0);
  CHECK(most_silent.load() <= 16);
}

TEST_CASE_FIXTURE(fixture, "R10: a runtime stops while names hang") {
  const gate::closing closed(silence);
  {
    runtime running(settings());
    auto mine = object(running);
    value_of(mine.call<&fetcher::send>(
        order{.tag = "silent", .url = "http://one.silent.test/", .timeout_ms = 60'000}));
    REQUIRE(eventually([&] { return silence.waiting() == 1; }));
  }
  CHECK(silence.waiting() == 1);
}

TEST_CASE_FIXTURE(fixture, "R11: that a name has no address is not asked again at once") {
  none_asked = 0;
  runtime running(settings());
  auto mine = object(running);
  std::vector<order> orders;
  for (int i = 0; i < 30; ++i)
    orders.push_back({.tag = std::to_string(i), .url = "http://none.test/", .max_retries = 0});
  value_of(mine.call<&fetcher::send_all>(orders));
  for (int i = 0; i < 30; ++i) {
    const auto error = failed(result_under(mine, std::to_string(i)));
    CHECK(error.code == fetch_errc::network_error);
    CHECK(error.sent == sent_state::no);
    CHECK(contains(error.message, "Could not resolve host: none.test"));
  }
  CHECK(none_asked.load() == 1);
}

} // namespace dormouse::test::names_test
