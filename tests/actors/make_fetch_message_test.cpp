#include <dormouse/actors/proxy_fetch.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace dormouse::test::make_fetch_message_test {

using namespace std::chrono_literals;
using namespace std::string_literals;
using namespace std::string_view_literals;

namespace {

constexpr auto now = std::chrono::system_clock::time_point(1'700'000'000'123ms);

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

expected<fetch_message> make(fetch_init init, const std::string& url = "https://example.com/") {
  return make_fetch_message(url, std::move(init), 30s, now);
}

fetch_message made(fetch_init init, const std::string& url = "https://example.com/") {
  return value_or_throw(make(std::move(init), url));
}

void is_refused(const expected<fetch_message>& result, errc code, std::vector<std::string_view> words) {
  REQUIRE_FALSE(result);
  INFO("message: ", result.error().message);
  CHECK(result.error().code == code);
  for (auto word : words) {
    CAPTURE(word);
    CHECK(contains(result.error().message, word));
  }
}

} // namespace

TEST_CASE("a fetch that says nothing is a GET with the defaults") {
  fetch_message expected_message;
  expected_message.method = "GET";
  expected_message.url = "https://example.com/";
  expected_message.timeout_ms = 30'000;
  expected_message.created_ms = 1'700'000'000'123;
  CHECK(made({}) == expected_message);
  CHECK(made({}).retry.max_retries == 3);
  CHECK(made({}).redirect == redirect_mode::follow);
  CHECK(made({}).priority == fetch_priority::normal);
}

TEST_CASE("everything a fetch says is in its message") {
  auto message = made({.method = "post",
                       .headers = {{"Accept", "a/b"}},
                       .body = "text",
                       .timeout = 5s,
                       .deadline = 1min,
                       .retry = {.max_retries = 7, .initial_delay = 10ms, .max_delay = 20ms},
                       .redirect = redirect_mode::manual,
                       .idempotency_key = "key",
                       .priority = fetch_priority::high},
                      "http://example.com:80/a?b#c");
  CHECK(message == fetch_message{.id = 0,
                                 .method = "POST",
                                 .url = "http://example.com/a?b#c",
                                 .headers = {{"Accept", "a/b"}, {"Content-Type", "text/plain;charset=UTF-8"}},
                                 .body = "text",
                                 .body_bytes = 4,
                                 .body_is_blob = 0,
                                 .timeout_ms = 5'000,
                                 .deadline_ms = 1'700'000'060'123,
                                 .retry = {.max_retries = 7, .initial_delay = 10ms, .max_delay = 20ms},
                                 .redirect = redirect_mode::manual,
                                 .idempotency_key = "key",
                                 .priority = fetch_priority::high,
                                 .created_ms = 1'700'000'000'123,
                                 .attempts = 0,
                                 .path = {}});
}

TEST_CASE("only the six methods of WHATWG Fetch are upper-cased") {
  struct row {
    std::string_view given;
    std::string_view sent;
  };
  for (const auto& at : {row{"get", "GET"},
                         {"Head", "HEAD"},
                         {"options", "OPTIONS"},
                         {"pOsT", "POST"},
                         {"put", "PUT"},
                         {"delete", "DELETE"},
                         {"patch", "patch"},
                         {"PATCH", "PATCH"},
                         {"Purge", "Purge"},
                         {"x-my!method", "x-my!method"}}) {
    CAPTURE(at.given);
    CHECK(made({.method = std::string(at.given)}).method == at.sent);
  }
}

TEST_CASE("a method that is no token or is forbidden is refused") {
  for (const auto& bad :
       {""s, "GET "s, " GET"s, "G T"s, "GET\r\nHost: x"s, "GET\0"s, "G\xc3\x89T"s, "GET/"s, "a:b"s}) {
    CAPTURE(bad);
    is_refused(make({.method = bad}), errc::invalid_request, {"token"});
    auto refused = make({.method = bad});
    REQUIRE_FALSE(refused);
    CHECK_FALSE(contains(refused.error().message, "\n"));
  }
  for (const auto* bad : {"CONNECT", "connect", "TRACE", "Trace", "TRACK", "track"}) {
    CAPTURE(bad);
    is_refused(make({.method = bad}), errc::invalid_request, {"forbidden"});
  }
}

TEST_CASE("GET and HEAD have no body and no other method needs one") {
  for (const auto* method : {"GET", "get", "HEAD", "head"}) {
    CAPTURE(method);
    is_refused(make({.method = method, .body = "x"}), errc::invalid_request, {"body"});
    is_refused(make({.method = method, .body = ""}), errc::invalid_request, {"body"});
    CHECK(make({.method = method}));
  }
  for (const auto* method : {"POST", "PUT", "DELETE", "OPTIONS", "PATCH"}) {
    CAPTURE(method);
    CHECK(made({.method = method, .body = "xyz"}).body == "xyz");
    CHECK(made({.method = method, .body = "xyz"}).body_bytes == 3);
    CHECK(made({.method = method}).headers.empty());
  }
}

TEST_CASE("the content type of a body gives way to the caller's") {
  CHECK(made({.method = "POST", .body = "x"}).headers ==
        headers{{"Content-Type", "text/plain;charset=UTF-8"}});
  CHECK(made({.method = "POST", .body = ""}).headers ==
        headers{{"Content-Type", "text/plain;charset=UTF-8"}});
  CHECK(made({.method = "POST", .body = form{{"a", "b"}}}).headers ==
        headers{{"Content-Type", "application/x-www-form-urlencoded;charset=UTF-8"}});
  CHECK(made({.method = "POST", .body = std::vector<std::byte>(3)}).headers.empty());
  CHECK(made({.method = "POST", .headers = {{"content-type", "application/json"}}, .body = "{}"}).headers ==
        headers{{"content-type", "application/json"}});
}

TEST_CASE("a message of a request says what the request says") {
  const request what("https://example.com/a", {.method = "POST",
                                               .headers = {{"A", "b"}},
                                               .body = "x",
                                               .timeout = 1s,
                                               .deadline = 2s,
                                               .idempotency_key = "k"});
  const auto message = value_or_throw(make_fetch_message(what, {}, 30s, now));
  CHECK(message == made({.method = "POST",
                         .headers = {{"A", "b"}},
                         .body = "x",
                         .timeout = 1s,
                         .deadline = 2s,
                         .idempotency_key = "k"},
                        "https://example.com/a"));
  CHECK(what.body().bytes() == "x"); // a copy went out
  CHECK(value_or_throw(make_fetch_message(what, {.timeout = 5s}, 30s, now)).timeout_ms == 5'000);
  CHECK(value_or_throw(make_fetch_message(request("https://example.com/"), {}, 30s, now)).timeout_ms ==
        30'000);
  is_refused(make_fetch_message(what, {.method = "GET"}, 30s, now), errc::invalid_request, {"GET", "body"});
  // The default is not looked at where it is not used.
  CHECK(make_fetch_message(what, {}, 0ms, now));
}

TEST_CASE("R13: a fetch takes http and https URLs only") {
  is_refused(make({}, "ftp://example.com/"), errc::blocked, {"ftp"});
  is_refused(make({}, "file:///etc/passwd"), errc::blocked, {"file"});
  is_refused(make({}, "/relative"), errc::invalid_url, {"/relative"});
  is_refused(make({}, ""), errc::invalid_url, {});
  is_refused(make({}, "http://h:0/"), errc::invalid_url, {"port"});
  CHECK(made({}, "http://2130706433:80/").url == "http://127.0.0.1/");
}

TEST_CASE("credentials in a URL are refused and not repeated in the error") {
  for (const auto* bad :
       {"https://user:secret@example.com/", "https://user@example.com/", "https://:secret@example.com/"}) {
    CAPTURE(bad);
    auto refused = make({}, bad);
    is_refused(refused, errc::invalid_url, {"credentials", "Authorization"});
    CHECK_FALSE(contains(refused.error().message, "secret"));
  }
  CHECK(made({}, "https://@example.com/").url == "https://example.com/");
}

TEST_CASE("R12: a timeout is 1 ms to 24 h") {
  CHECK(made({.timeout = 1ms}).timeout_ms == 1);
  CHECK(made({.timeout = 24h}).timeout_ms == 86'400'000);
  for (auto bad : {0ms, -1ms, std::chrono::milliseconds(24h) + 1ms, std::chrono::milliseconds::min(),
                   std::chrono::milliseconds::max()}) {
    CAPTURE(bad.count());
    auto given = std::to_string(bad.count());
    is_refused(make({.timeout = bad}), errc::invalid_request, {"timeout", given, "1..86400000 ms"});
    is_refused(make_fetch_message("https://example.com/", {}, bad, now), errc::invalid_request, {"timeout"});
  }
}

TEST_CASE("R10: the deadline is another clock than the timeout and runs from now") {
  CHECK(made({}).deadline_ms == 0);
  auto both = made({.timeout = 1h, .deadline = 1ms});
  CHECK(both.timeout_ms == 3'600'000);
  CHECK(both.deadline_ms == both.created_ms + 1);
  CHECK(made({.deadline = 24h * 366}).deadline_ms == 1'700'000'000'123 + 366LL * 86'400'000);
  for (auto bad : {0ms, -1ms, std::chrono::milliseconds(24h * 366) + 1ms, std::chrono::milliseconds::min(),
                   std::chrono::milliseconds::max()}) {
    CAPTURE(bad.count());
    is_refused(make({.deadline = bad}), errc::invalid_request, {"deadline", "1..31622400000 ms"});
  }
}

TEST_CASE("R12: retries are at most 100 and their delays at most 24 h") {
  CHECK(made({.retry = {.max_retries = 0}}).retry.max_retries == 0);
  CHECK(made({.retry = {.max_retries = 100}}).retry.max_retries == 100);
  is_refused(make({.retry = {.max_retries = 101}}), errc::invalid_request, {"max_retries", "101", "100"});
  is_refused(make({.retry = {.max_retries = std::numeric_limits<std::uint32_t>::max()}}),
             errc::invalid_request, {"max_retries"});

  CHECK(make({.retry = {.initial_delay = 0ms, .max_delay = 0ms}}));
  CHECK(make({.retry = {.initial_delay = 24h, .max_delay = 24h}}));
  for (auto bad : {-1ms, std::chrono::milliseconds(24h) + 1ms, std::chrono::milliseconds::min(),
                   std::chrono::milliseconds::max()}) {
    CAPTURE(bad.count());
    is_refused(make({.retry = {.initial_delay = bad}}), errc::invalid_request,
               {"retry delay", "0..86400000 ms"});
    is_refused(make({.retry = {.max_delay = bad}}), errc::invalid_request, {"retry delay", "0..86400000 ms"});
  }
}

TEST_CASE("R9: an idempotency key is sent as it is or refused") {
  CHECK(made({.idempotency_key = "a b\xc3\xa9"}).idempotency_key == "a b\xc3\xa9");
  CHECK(made({}).idempotency_key.empty());
  // The key is a header of its own when the request goes out; it is not among the caller's.
  CHECK(made({.idempotency_key = "k"}).headers.empty());
  for (const auto& bad : {"a\r\nX-Injected: b"s, "a\nb"s, "a\rb"s, "a\0b"s, "a\r\n"s, "\r\na"s, "\n"s, "\r"s,
                          " "s, "a "s, " a"s, "a\x7f"s}) {
    CAPTURE(bad);
    is_refused(make({.method = "POST", .idempotency_key = bad}), errc::invalid_header, {"Idempotency-Key"});
  }
}

TEST_CASE("headers that belong to the connection cannot be set") {
  for (const auto* name : {"Connection", "content-length", "EXPECT", "Host", "Keep-Alive", "TE", "Trailer",
                           "transfer-encoding", "Upgrade"}) {
    CAPTURE(name);
    is_refused(make({.headers = {{"Accept", "x"}, {name, "1"}}}), errc::invalid_header, {"cannot be set"});
  }
  CHECK(make({.headers = {{"X-Host", "1"}, {"Cookie", "a=b"}, {"Authorization", "x"}}}));
}

} // namespace dormouse::test::make_fetch_message_test
