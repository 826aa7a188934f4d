// What goes over the wire, byte for byte, and how often.

#include "talking_server.hpp"
#include "upstream_fixture.hpp"

#include <doctest/doctest.h>

#include <clocale>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dormouse::test::wire_test {
namespace {

std::string first_line(const std::string& request) { return request.substr(0, request.find("\r\n")); }

std::string host_line(const std::string& request) {
  const auto at = request.find("Host: ");
  return request.substr(at, request.find("\r\n", at) - at);
}

talking_server::answering always(const std::string& body) {
  return [body](std::size_t, const std::string&) { return kept_open(body); };
}

/// Everything that would have libcurl map a host by itself.
struct utf8_locale {
  utf8_locale() : before(std::setlocale(LC_ALL, nullptr)) { std::setlocale(LC_ALL, "C.UTF-8"); }
  utf8_locale(const utf8_locale&) = delete;
  utf8_locale& operator=(const utf8_locale&) = delete;
  ~utf8_locale() { std::setlocale(LC_ALL, before.c_str()); }
  std::string before;
};

} // namespace

// --- URLs --------------------------------------------------------------------------------------------------

TEST_CASE_FIXTURE(upstream_fixture,
                  "R13: an address in other digits or dots is that address, also behind a proxy") {
  talking_server proxy(always("reached"));
  for (const bool with_locale : {false, true}) {
    std::optional<utf8_locale> locale;
    if (with_locale) locale.emplace();
    auto chosen = settings();
    chosen.directory /= with_locale ? "locale" : "none";
    chosen.allow = {"*"};
    chosen.proxy = proxy.url();
    runtime running(chosen);
    auto mine = object(running);
    for (const std::string host :
         {"169。254。169。254", "127.0.0.１", "127.0.0.①", "127%E3%80%820%E3%80%820%E3%80%821", "0x7f.1",
          "017700000001", "2130706433", "０ｘ7f000001", "127.0.0.1.", "[::ffff:127.0.0.1]"}) {
      CAPTURE(host);
      CHECK(error_of(mine.call<&fetcher::send>(order{.tag = host, .url = "http://" + host + "/"})).code ==
            errc::blocked);
    }
  }
  CHECK(proxy.requests().empty());
}

TEST_CASE_FIXTURE(upstream_fixture,
                  "R26: a host outside of ASCII has one spelling for the allowlist, origins, "
                  "the wire and cookies") {
  talking_server proxy([](std::size_t number, const std::string&) {
    return number == 0 ? "HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Domain=bücher.example\r\n"
                         "Content-Length: 0\r\n\r\n"
                       : kept_open("x");
  });
  auto chosen = settings();
  chosen.allow = {"bücher.example", "*.xn--exmple-cua.com"};
  chosen.proxy = proxy.url();
  chosen.origins = {{"http://BÜCHER.example", {.max_in_flight = 3}}};
  runtime running(chosen);
  auto mine = object(running);
  const auto get = [&](const std::string& url) {
    return answered(fetched(mine, {.tag = url, .url = url, .max_retries = 0, .jar = "jar"}));
  };
  CHECK(get("http://bücher.example/").url() == "http://xn--bcher-kva.example/");
  CHECK(get("http://XN--BCHER-KVA.example/2").ok());
  CHECK(get("http://www.exämple.com/").ok());
  const auto seen = proxy.requests();
  REQUIRE(seen.size() == 3);
  CHECK(first_line(seen[0]) == "GET http://xn--bcher-kva.example/ HTTP/1.1");
  CHECK(host_line(seen[0]) == "Host: xn--bcher-kva.example");
  CHECK(first_line(seen[1]) == "GET http://xn--bcher-kva.example/2 HTTP/1.1");
  CHECK(contains(seen[1], "Cookie: a=1\r\n"));
  CHECK(first_line(seen[2]) == "GET http://www.xn--exmple-cua.com/ HTTP/1.1");
  CHECK_FALSE(contains(seen[2], "Cookie: "));
}

TEST_CASE_FIXTURE(upstream_fixture, "R26: the target of a request is that of its URL, byte for byte") {
  talking_server server(always("x"));
  auto through = settings();
  through.directory /= "through";
  through.proxy = server.url();
  runtime direct(settings());
  runtime proxied(through);
  auto mine = object(direct);
  auto behind = object(proxied);
  std::size_t requests = 0;
  for (const auto& each : std::vector<std::pair<std::string, std::string>>{
           {"/p?", "/p?"},
           {"/p", "/p"},
           {"?", "/?"},
           {"/a/%2e%2e/b/./c", "/b/c"},
           {"/ \"<>^`{}|[]'", "/%20%22%3C%3E%5E%60%7B%7D|[]'"},
           {"/?{ } \" < > ' ^ ` | \\", "/?{%20}%20%22%20%3C%20%3E%20%27%20^%20`%20|%20\\"},
           {"\\a\\..\\b", "/b"},
           {"/ü?ü", "/%C3%BC?%C3%BC"},
           {"/%c3%zz%?%41", "/%c3%zz%?%41"},
           {"//a//b/", "//a//b/"},
           {"/a/...", "/a/..."},
           {"/;a=b/..;/", "/;a=b/..;/"},
           {"/%2f..%2f", "/%2f..%2f"}}) {
    const auto& path = each.first;
    const auto& target = each.second;
    CAPTURE(path);
    const auto url = server.url() + path;
    CHECK(answered(fetched(mine, {.tag = path, .url = url})).url() == server.url() + target);
    CHECK(first_line(server.requests().at(requests++)) == "GET " + target + " HTTP/1.1");
    CHECK(answered(fetched(behind, {.tag = path, .url = url})).ok());
    CHECK(first_line(server.requests().at(requests++)) == "GET " + server.url() + target + " HTTP/1.1");
  }
}

// --- connections -------------------------------------------------------------------------------------------

TEST_CASE_FIXTURE(upstream_fixture, "R26: what a server says unasked answers no request") {
  talking_server server(
      [](std::size_t number, const std::string&) { return kept_open(std::to_string(number)); });
  runtime running(settings());
  auto mine = object(running);
  std::size_t asked = 0;
  for (const std::string unasked :
       {"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong", "x", "\r\n"}) {
    CAPTURE(unasked);
    for (int time = 0; time < 3; ++time) {
      CHECK(
          answered(fetched(mine, {.tag = std::to_string(asked), .url = server.url() + "/", .max_retries = 0}))
              .text() == std::to_string(asked));
      ++asked;
      server.say(unasked);
    }
  }
  CHECK(server.requests().size() == asked);
  CHECK(running.stats().retries == 0);
}

TEST_CASE_FIXTURE(upstream_fixture, "a connection on which nobody has spoken is used again") {
  talking_server server(always("x"));
  runtime running(settings());
  auto mine = object(running);
  for (int i = 0; i < 10; ++i)
    CHECK(answered(fetched(mine, {.tag = std::to_string(i), .url = server.url() + "/"})).ok());
  CHECK(server.connections() == 1);
}

TEST_CASE_FIXTURE(upstream_fixture,
                  "R11: what is sent is what the attempts say, also on connections that the "
                  "server gives up") {
  constexpr std::size_t at_once = 6;
  std::atomic<bool> all_here{false};
  talking_server server([&](std::size_t number, const std::string&) -> std::optional<std::string> {
    if (number >= at_once) return std::nullopt;
    all_here.wait(false); // all of the first ones are in flight together, each on its connection
    return kept_open("x");
  });
  runtime running(settings());
  auto mine = object(running);
  for (std::size_t i = 0; i < at_once; ++i)
    value_of(mine.call<&fetcher::send>(order{.tag = std::to_string(i), .url = server.url() + "/"}));
  CHECK(eventually([&] { return server.requests().size() == at_once; }));
  all_here = true;
  all_here.notify_all();
  REQUIRE(all_came(mine, at_once));
  REQUIRE(server.connections() == at_once);

  const auto once = failed(fetched(mine, {.tag = "once", .url = server.url() + "/", .max_retries = 0}));
  CHECK(once.code == fetch_errc::network_error);
  CHECK(once.sent == sent_state::maybe);
  CHECK(once.attempts == 1);
  CHECK(server.requests().size() == at_once + 1);

  const auto often = failed(fetched(mine, {.tag = "often", .url = server.url() + "/", .max_retries = 3}));
  CHECK(often.code == fetch_errc::network_error);
  CHECK(often.attempts == 4);
  CHECK(server.requests().size() == at_once + 5);
}

// --- bodies ------------------------------------------------------------------------------------------------

TEST_CASE_FIXTURE(upstream_fixture, "an empty body is one whatever the method") {
  talking_server server(always("x"));
  runtime running(settings());
  auto mine = object(running);
  const auto ask = create_proxy_fetch(running.queue(), {.return_address = mine.where()});
  std::size_t count = 0;
  const auto asked = [&](const std::string& method, body what) {
    ask(server.url() + "/", {.method = method, .body = std::move(what)})
        .then<&fetcher::on_result>(std::to_string(count));
    (void)answered(result_under(mine, std::to_string(count)));
    return server.requests().at(count++);
  };
  for (const std::string method : {"DELETE", "OPTIONS", "REPORT", "PROPFIND", "POST", "PUT", "PATCH"}) {
    CAPTURE(method);
    for (const auto& empty : {body(""), body(std::vector<std::byte>()), body(blob())}) {
      const auto request = asked(method, empty);
      CHECK(request.starts_with(method + " / HTTP/1.1\r\n"));
      CHECK(contains(request, "\r\nContent-Length: 0\r\n"));
    }
    CHECK(contains(asked(method, ""), "\r\nContent-Type: text/plain;charset=UTF-8\r\n"));
    const bool says_so = method == "POST" || method == "PUT" || method == "PATCH";
    CHECK(contains(asked(method, {}), "Content-Length") == says_so);
  }
}

} // namespace dormouse::test::wire_test
