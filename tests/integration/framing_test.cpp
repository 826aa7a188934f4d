// Responses whose framing RFC 9112 calls incomplete or unrecoverable.

#include "raw_server.hpp"
#include "upstream_fixture.hpp"

#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

namespace dormouse::test::framing_test {
namespace {

order once(const raw_server& from) { return {.tag = from.url(), .url = from.url(), .max_retries = 0}; }

} // namespace

TEST_CASE_FIXTURE(upstream_fixture, "R9: a response that ends within its header section is incomplete") {
  const std::string head = "HTTP/1.1 200 OK\r\nA: 1\r\nContent-Length: 2\r\n\r\n";
  runtime running(settings());
  auto mine = object(running);
  for (std::size_t cut = 1; cut < head.size(); ++cut) {
    CAPTURE(cut);
    raw_server server(head.substr(0, cut));
    const auto lost = failed(fetched(mine, once(server)));
    CHECK((lost.code == fetch_errc::network_error || lost.code == fetch_errc::fetch_failed));
    if (cut > std::string("HTTP/1.1 200 OK\r\n").size()) CHECK(lost.code == fetch_errc::network_error);
  }
}

TEST_CASE_FIXTURE(upstream_fixture, "R9: an incomplete header section is fetched again") {
  raw_server server("HTTP/1.1 200 OK\r\nA: 1\r\nContent-Length: 2\r\n\r\nok",
                    {"HTTP/1.1 200 OK\r\nA: 1\r\n"});
  runtime running(settings());
  auto mine = object(running);
  auto again = once(server);
  again.max_retries = 1;
  const auto got = answered(fetched(mine, again));
  CHECK(got.text() == "ok");
  CHECK(got.headers().get("A") == "1");
}

TEST_CASE_FIXTURE(upstream_fixture, "R21: framing that cannot be recovered from is no response") {
  runtime running(settings());
  auto mine = object(running);
  for (const auto& head : std::vector<std::string>{
           "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 9\r\n",
           "HTTP/1.1 200 OK\r\nContent-Length: 5, 9\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n",
           "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n",
           "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n",
           "HTTP/1.1 200 OK\r\nContent-Length: 5x\r\n", "http/1.1 200 ok\r\nContent-Length: 5\r\n"}) {
    CAPTURE(head);
    raw_server server(head + "\r\nhello");
    const auto refused = failed(fetched(mine, once(server)));
    CHECK(refused.code == fetch_errc::fetch_failed);
    CHECK(contains(refused.message, "not valid HTTP"));
  }
}

TEST_CASE_FIXTURE(upstream_fixture, "R12: what a response announces is refused before it comes") {
  runtime running(settings());
  auto mine = object(running);
  SUBCASE("a body over the limit") {
    raw_server server("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nbegins");
    const auto refused = failed(fetched(mine, once(server)));
    CHECK(refused.code == fetch_errc::too_large);
    CHECK(contains(refused.message, "announces a body of 99999999999 bytes"));
  }
  SUBCASE("a header line over the limit") {
    raw_server server("HTTP/1.1 200 OK\r\nA: " + std::string(300'000, 'a') + "\r\n\r\n");
    const auto refused = failed(fetched(mine, once(server)));
    CHECK(refused.code == fetch_errc::too_large);
    CHECK(contains(refused.message, "options::max_header_bytes"));
  }
}

} // namespace dormouse::test::framing_test
