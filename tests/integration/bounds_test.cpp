#include "listening_socket.hpp"
#include "proxy/url_policy.hpp"
#include "upstream_fixture.hpp"

#include <doctest/doctest.h>
#include <netdb.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

namespace dormouse::test::bounds_test {

using namespace std::chrono_literals;

namespace {

struct fixture : upstream_fixture {
  /// The error of the call that asks for the fetch. Nothing may be left of that turn.
  error refused(runtime& running, order what) const {
    auto mine = object(running);
    const auto before = value_of(mine.call<&fetcher::orders>());
    auto why = error_of(mine.call<&fetcher::send>(std::move(what)));
    CHECK(value_of(mine.call<&fetcher::orders>()) == before);
    CHECK(running.stats().queued_fetches == 0);
    CHECK(running.stats().fetches == 0);
    return why;
  }

  std::string redirect_to(const std::string& location, const std::string& more = "") const {
    std::string encoded;
    constexpr std::string_view hex = "0123456789ABCDEF";
    for (unsigned char c : location)
      encoded += std::string{'%', hex[c >> 4U], hex[c & 15U]};
    return at("/redirect?to=" + encoded + more);
  }

  std::string authority() const { return "127.0.0.1:" + std::to_string(upstream.port()); }
};

/// A name other than "localhost", which libcurl knows by itself, that this machine resolves to nothing but
/// special addresses; empty if there is none.
std::string private_name() {
  std::array<char, 256> own{};
  ::gethostname(own.data(), own.size() - 1);
  for (const auto& name :
       {std::string(own.data()), std::string("localhost.localdomain"), std::string("ip6-localhost")}) {
    addrinfo* found = nullptr;
    if (name.empty() || name == "localhost" || ::getaddrinfo(name.c_str(), "80", nullptr, &found) != 0)
      continue;
    bool all_special = true;
    for (auto* each = found; each != nullptr; each = each->ai_next)
      all_special = all_special && is_special_address(*each->ai_addr);
    ::freeaddrinfo(found);
    if (all_special) return name;
  }
  return {};
}

} // namespace

// --- R12: limits -------------------------------------------------------------------------------------------

TEST_CASE_FIXTURE(fixture, "R12: a request over a limit is refused at the call, by the name of its option") {
  auto chosen = settings();
  chosen.max_body_bytes = 100'000;
  chosen.max_header_bytes = 2048;
  chosen.max_inline_bytes = 8192;
  runtime running(chosen);
  auto mine = object(running);

  const auto body = error_of(mine.call<&fetcher::send_bytes>(
      order{.tag = "a", .url = at("/echo"), .method = "POST"}, std::uint64_t{100'001}));
  CHECK(body.code == errc::too_large);
  CHECK(contains(body.message, "100001"));
  CHECK(contains(body.message, "options::max_body_bytes = 100000"));

  order what = key("a");
  for (int i = 0; i < 10; ++i)
    what.headers.append("X-" + std::to_string(i), std::string(300, 'h'));
  const auto header = refused(running, what);
  CHECK(header.code == errc::too_large);
  CHECK(contains(header.message, "options::max_header_bytes = 2048"));

  what = key("a");
  what.tag = std::string(9000, 't'); // the continuation's context
  const auto context = refused(running, what);
  CHECK(context.code == errc::too_large);
  CHECK(contains(context.message, "context"));
  CHECK(contains(context.message, "options::max_inline_bytes = 8192"));

  const auto url = refused(running, key("a", std::string(9000, 'q')));
  CHECK(url.code == errc::too_large);

  // At the limits all is well.
  value_of(mine.call<&fetcher::send_bytes>(order{.tag = "b", .url = at("/echo"), .method = "POST"},
                                           std::uint64_t{100'000}));
  CHECK(answered(result_under(mine, "b")).text().size() == 100'000);
  CHECK(upstream.total() == 1);
}

TEST_CASE_FIXTURE(fixture, "R12: a response over max_body_bytes or max_header_bytes is TOO_LARGE") {
  auto chosen = settings();
  chosen.max_body_bytes = 100'000;
  chosen.max_header_bytes = 2048;
  runtime running(chosen);
  auto mine = object(running);
  for (const std::string mode : {"", "&mode=chunked"}) {
    CAPTURE(mode);
    const auto large = failed(fetched(mine, key("a" + mode, "bytes=100001" + mode)));
    CHECK(to_string(large.code) == "TOO_LARGE");
    CHECK(large.sent == sent_state::yes);
    CHECK(contains(large.message, "options::max_body_bytes = 100000"));
    CHECK(answered(fetched(mine, key("b" + mode, "bytes=100000" + mode))).text().size() == 100'000);
  }
  const auto header = failed(fetched(mine, key("c", "retry_after=" + std::string(3000, '9'))));
  CHECK(to_string(header.code) == "TOO_LARGE");
  CHECK(contains(header.message, "options::max_header_bytes = 2048"));
  CHECK(running.stats().retries == 0);
}

TEST_CASE_FIXTURE(fixture, "R12: large bodies are seen by the handler as they are, both ways") {
  runtime running(settings());
  auto mine = object(running);
  const std::string large(300 * 1024, 'b');
  value_of(mine.call<&fetcher::send_bytes>(order{.tag = "echo", .url = at("/echo"), .method = "POST"},
                                           std::uint64_t{large.size()}));
  CHECK(answered(result_under(mine, "echo")).text() == large);
  const auto got = answered(fetched(mine, key("b", "bytes=2000000"))).text();
  CHECK(got.size() == 2'000'000);
  CHECK(upstream.total() == 2);
}

TEST_CASE_FIXTURE(fixture,
                  "R12: past max_queued_fetches a fetch is refused, undone turns give their places back") {
  auto chosen = settings();
  chosen.max_queued_fetches = 3;
  runtime running(chosen);
  auto mine = object(running);
  for (int i = 0; i < 10; ++i)
    CHECK(error_of(mine.call<&fetcher::send_and_throw>(key("undone"))).code == errc::handler_failed);
  std::vector<order> four;
  for (int i = 0; i < 4; ++i)
    four.push_back(key(std::to_string(i)));
  CHECK(error_of(mine.call<&fetcher::send_all>(four)).code == errc::queue_full); // all or none
  CHECK(running.stats().queued_fetches == 0);
  for (int i = 0; i < 3; ++i) {
    auto what = key("hangs " + std::to_string(i), "mode=hang");
    what.timeout_ms = 700;
    what.max_retries = 0;
    value_of(mine.call<&fetcher::send>(what));
  }
  const auto full = error_of(mine.call<&fetcher::send>(key("one too many")));
  CHECK(full.code == errc::queue_full);
  CHECK(contains(full.message, "QUEUE_ERROR"));
  CHECK(contains(full.message, "options::max_queued_fetches"));
  const auto outside = error_thrown_by([&] {
    create_proxy_fetch(running.queue(), {.return_address = mine.where()})(at("/k/a"))
        .then<&fetcher::on_result>("a");
  });
  CHECK(outside.code == errc::queue_full);
  REQUIRE(all_came(mine, 3));
  CHECK(answered(fetched(mine, key("a place is free"))).ok());
  CHECK(upstream.hits("undone") == 0);
  CHECK(upstream.hits("one too many") == 0);
}

TEST_CASE_FIXTURE(fixture, "R12: concurrency is bounded per origin, and no origin waits for another") {
  auto chosen = settings();
  chosen.max_in_flight_per_origin = 4;
  runtime running(chosen);
  auto mine = object(running);
  samples::upstream_server other;
  other.start();
  std::vector<order> orders;
  for (int i = 0; i < 40; ++i)
    orders.push_back(key(std::to_string(i), "delay_ms=50"));
  orders.push_back({.tag = "other", .url = other.url() + "/k/other"});
  value_of(mine.call<&fetcher::send_all>(orders));
  CHECK(answered(result_under(mine, "other")).ok());
  REQUIRE(all_came(mine, 41));
  CHECK(upstream.summary().in_flight_peak == 4);
}

TEST_CASE_FIXTURE(fixture, "R12: concurrency is bounded over all origins") {
  auto chosen = settings();
  chosen.max_in_flight = 5;
  runtime running(chosen);
  auto mine = object(running);
  std::vector<order> orders;
  for (int i = 0; i < 40; ++i)
    orders.push_back(key(std::to_string(i), "delay_ms=50"));
  value_of(mine.call<&fetcher::send_all>(orders));
  REQUIRE(all_came(mine, 40));
  CHECK(upstream.summary().in_flight_peak == 5);
}

TEST_CASE_FIXTURE(fixture, "R12: twenty redirects are followed, and not one more") {
  runtime running(settings());
  auto mine = object(running);
  const auto far = answered(fetched(mine, {.tag = "20", .url = at("/redirect_chain?n=20")}));
  CHECK(far.status() == 200);
  CHECK(far.redirected());
  const auto too_far = failed(fetched(mine, {.tag = "21", .url = at("/redirect_chain?n=21")}));
  CHECK(to_string(too_far.code) == "NETWORK_ERROR");
  CHECK(contains(too_far.message, "20 redirects"));
  CHECK(too_far.sent == sent_state::yes);
  CHECK(failed(fetched(mine,
                       {.tag = "error", .url = at("/redirect_chain?n=1"), .redirect = redirect_mode::error}))
            .code == fetch_errc::network_error);
  const auto manual = answered(
      fetched(mine, {.tag = "manual", .url = at("/redirect_chain?n=1"), .redirect = redirect_mode::manual}));
  CHECK(manual.status() == 302);
  CHECK(manual.headers().has("Location"));
  CHECK_FALSE(manual.redirected());
  CHECK(running.stats().retries == 0);
}

TEST_CASE_FIXTURE(
    fixture,
    "redirects change the method as the Fetch standard says, and credentials stay with their origin") {
  runtime running(settings());
  auto mine = object(running);
  const auto posted = [&](const std::string& status) {
    return answered(fetched(mine, {.tag = status,
                                   .url = redirect_to("/echo", "&status=" + status),
                                   .method = "POST",
                                   .body = "payload"}))
        .text();
  };
  CHECK(posted("302").empty());
  CHECK(posted("303").empty());
  CHECK(posted("307") == "payload");
  CHECK(posted("308") == "payload");

  samples::upstream_server other;
  other.start();
  const headers secret{{"Authorization", "Bearer secret"}, {"Cookie", "a=b"}, {"X-Kept", "yes"}};
  const auto same =
      answered(fetched(mine, {.tag = "same", .url = redirect_to("/headers"), .headers = secret})).text();
  CHECK(contains(same, "Bearer secret"));
  CHECK(contains(same, "a=b"));
  const auto crossed = answered(
      fetched(mine, {.tag = "crossed", .url = redirect_to(other.url() + "/headers"), .headers = secret}));
  CHECK(crossed.url() == other.url() + "/headers");
  CHECK_FALSE(contains(crossed.text(), "secret"));
  CHECK_FALSE(contains(crossed.text(), "a=b"));
  CHECK(contains(crossed.text(), "yes"));
}

TEST_CASE_FIXTURE(fixture, "the queue is served by priority") {
  auto chosen = settings();
  chosen.max_in_flight = 1;
  runtime running(chosen);
  auto mine = object(running);
  std::vector<order> orders{key("in front", "delay_ms=300")};
  for (auto priority : {fetch_priority::low, fetch_priority::normal, fetch_priority::high})
    for (const std::string turn : {" a", " b"}) {
      orders.push_back(key((priority == fetch_priority::low      ? "low"
                            : priority == fetch_priority::normal ? "normal"
                                                                 : "high") +
                           turn));
      orders.back().priority = priority;
    }
  orders.front().priority = fetch_priority::high;
  value_of(mine.call<&fetcher::send_all>(orders));
  REQUIRE(all_came(mine, 7));
  CHECK(value_of(mine.call<&fetcher::sequence>()) ==
        std::vector<std::string>{"in front", "high a", "high b", "normal a", "normal b", "low a", "low b"});
}

TEST_CASE_FIXTURE(fixture,
                  "R12: a queue many times as long as the window is served in full, retries included") {
  constexpr std::uint64_t fetches = 300;
  auto chosen = settings();
  chosen.max_window = 4;
  chosen.max_in_flight = 3;
  runtime running(chosen);
  auto mine = object(running);
  std::vector<order> orders;
  for (std::uint64_t i = 0; i < fetches; ++i)
    orders.push_back(key(std::to_string(i), i % 3 == 0 ? "fail_first=2" : ""));
  value_of(mine.call<&fetcher::send_all>(orders));
  REQUIRE(all_came(mine, fetches));
  for (std::uint64_t i = 0; i < fetches; ++i) {
    CHECK(answered(result_under(mine, std::to_string(i))).ok());
    CHECK(upstream.hits(std::to_string(i)) == (i % 3 == 0 ? 3 : 1));
  }
  CHECK(running.stats().queued_fetches == 0);
}

// --- R13: the URL policy -----------------------------------------------------------------------------------

TEST_CASE_FIXTURE(fixture, "R13: with an empty allowlist nothing goes out") {
  auto chosen = settings();
  chosen.allow = {};
  runtime running(chosen);
  const auto why = refused(running, key("a"));
  CHECK(why.code == errc::blocked);
  CHECK(contains(why.message, "127.0.0.1"));
  CHECK(contains(why.message, "options::allow"));
  CHECK(running.stats().blocked == 1);
  CHECK(upstream.summary().connections_opened == 0);
}

TEST_CASE_FIXTURE(fixture, "R13: a wildcard does not reach this machine, however its address is spelled") {
  listening_socket secret;
  auto chosen = settings();
  chosen.allow = {"*", "*.localhost"};
  runtime running(chosen);
  auto mine = object(running);
  for (const std::string host : {"127.0.0.1", "2130706433", "0x7f000001", "017700000001", "127.1", "0",
                                 "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "169.254.169.254"}) {
    CAPTURE(host);
    const auto why = error_of(
        mine.call<&fetcher::send>(order{.tag = host, .url = "http://" + host + ":" + secret.port() + "/"}));
    CHECK(why.code == errc::blocked);
    CHECK(contains(why.message, "options::allow"));
  }
  // User info is not accepted in a fetch at all.
  for (const std::string user : {"example.com", "example.com:80"})
    CHECK(error_of(mine.call<&fetcher::send>(
                       order{.tag = "user", .url = "http://" + user + "@127.0.0.1:" + secret.port() + "/"}))
              .code == errc::invalid_url);
  CHECK(running.stats().attempts == 0);
  CHECK(secret.connections() == 0);
}

TEST_CASE_FIXTURE(fixture, "R13: a name that resolves to a private address is refused at the socket") {
  listening_socket secret;
  auto chosen = settings();
  chosen.allow = {"*"};
  runtime running(chosen);
  auto mine = object(running);
  std::vector<std::string> names{"localhost"};
  if (const auto own = private_name(); !own.empty()) names.push_back(own);
  for (const auto& name : names) {
    CAPTURE(name);
    const auto why =
        failed(fetched(mine, {.tag = name, .url = "http://" + name + ":" + secret.port() + "/"}));
    CHECK(to_string(why.code) == "BLOCKED");
    CHECK(why.sent == sent_state::no);
    CHECK(why.attempts == 1); // final: trying again would not help
    CHECK(contains(why.message, name.substr(0, 9)));
    CHECK(contains(why.message, "options::allow"));
  }
  CHECK(running.stats().blocked == names.size());
  CHECK(secret.connections() == 0);
}

TEST_CASE_FIXTURE(fixture, "R13: a redirect leads nowhere that the first hop could not have gone") {
  listening_socket secret;
  auto chosen = settings();
  chosen.allow = {authority(), "*"};
  runtime running(chosen);
  auto mine = object(running);
  const auto port = ":" + secret.port() + "/";
  for (const auto& location :
       {"http://127.0.0.1" + port, "http://127.0.0.2" + port, "http://localhost" + port,
        "http://2130706433" + port, "http://0x7f.1" + port, "http://[::1]" + port,
        "http://[::ffff:127.0.0.1]" + port, "http://" + authority() + "@localhost" + port,
        "//localhost" + port, std::string("ftp://127.0.0.1/"), std::string("file:///etc/passwd")}) {
    CAPTURE(location);
    const auto why = failed(fetched(mine, {.tag = location, .url = redirect_to(location)}));
    CHECK(to_string(why.code) == "BLOCKED");
    CHECK(why.sent == sent_state::yes); // to where it was allowed
  }
  CHECK(secret.connections() == 0);
  // Where it may go it is followed.
  CHECK(answered(fetched(mine, {.tag = "back", .url = redirect_to(at("/k/back"))})).ok());
  CHECK(running.stats().retries == 0);
}

TEST_CASE_FIXTURE(fixture, "R13: a host that is not allowed is not reached over a redirect") {
  listening_socket secret;
  auto chosen = settings();
  chosen.allow = {authority()};
  runtime running(chosen);
  auto mine = object(running);
  for (const std::string host : {"127.0.0.1", "localhost", "example.com"}) {
    CAPTURE(host);
    const auto why = failed(
        fetched(mine, {.tag = host, .url = redirect_to("http://" + host + ":" + secret.port() + "/")}));
    CHECK(to_string(why.code) == "BLOCKED");
    CHECK(contains(why.message, host));
    CHECK(contains(why.message, "options::allow"));
  }
  CHECK(secret.connections() == 0);
}

TEST_CASE_FIXTURE(fixture, "R13: a private host that is allowed by name is reached") {
  auto chosen = settings();
  chosen.allow = {"localhost:" + std::to_string(upstream.port())};
  runtime running(chosen);
  auto mine = object(running);
  CHECK(answered(fetched(mine,
                         {.tag = "a", .url = "http://localhost:" + std::to_string(upstream.port()) + "/k/a"}))
            .ok());
  CHECK(error_of(mine.call<&fetcher::send>(key("b"))).code ==
        errc::blocked); // the same place by another name
}

TEST_CASE_FIXTURE(fixture,
                  "R13: the allowlist of the process that sends counts, not that of the one that queued") {
  {
    runtime running(settings());
    value_of(object(running).call<&fetcher::send>(key("a", "mode=hang")));
    REQUIRE(eventually([this] { return upstream.hits("a") == 1; }));
  }
  auto chosen = settings();
  chosen.allow = {"example.com"};
  runtime running(chosen);
  const auto why = failed(result_under(object(running), "a"));
  CHECK(to_string(why.code) == "BLOCKED");
  CHECK(why.sent == sent_state::no);
  CHECK(upstream.hits("a") == 1);
}

TEST_CASE_FIXTURE(fixture, "R13: a proxy that the environment names is not used") {
  listening_socket proxy;
  for (const auto* name : {"http_proxy", "all_proxy", "ALL_PROXY"})
    ::setenv(name, ("http://127.0.0.1:" + proxy.port()).c_str(), 1);
  {
    runtime running(settings());
    CHECK(answered(fetched(object(running), key("a"))).ok());
  }
  for (const auto* name : {"http_proxy", "all_proxy", "ALL_PROXY"})
    ::unsetenv(name);
  CHECK(proxy.connections() == 0);
}

TEST_CASE_FIXTURE(fixture, "R13: the environment takes no target out of the options' proxy") {
  listening_socket proxy;
  ::setenv("NO_PROXY", "*", 1);
  ::setenv("no_proxy", "*", 1);
  auto chosen = settings();
  chosen.proxy = "http://127.0.0.1:" + proxy.port();
  {
    runtime running(chosen);
    auto past = key("a");
    past.timeout_ms = 300; // this proxy never answers
    past.max_retries = 0;
    CHECK(failed(fetched(object(running), past)).code == fetch_errc::timeout);
  }
  ::unsetenv("NO_PROXY");
  ::unsetenv("no_proxy");
  CHECK(proxy.connections() == 1);
  CHECK(upstream.hits("a") == 0);
}

// --- bad input ---------------------------------------------------------------------------------------------

TEST_CASE_FIXTURE(
    fixture, "bad input: a fetch that cannot be made is refused at the call, by the name of what is wrong") {
  runtime running(settings());
  const auto sent = [&](order what) { return refused(running, std::move(what)); };

  const auto host = sent({.tag = "a", .url = "http://example.com/"});
  CHECK(host.code == errc::blocked);
  CHECK(contains(host.message, "example.com"));
  CHECK(contains(host.message, "options::allow"));

  const auto scheme = sent({.tag = "a", .url = "ftp://127.0.0.1/"});
  CHECK(scheme.code == errc::blocked);
  CHECK(contains(scheme.message, "ftp"));

  CHECK(sent({.tag = "a", .url = "/relative"}).code == errc::invalid_url);
  CHECK(sent({.tag = "a", .url = "http://"}).code == errc::invalid_url);
  CHECK(sent({.tag = "a", .url = ""}).code == errc::invalid_url);
  CHECK(sent({.tag = "a", .url = at("/"), .method = "BAD METHOD"}).code == errc::invalid_request);
  CHECK(sent({.tag = "a", .url = at("/"), .method = "CONNECT"}).code == errc::invalid_request);
  CHECK(sent({.tag = "a", .url = at("/"), .body = "a GET has none"}).code == errc::invalid_request);
  CHECK(sent({.tag = "a", .url = at("/"), .timeout_ms = -1}).code == errc::invalid_request);
  CHECK(sent({.tag = "a", .url = at("/"), .max_retries = 1000}).code == errc::invalid_request);

  constexpr auto year_ms = std::chrono::milliseconds(std::chrono::hours(24 * 366)).count();
  const auto now_ms = std::chrono::duration_cast<std::chrono::milliseconds>(
                          std::chrono::system_clock::now().time_since_epoch())
                          .count();
  for (const std::int64_t delay : {std::int64_t{-1}, year_ms + 1}) {
    const auto why = sent({.tag = "a", .url = at("/"), .delay_ms = delay});
    CHECK(why.code == errc::invalid_request);
    CHECK(contains(why.message, "delay"));
  }
  const auto far = sent({.tag = "a", .url = at("/"), .not_before_ms = now_ms + year_ms + 60'000});
  CHECK(far.code == errc::invalid_request);
  CHECK(contains(far.message, "not_before"));
  for (const auto& late :
       {order{.tag = "a", .url = at("/"), .deadline_ms = 60'000, .delay_ms = 60'000},
        order{.tag = "a", .url = at("/"), .deadline_ms = 60'000, .not_before_ms = now_ms + 600'000}}) {
    const auto why = sent(late);
    CHECK(why.code == errc::invalid_request);
    CHECK(contains(why.message, "deadline"));
  }
  for (const auto& alone :
       {order{.tag = "a", .url = at("/"), .method = "PUT", .sharing = sharing::single_flight},
        order{.tag = "a", .url = at("/"), .method = "HEAD", .sharing = sharing::single_flight},
        order{.tag = "a",
        .url = at("/"),
        .delivery = delivery::at_most_once,
        .sharing = sharing::single_flight}}) {
    const auto why = sent(alone);
    CHECK(why.code == errc::invalid_request);
    CHECK(contains(why.message, "single_flight"));
  }
  for (const auto& queue : {std::string("no name"), std::string("1st"), std::string("a-b"),
                            std::string("\xc3\xa4"), std::string(65, 'q')}) {
    const auto why = sent({.tag = "a", .url = at("/"), .queue = queue});
    CHECK(why.code == errc::invalid_request);
    CHECK(contains(why.message, "queue"));
  }

  const auto header = sent({.tag = "a", .url = at("/"), .idempotency_key = "two\r\nlines: 2"});
  CHECK(header.code == errc::invalid_header);
  CHECK(contains(header.message, "Idempotency-Key"));
  headers reserved;
  reserved.append("Content-Length", "7");
  const auto length = sent({.tag = "a", .url = at("/"), .headers = reserved});
  CHECK(length.code == errc::invalid_header);
  CHECK(contains(length.message, "Content-Length"));
  CHECK(upstream.total() == 0);
}

// --- R14: names --------------------------------------------------------------------------------------------

TEST_CASE_FIXTURE(fixture, "R14: the codes of results are these strings") {
  auto chosen = settings();
  chosen.allow = {"127.0.0.1"};
  chosen.max_body_bytes = 1000;
  runtime running(chosen);
  auto mine = object(running);
  const auto code = [&](order what) {
    what.max_retries = 0;
    return std::string(to_string(failed(fetched(mine, std::move(what))).code));
  };
  auto slow = key("slow", "mode=hang");
  slow.timeout_ms = 200;
  CHECK(code(slow) == "TIMEOUT");
  CHECK(code(key("gone", "mode=drop")) == "NETWORK_ERROR");
  CHECK(code(key("large", "bytes=1001")) == "TOO_LARGE");
  CHECK(code({.tag = "elsewhere", .url = redirect_to("http://example.com/")}) == "BLOCKED");
  // A fetch_failed comes of a lost worker or process: see R9.
  CHECK(to_string(fetch_errc::fetch_failed) == "FETCH_FAILED");
  CHECK(to_string(fetch_errc::queue_error) == "QUEUE_ERROR");
  CHECK(to_string(fetch_errc::aborted) == "ABORTED");
  CHECK(to_string(fetch_errc::circuit_open) == "CIRCUIT_OPEN");
  CHECK(running.stats().fetch_errors == 4);
}

} // namespace dormouse::test::bounds_test
