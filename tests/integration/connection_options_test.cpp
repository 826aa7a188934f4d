// options::proxy, client_certificate and client_key, against servers that we did not write; and what a
// runtime does not start with.

#include "nginx_server.hpp"
#include "node_server.hpp"
#include "upstream_fixture.hpp"

#include <doctest/doctest.h>

#include <fstream>

namespace dormouse::test::connection_options_test {

using nlohmann::json;

namespace {

struct fixture : upstream_fixture {
  test_ca ca;

  /// What both proxies were asked for.
  static json asked(const node_server& node, const options& direct) {
    options chosen = direct;
    chosen.proxy.clear();
    chosen.directory /= "asking";
    runtime running(chosen);
    return answered(fetched(object(running), {.tag = "proxied", .url = node.url() + "/proxied"})).json();
  }

  error refused(const options& chosen) const {
    try {
      runtime running(chosen);
    } catch (const failure& e) {
      return e.what_failed();
    }
    throw std::runtime_error("it started");
  }
};

} // namespace

TEST_CASE_FIXTURE(fixture, "options::proxy: http goes to it in absolute form, https through a tunnel, with "
                           "certificates checked as ever") {
  const node_server node(&ca);
  const nginx_server nginx(&ca);
  auto chosen = settings();
  chosen.ca_file = ca.file();
  chosen.proxy = node.proxy_url();
  {
    runtime running(chosen);
    auto x = object(running);
    CHECK(answered(fetched(x, key("apple", "bytes=10"))).text().size() == 10);
    CHECK(answered(fetched(x, {.tag = "tls", .url = nginx.tls_url() + "/protocol"}))
              .text()
              .starts_with("HTTP/2.0"));
    CHECK(error_of(x.call<&fetcher::send>(order{.tag = "elsewhere", .url = nginx.misnamed_url() + "/plain"}))
              .code == errc::blocked); // R13 holds as ever
  }
  CHECK(upstream.hits("apple") == 1);
  const auto seen = asked(node, chosen);
  REQUIRE(seen.size() == 2);
  CHECK(seen[0]["method"] == "GET");
  CHECK(seen[0]["target"] == key("apple", "bytes=10").url);
  CHECK(seen[1]["method"] == "CONNECT");
  CHECK("https://" + seen[1]["target"].get<std::string>() == nginx.tls_url());
}

TEST_CASE_FIXTURE(
    fixture,
    "R9: a proxy whose name does not resolve is a NETWORK_ERROR, was not sent to, and is tried again") {
  auto chosen = settings();
  chosen.proxy = "http://no-such-proxy.invalid:3128";
  runtime running(chosen);
  auto what = key("a");
  what.method = "POST";
  what.timeout_ms = 5000;
  what.max_retries = 1;
  const auto lost = failed(fetched(object(running), what));
  CHECK((lost.code == fetch_errc::network_error ||
         lost.code == fetch_errc::timeout)); // a machine without a resolver takes its time
  CHECK(lost.sent == sent_state::no);
  CHECK(lost.attempts == 2);
  if (lost.code == fetch_errc::network_error) {
    CHECK(contains(lost.message, "no-such-proxy.invalid"));
    CHECK(contains(lost.message, "options::proxy"));
  }
  CHECK(upstream.total() == 0);
}

TEST_CASE_FIXTURE(fixture, "options::proxy: its user and password are given to it, and to nobody behind it") {
  const node_server node(&ca);
  auto chosen = settings();
  const auto at = node.auth_proxy_url().substr(std::string("http://").size());
  chosen.proxy = "http://dormouse:acorn@" + at;
  {
    runtime running(chosen);
    const auto headers =
        answered(fetched(object(running), {.tag = "headers", .url = this->at("/headers")})).text();
    CHECK(headers.find("authorization") == std::string::npos);
  }
  chosen.directory /= "2";
  chosen.proxy = "http://" + at;
  runtime running(chosen);
  CHECK(answered(fetched(object(running), key("pear"))).status() == 407);
  CHECK(upstream.hits("pear") == 0);
}

TEST_CASE_FIXTURE(fixture, "options::proxy is not taken from the environment") {
  REQUIRE(::setenv("http_proxy", "http://127.0.0.1:1", 1) == 0);
  runtime running(settings());
  CHECK(answered(fetched(object(running), key("apple"))).status() == 200);
  ::unsetenv("http_proxy");
}

TEST_CASE_FIXTURE(fixture, "options::client_certificate is shown to a server that asks for one") {
  const nginx_server nginx(&ca);
  auto chosen = settings();
  chosen.ca_file = ca.file();
  chosen.client_certificate = ca.client_certificate();
  chosen.client_key = ca.client_key();
  runtime running(chosen);
  const auto answer =
      answered(fetched(object(running), {.tag = "client", .url = nginx.tls_url() + "/client"}));
  CHECK(answer.status() == 200);
  CHECK(answer.text().find("CN=test client") != std::string::npos);
}

TEST_CASE_FIXTURE(
    fixture, "options::user_agent is what the server sees, unless the fetch has a User-Agent of its own") {
  const auto seen = [this](const options& chosen, const headers& own) {
    runtime running(chosen);
    const auto answer = answered(fetched(object(running, dormouse::unique_id()),
                                         {.tag = "a", .url = at("/headers"), .headers = own}))
                            .json();
    std::vector<std::string> agents;
    for (const auto& field : answer)
      if (field[0] == "user-agent") agents.push_back(field[1]);
    return agents;
  };
  using agents = std::vector<std::string>;
  auto chosen = settings();
  CHECK(seen(chosen, {}) == agents{"dormouse/0.1"});
  chosen.user_agent = " miller/2 (grain) ";
  CHECK(seen(chosen, {}) == agents{"miller/2 (grain)"});
  CHECK(seen(chosen, {{"user-agent", "own/1"}}) == agents{"own/1"});
}

TEST_CASE_FIXTURE(fixture, "options of connections, origins and queues that cannot be are refused by name") {
  const auto check = [this](const std::string& named, auto change) {
    auto chosen = settings();
    change(chosen);
    const auto why = refused(chosen);
    CHECK(why.code == errc::invalid_option);
    INFO(why.message);
    CHECK(why.message.find(named) != std::string::npos);
  };
  check("proxy", [](options& o) { o.proxy = "socks5://127.0.0.1:1080"; });
  check("proxy", [](options& o) { o.proxy = "nonsense"; });
  check("ca_file", [](options& o) { o.ca_file = "/nowhere/ca.pem"; });
  check("client_certificate", [this](options& o) { o.client_certificate = ca.client_certificate(); });
  check("client_key", [this](options& o) {
    o.client_certificate = ca.client_certificate();
    o.client_key = "/nowhere/key.pem";
  });
  check("origins", [](options& o) { o.origins["https://example.com/path"] = {}; });
  check("origins", [](options& o) { o.origins["example.com"] = {}; });
  check("origins", [](options& o) { o.origins["https://example.com"] = {.max_in_flight = 0}; });
  check("rate_per_origin.per_second", [](options& o) { o.rate_per_origin = {.per_second = -1}; });
  check("rate_per_origin.burst", [](options& o) { o.rate_per_origin = {.per_second = 1, .burst = 0}; });
  check("circuit_breaker.open_for",
        [](options& o) { o.circuit_breaker.open_for = std::chrono::milliseconds(0); });
  check("queues", [](options& o) { o.queues["not a name"] = {}; });
  check("queues", [](options& o) { o.queues["bulk"] = {.max_in_flight = 0}; });
}

} // namespace dormouse::test::connection_options_test
