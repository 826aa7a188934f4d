// Redirects as WHATWG Fetch 4.4 (HTTP fetch, HTTP-redirect fetch) says.

#include "node_server.hpp"
#include "upstream_fixture.hpp"
#include "url_encoded.hpp"

#include <doctest/doctest.h>

#include <array>
#include <string>
#include <vector>

namespace dormouse::test::redirects_test {
namespace {

struct fixture : upstream_fixture {
  std::string redirect_to(const std::string& location, const std::string& more = "") const {
    return at("/redirect?to=" + url_encoded(location) + more);
  }

  std::string authority() const { return "127.0.0.1:" + std::to_string(upstream.port()); }
};

const std::array statuses{"301", "302", "303", "307", "308"};

struct change {
  std::string status;
  std::string method;
  std::string becomes;
  std::string body; ///< that arrives
};

constexpr auto payload = "payload";

const std::array changes{
    change{"301", "GET", "GET", ""},
    change{"302", "GET", "GET", ""},
    change{"303", "GET", "GET", ""},
    change{"307", "GET", "GET", ""},
    change{"308", "GET", "GET", ""},
    change{"301", "POST", "GET", ""},
    change{"302", "POST", "GET", ""},
    change{"303", "POST", "GET", ""},
    change{"307", "POST", "POST", payload},
    change{"308", "POST", "POST", payload},
    change{"301", "PUT", "PUT", payload},
    change{"302", "PUT", "PUT", payload},
    change{"303", "PUT", "GET", ""},
    change{"307", "PUT", "PUT", payload},
    change{"308", "PUT", "PUT", payload},
    change{"301", "DELETE", "DELETE", payload},
    change{"302", "DELETE", "DELETE", payload},
    change{"303", "DELETE", "GET", ""},
    change{"307", "DELETE", "DELETE", payload},
    change{"308", "DELETE", "DELETE", payload},
    change{"301", "PATCH", "PATCH", payload},
    change{"302", "PATCH", "PATCH", payload},
    change{"303", "PATCH", "GET", ""},
    change{"307", "PATCH", "PATCH", payload},
    change{"308", "PATCH", "PATCH", payload},
    change{"301", "HEAD", "HEAD", ""},
    change{"302", "HEAD", "HEAD", ""},
    change{"303", "HEAD", "HEAD", ""},
    change{"307", "HEAD", "HEAD", ""},
    change{"308", "HEAD", "HEAD", ""},
};

} // namespace

TEST_CASE_FIXTURE(fixture,
                  "redirects: each status leaves each method and body alone, or makes it a GET without one") {
  runtime running(settings());
  auto mine = object(running);
  for (const auto& each : changes) {
    CAPTURE(each.status);
    CAPTURE(each.method);
    upstream.reset_counters();
    const bool has_body = each.method != "GET" && each.method != "HEAD";
    order what{.tag = each.status + each.method,
               .url = redirect_to("/echo?a=b", "&status=" + each.status),
               .method = each.method};
    what.body = has_body ? payload : "";
    const auto got = answered(fetched(mine, what));
    CHECK(got.status() == 200);
    CHECK(got.headers().get("X-Method") == each.becomes);
    CHECK(got.text() == each.body);
    // Without a body nothing that describes one.
    CHECK(got.headers().get("Content-Type") ==
          (!each.body.empty() ? "text/plain;charset=UTF-8" : "application/octet-stream"));
    CHECK(got.url() == at("/echo?a=b"));
    CHECK(got.redirected());
    CHECK(upstream.hits("/redirect") == 1);
    CHECK(upstream.hits("/echo") == 1);
  }
  CHECK(running.stats().retries == 0);
}

TEST_CASE_FIXTURE(fixture, "redirects: a GET that was a POST has none of the headers that describe a body") {
  runtime running(settings());
  const headers all{{"Content-Encoding", "x"},
                    {"Content-Language", "en"},
                    {"Content-Location", "/a"},
                    {"Content-Type", "text/x"},
                    {"X-Kept", "yes"}};
  const order what{.tag = "a",
                   .url = redirect_to("/headers", "&status=303"),
                   .method = "POST",
                   .body = payload,
                   .headers = all};
  const auto seen = answered(fetched(object(running), what)).text();
  CHECK_FALSE(contains(seen, "content-"));
  CHECK(contains(seen, "x-kept"));
}

TEST_CASE_FIXTURE(fixture, "redirects: a Location is resolved against the URL it came from") {
  runtime running(settings());
  auto mine = object(running);
  struct place {
    std::string location;
    std::string target;
  };
  const std::vector<place> places{
      {"/echo?a=1", "/echo?a=1"},
      {"echo", "/echo"},
      {"./echo?b", "/echo?b"},
      {"../../echo", "/echo"},
      {"/x/./../echo", "/echo"},
      {"//" + authority() + "/echo?c", "/echo?c"},
      {"HTTP://" + authority() + "/echo", "/echo"},
      {"?to=%2Fecho%3Fd", "/echo?d"}, // over two hops
      {"/echo?with space", "/echo?with%20space"},
      {"/echo?\xc3\xbc", "/echo?%C3%BC"},
      {"/echo?e#fragment", "/echo?e"},
  };
  for (const auto& each : places) {
    CAPTURE(each.location);
    const auto got = answered(fetched(mine, {.tag = each.location, .url = redirect_to(each.location)}));
    CHECK(got.headers().get("X-Request-Target") == each.target);
    CHECK(got.url() == at(each.target));
  }
}

TEST_CASE_FIXTURE(fixture, "redirects: a fragment goes on no wire, and is not in the response's URL") {
  runtime running(settings());
  auto mine = object(running);
  for (const std::string location : {"/echo?a", "/echo?a#there"}) {
    const auto got = answered(fetched(mine, {.tag = location, .url = redirect_to(location) + "#here"}));
    CHECK(got.headers().get("X-Request-Target") == "/echo?a");
    CHECK(got.url() == at("/echo?a"));
  }
}

TEST_CASE_FIXTURE(fixture, "redirects: credentials stay with their origin, and do not come back to it") {
  samples::upstream_server other;
  other.start();
  auto chosen = settings();
  chosen.allow.push_back("localhost");
  runtime running(chosen);
  auto mine = object(running);
  const headers secrets{{"Authorization", "Bearer secret"},
                        {"Cookie", "secret=1"},
                        {"Proxy-Authorization", "secret"},
                        {"X-Kept", "yes"}};
  const auto seen = [&](const std::string& tag, const std::string& url) {
    const auto got = answered(fetched(mine, {.tag = tag, .url = url, .headers = secrets}));
    CHECK(contains(got.text(), R"(["x-kept","yes"])"));
    return got.text();
  };
  const auto kept = seen("same origin", redirect_to("/headers"));
  CHECK(contains(kept, R"(["authorization","Bearer secret"])"));
  CHECK(contains(kept, R"(["cookie","secret=1"])"));
  CHECK_FALSE(contains(seen("other port", redirect_to(other.url() + "/headers")), "secret"));
  CHECK_FALSE(contains(
      seen("other name", redirect_to("http://localhost:" + std::to_string(upstream.port()) + "/headers")),
      "secret"));
  CHECK_FALSE(contains(
      seen("and back", redirect_to(other.url() + "/redirect?to=" + url_encoded(at("/headers")))), "secret"));
  const auto with_user =
      seen("user in the Location", redirect_to("http://user:word@" + authority() + "/headers"));
  CHECK_FALSE(contains(with_user, "Basic")); // those of a Location are nobody's
  const auto posted = answered(fetched(mine, {.tag = "body",
                                              .url = redirect_to(other.url() + "/echo", "&status=307"),
                                              .method = "POST",
                                              .body = payload}));
  CHECK(posted.text() == payload);
  CHECK(posted.url() == other.url() + "/echo");
}

TEST_CASE_FIXTURE(fixture, "redirects: a hop to another origin counts for the origin that was asked for, "
                           "whose limits and circuit breaker alone it meets") {
  samples::upstream_server elsewhere;
  elsewhere.start();
  auto guarded = settings();
  guarded.origins[upstream.url()] = {.circuit = {.failures = 1}};
  guarded.origins[elsewhere.url()] = {.rate = {.per_second = 0.001}, .circuit = {.failures = 1}};
  runtime running(guarded);
  auto mine = object(running);
  const auto away = [&](const std::string& target) { return redirect_to(elsewhere.url() + target); };
  for (const std::string tag : {"a", "b", "c"})
    CHECK(answered(fetched(mine, {.tag = tag, .url = away("/plain")})).url() ==
          elsewhere.url() + "/plain"); // at once, though one token is all that there is
  CHECK(
      answered(fetched(mine, {.tag = "fails", .url = away("/k/f?status=500"), .max_retries = 0})).status() ==
      500);
  CHECK(failed(fetched(mine, {.tag = "refused", .url = at("/plain")})).code == fetch_errc::circuit_open);
  CHECK(answered(fetched(mine, {.tag = "direct", .url = elsewhere.url() + "/plain"})).status() ==
        200); // its circuit is closed and its token is there

  const auto seen = running.stats().origins;
  REQUIRE(seen.size() == 2);
  for (const auto& each : seen) {
    CAPTURE(each.origin);
    CHECK(each.attempts == (each.origin == upstream.url() ? 4 : 1));
    CHECK(each.by_class[5] == (each.origin == upstream.url() ? 1 : 0));
  }
}

TEST_CASE_FIXTURE(fixture, "redirects: from http to https is to another origin") {
  test_ca ca;
  node_server node(&ca);
  auto chosen = settings();
  chosen.ca_file = ca.file();
  runtime running(chosen);
  const headers secrets{{"Authorization", "Bearer secret"}, {"X-Kept", "yes"}};
  const auto got = answered(fetched(
      object(running), {.tag = "a", .url = redirect_to(node.tls_url() + "/echo"), .headers = secrets}));
  CHECK(got.json().at("version") == "2.0");
  CHECK(contains(got.text(), "x-kept"));
  CHECK_FALSE(contains(got.text(), "secret"));
}

TEST_CASE_FIXTURE(fixture, "redirects: twenty are followed with the body each time, and not one more") {
  runtime running(settings());
  auto mine = object(running);
  const auto far = answered(fetched(
      mine, {.tag = "20", .url = at("/redirect_chain?n=20&status=308"), .method = "PUT", .body = payload}));
  CHECK(far.json().at("method") == "PUT");
  CHECK(far.url() == at("/redirect_chain?n=0&status=308"));
  CHECK(upstream.hits("/redirect_chain") == 21);
  upstream.reset_counters();
  const auto too_far = failed(fetched(
      mine, {.tag = "21", .url = at("/redirect_chain?n=21&status=308"), .method = "PUT", .body = payload}));
  CHECK(too_far.code == fetch_errc::network_error);
  CHECK(too_far.message == "more than 20 redirects");
  CHECK(too_far.sent == sent_state::yes);
  CHECK(too_far.attempts == 1);
  CHECK(upstream.hits("/redirect_chain") == 21);
  upstream.reset_counters();
  CHECK(failed(fetched(mine, {.tag = "to itself", .url = at("/k/a?status=302&header=location:")})).code ==
        fetch_errc::network_error);
  CHECK(upstream.hits("a") == 21);
}

TEST_CASE_FIXTURE(fixture,
                  "redirects: mode manual hands out the redirect, and mode error takes it for a failure") {
  runtime running(settings());
  auto mine = object(running);
  for (const std::string status : statuses) {
    CAPTURE(status);
    upstream.reset_counters();
    const auto url = redirect_to("/echo", "&status=" + status);
    const auto manual =
        answered(fetched(mine, {.tag = "manual" + status, .url = url, .redirect = redirect_mode::manual}));
    CHECK(manual.status() == std::stoi(status));
    CHECK(manual.headers().get("Location") == "/echo");
    CHECK(manual.url() == url);
    CHECK_FALSE(manual.redirected());
    const auto refused =
        failed(fetched(mine, {.tag = "error" + status, .url = url, .redirect = redirect_mode::error}));
    CHECK(refused.code == fetch_errc::network_error);
    CHECK(refused.sent == sent_state::yes);
    CHECK(refused.attempts == 1);
    CHECK(contains(refused.message, "redirect (" + status + ")"));
    CHECK(upstream.hits("/redirect") == 2);
    CHECK(upstream.hits("/echo") == 0);
  }
  const auto direct =
      answered(fetched(mine, {.tag = "none", .url = at("/echo"), .redirect = redirect_mode::error}));
  CHECK(direct.url() == at("/echo"));
  CHECK_FALSE(direct.redirected());
}

TEST_CASE_FIXTURE(fixture, "R10: the timeout is of an attempt with all its redirects") {
  runtime running(settings());
  auto what = key("end");
  for (int hop = 0; hop < 3; ++hop) // each takes more than half of the time
    what.url = at("/redirect?to=" + url_encoded(what.url) + "&delay_ms=600");
  what.timeout_ms = 1'000;
  what.max_retries = 0;
  const auto late = failed(fetched(object(running), what));
  CHECK(to_string(late.code) == "TIMEOUT");
  CHECK(upstream.hits("end") == 0);
}

TEST_CASE_FIXTURE(fixture, "redirects: what is none is a response") {
  runtime running(settings());
  auto mine = object(running);
  for (const std::string status : {"300", "304", "305", "306"}) {
    CAPTURE(status);
    const auto url = redirect_to("/echo", "&status=" + status);
    const auto got = answered(fetched(mine, {.tag = status, .url = url}));
    CHECK(got.status() == std::stoi(status));
    CHECK_FALSE(got.redirected());
    CHECK(answered(fetched(mine, {.tag = "error" + status, .url = url, .redirect = redirect_mode::error}))
              .status() == std::stoi(status));
  }
  CHECK(answered(fetched(mine, {.tag = "leads nowhere", .url = at("/k/a?status=302")})).status() == 302);
}

TEST_CASE_FIXTURE(fixture, "redirects: mode error refuses a redirect that leads nowhere too") {
  runtime running(settings());
  CHECK(failed(fetched(object(running),
                       {.tag = "a", .url = at("/k/a?status=302"), .redirect = redirect_mode::error}))
            .code == fetch_errc::network_error);
}

TEST_CASE_FIXTURE(fixture, "redirects: one that leads to two places leads nowhere") {
  runtime running(settings());
  const auto torn = failed(
      fetched(object(running),
              {.tag = "a", .url = at("/k/a?status=302&header=location:%2Fk%2Fb&header=location:%2Fk%2Fc")}));
  CHECK(torn.code == fetch_errc::network_error);
  CHECK(contains(torn.message, "Location"));
  CHECK(torn.attempts == 1);
  CHECK(upstream.total() == 1);
}

TEST_CASE_FIXTURE(fixture, "redirects: a Location that leads nowhere is not told on") {
  runtime running(settings());
  auto mine = object(running);
  for (const auto& [location, code] :
       {std::pair{"http://127.0.0.1:99999/?token=secret", fetch_errc::network_error},
        std::pair{"ftp://secret/", fetch_errc::blocked}}) {
    const auto& this_location = location; // clang 14 captures no structured binding
    CAPTURE(this_location);
    const auto refused = failed(fetched(mine, {.tag = location, .url = redirect_to(location)}));
    CHECK(refused.code == code);
    CHECK(refused.sent == sent_state::yes);
    CHECK(refused.attempts == 1);
    CHECK(
        contains(refused.message, "Location of " + std::to_string(std::string(location).size()) + " bytes"));
    CHECK_FALSE(contains(refused.message, "secret"));
  }
}

} // namespace dormouse::test::redirects_test
