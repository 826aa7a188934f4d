#include <dormouse/serialization/request.hpp>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <chrono>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace dormouse::test::request_test {

using namespace std::chrono_literals;
using namespace std::string_literals;
using namespace std::string_view_literals;

namespace {

constexpr const char* url = "https://example.com/";

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

void is_refused(fetch_input input, fetch_init init, errc code, const std::vector<std::string_view>& words) {
  auto refused = request::make(input, init);
  REQUIRE_FALSE(refused);
  INFO("message: ", refused.error().message);
  CHECK(refused.error().code == code);
  for (auto word : words) {
    CAPTURE(word);
    CHECK(contains(refused.error().message, word));
  }
  try {
    static_cast<void>(request(std::move(input), std::move(init)));
    FAIL("the constructor accepted what make() refused");
  } catch (const failure& f) {
    CHECK(f.what_failed() == refused.error());
  }
}

/// Everything differs from the default.
request full() {
  return request("https://example.com/full#part",
                 {.method = "put",
                  .headers = {{"A", "b"}, {"C", "d"}},
                  .body = "text",
                  .timeout = 1s,
                  .deadline = 2s,
                  .retry = {.max_retries = 7, .initial_delay = 10ms, .max_delay = 20ms},
                  .redirect = redirect_mode::manual,
                  .idempotency_key = "key",
                  .priority = fetch_priority::high});
}

} // namespace

TEST_CASE("a request of a URL is a GET with the defaults") {
  const request from_literal("https://Example.com");
  for (const auto& each :
       {from_literal, request("https://example.com/"s), request("https://example.com/"sv),
        request(from_literal), request(fetch_input(from_literal)), request("https://example.com:443/", {})}) {
    CHECK(each.url() == "https://example.com/");
    CHECK(each.method() == "GET");
    CHECK(each.headers().empty());
    CHECK_FALSE(each.body().present());
    CHECK_FALSE(each.timeout());
    CHECK_FALSE(each.deadline());
    CHECK(each.retry() == retry_policy{});
    CHECK(each.redirect() == redirect_mode::follow);
    CHECK(each.idempotency_key().empty());
    CHECK(each.priority() == fetch_priority::normal);
    CHECK(each == from_literal);
  }
}

TEST_CASE("a request says what its init gave") {
  const auto r = full();
  CHECK(r.url() == "https://example.com/full#part");
  CHECK(r.method() == "PUT");
  CHECK(r.headers() == headers{{"A", "b"}, {"C", "d"}, {"Content-Type", "text/plain;charset=UTF-8"}});
  CHECK(r.body().bytes() == "text");
  CHECK(r.timeout() == 1s);
  CHECK(r.deadline() == 2s);
  CHECK(r.retry() == retry_policy{.max_retries = 7, .initial_delay = 10ms, .max_delay = 20ms});
  CHECK(r.redirect() == redirect_mode::manual);
  CHECK(r.idempotency_key() == "key");
  CHECK(r.priority() == fetch_priority::high);
}

TEST_CASE("a request of a request keeps what the init does not give") {
  const auto original = full();
  CHECK(request(original, {}) == original);
  const auto only = [&](fetch_init init) { return request(original, std::move(init)); };

  const auto method = only({.method = "delete"});
  CHECK(method.method() == "DELETE");
  CHECK(request(method, {.method = "PUT"}) == original);

  // All headers, not some of them: with them goes the content type that the body once brought (WHATWG).
  CHECK(only({.headers = {{"X", "y"}}}).headers() == headers{{"X", "y"}});
  CHECK(only({.headers = {{"X", "y"}}}).body() == original.body());
  CHECK(only({.headers = headers{}}).headers().empty());
  CHECK(only({.headers = {}}).headers() == original.headers());

  // The content type is a header of the request by now, so that of the new body does not replace it (WHATWG).
  const auto body = only({.body = form{{"a", "b"}}});
  CHECK(body.body().bytes() == "a=b");
  CHECK(body.headers().get("Content-Type") == "text/plain;charset=UTF-8");
  CHECK(only({.headers = headers{}, .body = form{{"a", "b"}}}).headers() ==
        headers{{"Content-Type", "application/x-www-form-urlencoded;charset=UTF-8"}});
  CHECK(only({.body = ""}).body().bytes().empty());
  CHECK(only({.body = {}}).body().bytes() == "text");

  CHECK(only({.timeout = 3s}).timeout() == 3s);
  CHECK(only({.timeout = 3s}).deadline() == 2s);
  CHECK(only({.deadline = 3s}).deadline() == 3s);
  CHECK(only({.retry = {.max_retries = 0}}).retry() ==
        retry_policy{.max_retries = 0, .initial_delay = 10ms, .max_delay = 20ms});
  CHECK(only({.retry = {.initial_delay = 1ms, .max_delay = 2ms}}).retry() ==
        retry_policy{.max_retries = 7, .initial_delay = 1ms, .max_delay = 2ms});
  CHECK(only({.retry = retry_policy{}}).retry() == retry_policy{});
  CHECK(only({.redirect = redirect_mode::follow}).redirect() == redirect_mode::follow);
  CHECK(only({.idempotency_key = ""}).idempotency_key().empty());
  CHECK(only({.priority = fetch_priority::normal}).priority() == fetch_priority::normal);
  CHECK(only({.priority = fetch_priority::normal}).redirect() == redirect_mode::manual);
  CHECK(original == full());
}

TEST_CASE("a request is a value that is sent any number of times") {
  auto original = full();
  const auto copy = original.clone();
  CHECK(copy == original);
  CHECK(std::move(original).body().bytes() == "text");
  CHECK(copy.body().bytes() == "text");
  CHECK(copy.clone() == full());
  static_assert(std::is_copy_constructible_v<request> && std::is_nothrow_move_constructible_v<request>);
  static_assert(!std::is_default_constructible_v<request>, "there is no request without a URL");
  static_assert(!std::is_convertible_v<const char*, request>, "what may throw is written out");
}

TEST_CASE("only the six methods of WHATWG Fetch are upper-cased in a request") {
  struct row {
    std::string_view given;
    std::string_view kept;
  };
  for (const auto& at : {row{"get", "GET"},
                         {"hEAD", "HEAD"},
                         {"options", "OPTIONS"},
                         {"Post", "POST"},
                         {"put", "PUT"},
                         {"delete", "DELETE"},
                         {"patch", "patch"},
                         {"Query", "Query"}}) {
    CAPTURE(at.given);
    CHECK(request(url, {.method = std::string(at.given)}).method() == at.kept);
  }
}

TEST_CASE("R12: a request is refused when it is made") {
  is_refused("", {}, errc::invalid_url, {});
  is_refused("/relative", {}, errc::invalid_url, {"/relative"});
  is_refused("ftp://example.com/", {}, errc::blocked, {"ftp"});
  is_refused("https://user:secret@example.com/", {}, errc::invalid_url, {"credentials"});
  is_refused(url, {.method = ""}, errc::invalid_request, {"token"});
  is_refused(url, {.method = "G T"}, errc::invalid_request, {"token"});
  for (const auto* forbidden : {"CONNECT", "connect", "TRACE", "Trace", "TRACK"})
    is_refused(url, {.method = forbidden}, errc::invalid_request, {"forbidden"});
  for (const auto* bodiless : {"GET", "get", "HEAD"}) {
    is_refused(url, {.method = bodiless, .body = "x"}, errc::invalid_request, {"body"});
    is_refused(url, {.method = bodiless, .body = ""}, errc::invalid_request, {"body"});
    is_refused(full(), {.method = bodiless}, errc::invalid_request, {"body"});
  }
  is_refused(url, {.body = "x"}, errc::invalid_request, {"GET", "body"});
  is_refused(request(url), {.body = blob("x")}, errc::invalid_request, {"GET", "body"});
  is_refused(url, {.timeout = 0ms}, errc::invalid_request, {"timeout", "1..86400000 ms"});
  is_refused(url, {.timeout = 24h + 1ms}, errc::invalid_request, {"timeout", "86400001"});
  is_refused(url, {.deadline = -1ms}, errc::invalid_request, {"deadline", "-1"});
  is_refused(url, {.retry = {.max_retries = 101}}, errc::invalid_request, {"max_retries", "101", "100"});
  is_refused(url, {.retry = {.max_delay = -1ms}}, errc::invalid_request, {"retry delay"});
  is_refused(url, {.headers = {{"Host", "x"}}}, errc::invalid_header, {"Host"});
  is_refused(full(), {.headers = {{"Content-Length", "1"}}}, errc::invalid_header, {"Content-Length"});
  is_refused(url, {.idempotency_key = " a"}, errc::invalid_header, {"Idempotency-Key"});
  CHECK_THROWS_AS(static_cast<void>(fetch_init{.headers = {{"A", "b\r\nC: d"}}}), failure);
}

TEST_CASE("an init is filled as its parts are") {
  const headers some{{"A", "b"}};
  CHECK(request(url, {.headers = some}).headers() == some);
  CHECK(request(url, {.headers = {{"A", "b"}}}).headers() == some);
  CHECK(request(url, {.headers = {{"A", "b"}, {"C", "d"}}}).headers() == headers{{"A", "b"}, {"C", "d"}});
  fetch_init init;
  CHECK_FALSE(init.headers);
  init.method = "POST";
  init.headers = some;
  init.body = nlohmann::json{{"n", 1}};
  init.timeout = 5s;
  init.retry.max_retries = 1;
  const request r(url, init);
  CHECK(r.method() == "POST");
  CHECK(r.headers() == headers{{"A", "b"}, {"Content-Type", "application/json"}});
  CHECK(r.body().bytes() == R"({"n":1})");
  CHECK(r.timeout() == 5s);
  CHECK(r.retry().max_retries == 1);
}

TEST_CASE("a body brings its content type unless there is one") {
  struct row {
    body given;
    std::string_view type;
  };
  form_data files;
  files.append("f", blob("x"));
  for (const auto& at :
       {row{"text", "text/plain;charset=UTF-8"},
        row{form{{"a", "b"}}, "application/x-www-form-urlencoded;charset=UTF-8"},
        row{files, "multipart/form-data; boundary=----dormouse-form-data-0000000000000000"},
        row{blob("x", "image/png"), "image/png"}, row{nlohmann::json{{"a", 1}}, "application/json"},
        row{blob("x"), ""}, row{std::vector<std::byte>(3), ""}}) {
    CAPTURE(at.type);
    const request r(url, {.method = "POST", .body = at.given});
    CHECK(r.headers().get("Content-Type").value_or("") == at.type);
    CHECK(r.headers().fields().size() == (at.type.empty() ? 0 : 1));
    CHECK(
        request(url, {.method = "POST", .headers = {{"content-type", "mine"}}, .body = at.given}).headers() ==
        headers{{"content-type", "mine"}});
  }
}

TEST_CASE("what is fetched is a URL or a request") {
  CHECK(fetch_input("not checked").url() == "not checked");
  CHECK(fetch_input("a"s).as_request() == nullptr);
  CHECK(fetch_input("a"sv).url() == "a");
  const auto r = full();
  const fetch_input input(r);
  CHECK(input.url() == r.url());
  REQUIRE(input.as_request() != nullptr);
  CHECK(*input.as_request() == r);
}

} // namespace dormouse::test::request_test
