#include <dormouse/serialization/codec.hpp>
#include <dormouse/serialization/cookie_jar.hpp>
#include <dormouse/serialization/headers.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <cstdlib>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace dormouse::test::cookie_jar_test {

using namespace std::chrono_literals;
using namespace std::string_view_literals;

namespace {

constexpr std::int64_t now = 1'700'000'000'000;
constexpr std::int64_t limit_ms = 400LL * 24 * 3600 * 1000;

url at_url(std::string_view text) { return value_or_throw(parse_url(text)); }

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

/// A jar and a hand on the clock.
struct client {
  cookie_jar jar;
  std::int64_t at_ms = now;

  expected<void> takes(std::string_view from, std::string_view field) {
    return jar.receive(at_url(from), field, at_ms);
  }
  std::string sends(std::string_view to) const { return jar.header_for(at_url(to), at_ms); }
};

void check_refused(const expected<void>& result, std::string_view rule) {
  REQUIRE_FALSE(result);
  CHECK(result.error().code == errc::invalid_cookie);
  CAPTURE(result.error().message);
  CHECK(contains(result.error().message, rule));
  CHECK_FALSE(contains(result.error().message, "secret"));
}

cookie stored(std::string name, std::string domain) {
  return {.name = std::move(name),
          .value = "v",
          .domain = std::move(domain),
          .path = "/",
          .created_ms = now,
          .used_ms = now,
          .host_only = 1};
}

/// A jar as it would be on disk, whatever is in it.
expected<cookie_jar> load(const std::vector<cookie>& cookies) { return decode<cookie_jar>(encode(cookies)); }

} // namespace

TEST_CASE("a cookie goes to the hosts and paths that it is for") {
  client c;
  CHECK(c.takes("https://www.example.com/", "own=1"));
  CHECK(c.takes("https://www.example.com/", "shared=2; Domain=example.com"));
  CHECK(c.takes("https://www.example.com/", "deep=3; Path=/a/b"));
  CHECK(c.takes("https://example.com/", "top=4"));
  CHECK(c.takes("https://10.0.0.1/", "ip=5"));
  CHECK(c.takes("https://10.0.0.1/", "named=6; Domain=10.0.0.1"));
  CHECK(c.takes("https://[2001:db8::1]/", "six=7"));
  struct row {
    std::string_view to;
    std::string_view header;
  };
  for (const auto& at :
       {row{"https://www.example.com/", "own=1; shared=2"},
        {"http://www.example.com:8080/x?y#z", "own=1; shared=2"}, // neither port nor scheme separates
        {"https://WWW.example.com/", "own=1; shared=2"},
        {"https://www.example.com/a/b", "deep=3; own=1; shared=2"},
        {"https://www.example.com/a/b/c", "deep=3; own=1; shared=2"},
        {"https://www.example.com/a/bc", "own=1; shared=2"},
        {"https://www.example.com/a", "own=1; shared=2"},
        {"https://example.com/", "shared=2; top=4"},
        {"https://a.www.example.com/", "shared=2"},
        {"https://wwwexample.com/", ""},
        {"https://com/", ""},
        {"https://example.org/", ""},
        {"https://www.example.com./", ""},
        {"http://10.0.0.1/", "ip=5; named=6"},
        {"http://0xa000001/", "ip=5; named=6"},
        {"http://1.10.0.1/", ""},
        {"http://a.10.0.0.example/", ""},
        {"https://[2001:db8::1]/", "six=7"},
        {"https://[2001:db8::2]/", ""}}) {
    CAPTURE(at.to);
    CHECK(c.sends(at.to) == at.header);
    std::string joined;
    for (const auto& each : c.jar.cookies_for(at_url(at.to), now))
      joined += (joined.empty() ? "" : "; ") + each.name + "=" + each.value;
    CHECK(joined == at.header);
  }
  CHECK(cookie_jar().header_for(at_url("https://example.com/"), now).empty());
}

TEST_CASE("longer paths are sent first and then older cookies") {
  client c;
  const auto host = "https://a.b.example.com/x/y/z";
  CHECK(c.takes(host, "late=1; Path=/; Domain=example.com"));
  c.at_ms = now - 10;
  CHECK(c.takes(host, "early=2; Path=/; Domain=b.example.com"));
  c.at_ms = now - 5;
  CHECK(c.takes(host, "between=3; Path=/"));
  c.at_ms = now + 20;
  CHECK(c.takes(host, "long=4; Path=/x/y; Domain=example.com"));
  CHECK(c.takes(host, "middle=5; Path=/x; Domain=b.example.com"));
  CHECK(c.sends(host) == "long=4; middle=5; early=2; between=3; late=1");

  // A new value keeps the place of the old one.
  CHECK(c.takes(host, "early=6; Path=/; Domain=b.example.com"));
  CHECK(c.sends(host) == "long=4; middle=5; early=6; between=3; late=1");
}

TEST_CASE("cookies set in the same millisecond keep their order whichever domain they are of") {
  client c;
  for (const auto* field : {"z=1; Domain=example.com", "b=2", "shared=3; Domain=example.com", "a=4", "m=5"})
    CHECK(c.takes("https://www.example.com/", field));
  CHECK(c.sends("https://www.example.com/") == "z=1; b=2; shared=3; a=4; m=5");
  auto back = decode<cookie_jar>(encode(c.jar));
  REQUIRE(back);
  CHECK(back->header_for(at_url("https://www.example.com/"), now) == "z=1; b=2; shared=3; a=4; m=5");

  // Those of the next millisecond are behind them, and an older one that is put in is before them.
  c.at_ms += 1;
  CHECK(c.takes("https://www.example.com/", "c=6"));
  CHECK(c.takes("https://www.example.com/", "b=7"));
  c.at_ms -= 10;
  CHECK(c.takes("https://www.example.com/", "old=8"));
  CHECK(c.sends("https://www.example.com/") == "old=8; z=1; b=7; shared=3; a=4; m=5; c=6");
}

TEST_CASE("a cookie without a name is sent as its value") {
  client c;
  CHECK(c.takes("https://h.example/", "token"));
  CHECK(c.takes("https://h.example/", "empty="));
  CHECK(c.takes("https://h.example/", "=a=b; Path=/x"));
  CHECK(c.sends("https://h.example/") == "token; empty=");
  CHECK(c.sends("https://h.example/x") == "a=b; token; empty=");
  CHECK(c.jar.get("", at_url("https://h.example/"), now) == "token");
}

TEST_CASE("a cookie replaces the one of the same name and domain and path") {
  client c;
  CHECK(c.takes("https://www.example.com/", "a=1; Max-Age=10; Secure; HttpOnly; SameSite=Strict"));
  c.at_ms += 5000;
  CHECK(c.takes("https://www.example.com/", "a=2"));
  REQUIRE(c.jar.size() == 1);
  CHECK(c.jar.cookies(c.at_ms).front() == cookie{.name = "a",
                                                 .value = "2",
                                                 .domain = "www.example.com",
                                                 .path = "/",
                                                 .created_ms = now,
                                                 .used_ms = now + 5000,
                                                 .host_only = 1});

  // Another name, by its case too, another path, another domain, the same domain for all its hosts: another
  // cookie.
  for (const auto* field : {"A=3", "a=4; Path=/x", "a=5; Domain=example.com", "a=6; Domain=www.example.com"})
    CHECK(c.takes("https://www.example.com/", field));
  CHECK(c.jar.size() == 5);
  CHECK(c.sends("https://www.example.com/x") == "a=4; a=2; A=3; a=5; a=6");
}

TEST_CASE("an expired cookie removes the stored one and is not stored itself") {
  struct row {
    std::string_view field;
    bool removes;
  };
  for (const auto& at : {row{"a=; Max-Age=0", true},
                         {"a=x; Max-Age=-1; Expires=Fri, 31 Dec 9999 23:59:59 GMT", true},
                         {"a=x; Expires=Thu, 01 Jan 1970 00:00:00 GMT", true},
                         {"a=x; Expires=Tue, 14 Nov 2023 22:13:20 GMT", true}, // this very moment
                         {"a=x; Expires=Tue, 14 Nov 2023 22:13:21 GMT", false},
                         {"a=; Path=/other; Max-Age=0", false},
                         {"a=; Domain=h.example; Max-Age=0", false},
                         {"b=; Max-Age=0", false}}) {
    CAPTURE(at.field);
    client c;
    CHECK(c.takes("https://h.example/", "a=1"));
    CHECK(c.takes("https://h.example/", at.field));
    CHECK(c.jar.size() == (at.removes ? 0 : 1));
    CHECK(c.jar.empty() == at.removes);
    if (at.removes) CHECK(c.jar == cookie_jar());
  }
}

TEST_CASE("a cookie expires by the clock and is dropped by the next one") {
  client c;
  CHECK(c.takes("https://h.example/", "a=1; Max-Age=10"));
  CHECK(c.takes("https://h.example/", "forever=2"));
  CHECK(c.takes("https://other.example/", "a=3; Max-Age=10"));
  c.at_ms = now + 9'999;
  CHECK(c.sends("https://h.example/") == "a=1; forever=2");
  CHECK(c.jar.cookies(c.at_ms).size() == 3);
  CHECK(c.jar.get("a", c.at_ms));
  c.at_ms = now + 10'000;
  CHECK(c.sends("https://h.example/") == "forever=2");
  CHECK(c.jar.cookies(c.at_ms).size() == 1);
  CHECK(c.jar.cookies_for(at_url("https://h.example/"), c.at_ms).size() == 1);
  CHECK_FALSE(c.jar.get("a", c.at_ms));
  CHECK_FALSE(c.jar.get("a", at_url("https://h.example/"), c.at_ms));
  CHECK(c.jar.size() == 3);
  CHECK(c.takes("https://h.example/", "b=4"));
  CHECK(c.jar.size() == 2);
  c.at_ms += 1'000'000'000'000;
  CHECK(c.sends("https://h.example/") == "forever=2; b=4");
}

TEST_CASE("an expiry is at most 400 days away whoever made the cookie") {
  cookie_jar jar;
  auto far = stored("a", "h.example");
  far.expires_ms = now + limit_ms + 1;
  CHECK(jar.put(far, at_url("https://h.example/"), now));
  CHECK(jar.cookies(now).front().expires_ms == now + limit_ms);
}

TEST_CASE("a Secure cookie goes over https and to the machine itself only") {
  client c;
  CHECK(c.takes("https://h.example/", "s=1; Secure"));
  CHECK(c.takes("https://h.example/", "p=2"));
  CHECK(c.takes("http://localhost:1/", "s=3; Secure"));
  CHECK(c.takes("http://a.localhost/", "s=4; Secure"));
  CHECK(c.takes("http://127.1.2.3/", "s=5; Secure"));
  CHECK(c.takes("http://[::1]/", "s=6; Secure"));
  CHECK(c.sends("https://h.example/") == "s=1; p=2");
  CHECK(c.sends("http://h.example/") == "p=2");
  CHECK(c.sends("http://localhost:2/") == "s=3");
  CHECK(c.sends("http://a.localhost/") == "s=4");
  CHECK(c.sends("http://127.1.2.3/") == "s=5");
  CHECK(c.sends("http://[::1]/") == "s=6");
  check_refused(c.takes("http://h.example/", "t=secret; Secure"),
                "cookie 't' is refused: it is Secure and 'http://h.example' is not a secure origin");
}

TEST_CASE("an insecure origin cannot hide a Secure cookie") {
  struct row {
    std::string_view from;
    std::string_view field;
    bool stored;
  };
  for (const auto& at : {row{"http://www.example.com/", "a=secret; Path=/login", false},
                         {"http://www.example.com/", "a=secret; Path=/login/en", false},
                         {"http://www.example.com/", "a=; Path=/login; Max-Age=0", false}, // nor remove it
                         {"http://www.example.com/", "a=secret; Path=/login; Domain=example.com", false},
                         {"http://example.com/", "a=secret; Path=/login", false},
                         {"http://b.www.example.com/", "a=secret; Path=/login", false},
                         // What is beside it, or comes over a secure connection, may be.
                         {"http://www.example.com/", "a=1; Path=/", true},
                         {"http://www.example.com/", "a=1; Path=/foo", true},
                         {"http://www.example.com/", "a=1; Path=/loginx", true},
                         {"http://www.example.com/", "A=1; Path=/login", true},
                         {"http://other.example.org/", "a=1; Path=/login", true},
                         {"https://www.example.com/", "a=1; Path=/login", true}}) {
    CAPTURE(at.from);
    CAPTURE(at.field);
    client c;
    CHECK(c.takes("https://www.example.com/", "a=0; Path=/login; Secure; Domain=www.example.com"));
    auto before = c.jar;
    auto result = c.takes(at.from, at.field);
    if (at.stored) {
      CHECK(result);
      CHECK(c.jar != before);
    } else {
      check_refused(result, "cookie 'a' is refused: it would hide a Secure cookie, and 'http://");
      CHECK(c.jar == before);
    }
  }
  // A sibling's Secure cookie is nobody's business, a loopback host is secure, and an expired cookie protects
  // nothing.
  client c;
  CHECK(c.takes("https://a.example.com/", "a=0; Secure"));
  CHECK(c.takes("http://b.example.com/", "a=1"));
  CHECK(c.takes("http://localhost/", "a=0; Secure"));
  CHECK(c.takes("http://localhost/", "a=1"));
  CHECK(c.takes("https://c.example.com/", "a=0; Secure; Max-Age=1"));
  c.at_ms += 1000;
  CHECK(c.takes("http://c.example.com/", "a=1"));
}

TEST_CASE("what cannot be parsed leaves the jar as it was") {
  client c;
  CHECK(c.takes("https://www.example.co.uk/", "a=1"));
  auto before = c.jar;
  check_refused(c.takes("https://www.example.co.uk/", "a=secret; Domain=co.uk"),
                "cookie 'a' is refused: domain 'co.uk' is a public suffix");
  check_refused(c.takes("https://www.example.co.uk/", "a=sec\x01ret"), "control character 0x01");
  check_refused(c.takes("https://www.example.co.uk/", "__Host-a=secret"), "the prefix __Host-");
  auto refused = c.jar.set("a", "1", {.url = "nowhere"}, now);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == errc::invalid_url);
  CHECK(c.jar == before);
}

TEST_CASE("put trusts no cookie that another has made") {
  struct row {
    void (*change)(cookie&);
    std::string_view from;
    std::string_view rule; // empty: stored
  };
  for (const auto& at :
       {row{[](cookie&) {}, "http://h.example.com/", ""},
        {[](cookie& c) { c.host_only = 0; }, "http://h.example.com/", ""},
        {[](cookie& c) { c.host_only = 0; }, "http://www.h.example.com/", ""},
        {[](cookie& c) { c.value = "a\nb"; }, "http://h.example.com/", "control character 0x0a"},
        {[](cookie&) {}, "http://www.h.example.com/",
         "it is for host 'h.example.com' only and 'www.h.example.com' is another"},
        {[](cookie& c) { c.host_only = 0; }, "http://example.com/",
         "host 'example.com' is not in domain 'h.example.com'"},
        {[](cookie& c) { c.host_only = 0, c.domain = "com"; }, "http://h.example.com/",
         "domain 'com' is a public suffix"},
        {[](cookie& c) { c.secure = 1; }, "http://h.example.com/", "not a secure origin"}}) {
    CAPTURE(at.rule);
    cookie_jar jar;
    auto next = stored("a", "h.example.com");
    at.change(next);
    auto result = jar.put(next, at_url(at.from), now);
    if (at.rule.empty())
      CHECK((result.has_value() && jar.size() == 1));
    else
      check_refused(result, at.rule);
  }
}

TEST_CASE("the program sets and reads and removes cookies") {
  client c;
  CHECK(c.jar.set("a", "1", {.url = "https://www.example.com/x/"}, now));
  CHECK(c.jar.set("a", "2", {.domain = "example.com", .secure = true, .http_only = true}, now + 1));
  CHECK(c.jar.set("b", "3", {.domain = "example.com", .max_age = 5s}, now + 2));
  const auto www = at_url("https://www.example.com/x/y");
  CHECK(c.jar.header_for(www, now + 3) == "a=1; a=2; b=3");

  // By name alone the one that was set last, by URL the one that is sent first.
  CHECK(c.jar.get("a", now + 3) == "2");
  CHECK(c.jar.get("a", www, now + 3) == "1");
  CHECK(c.jar.get("a", at_url("https://example.com/"), now + 3) == "2");
  CHECK_FALSE(c.jar.get("a", at_url("http://example.com/"), now + 3)); // Secure
  CHECK_FALSE(c.jar.get("A", now + 3));
  CHECK_FALSE(c.jar.get("a", at_url("https://other.example/"), now + 3));
  CHECK(c.jar.set("a", "4", {.url = "https://www.example.com/x/"}, now + 4));
  CHECK(c.jar.get("a", now + 4) == "4");

  CHECK(c.jar.remove("a", at_url("https://other.example/")) == 0);
  CHECK(c.jar.remove("a", at_url("http://example.com/")) == 0);
  CHECK(c.jar.remove("a", at_url("https://example.com/")) == 1);
  CHECK(c.jar.header_for(www, now + 5) == "a=4; b=3");
  CHECK(c.jar.remove("b", at_url("https://www.example.com/")) == 1);
  CHECK(c.jar.set("a", "5", {.domain = "example.com"}, now + 6));
  CHECK(c.jar.remove("c") == 0);
  CHECK(c.jar.remove(c.jar.cookies(now).front().name) == 2);
  CHECK(c.jar == cookie_jar());

  CHECK(c.jar.set("a", "1", {.domain = "example.com"}, now));
  CHECK(c.jar.set("a", "", {.domain = "example.com", .max_age = 0s}, now));
  CHECK(c.jar.empty());
  CHECK(c.jar.set("a", "1", {.domain = "example.com"}, now));
  c.jar.clear();
  CHECK(c.jar == cookie_jar());
  CHECK(c.jar.size() == 0);
}

TEST_CASE("all cookies are listed domain by domain") {
  client c;
  for (const auto* host : {"https://b.example/", "https://c.example/", "https://a.example/"})
    for (const auto* field : {"x=1", "y=2; Path=/longer"})
      CHECK(c.takes(host, field));
  std::vector<std::string> listed;
  for (const auto& each : c.jar.cookies(now))
    listed.push_back(each.domain + each.path);
  CHECK(listed == std::vector<std::string>{"a.example/longer", "a.example/", "b.example/longer", "b.example/",
                                           "c.example/longer", "c.example/"});
}

TEST_CASE("R21: of a full domain the cookie that was set longest ago goes, those without Secure first") {
  client c;
  const auto host = "https://www.example.com/";
  CHECK(c.takes(host, "secure=0; Secure; Domain=example.com"));
  for (int i = 1; i < 180; ++i) {
    c.at_ms = now + i;
    CHECK(c.takes(host, "n" + std::to_string(i) + "=v; Domain=example.com"));
  }
  CHECK(c.jar.size() == max_cookies_per_domain);
  c.at_ms = now + 1000;
  CHECK(c.takes(host, "n1=again; Domain=example.com")); // is used anew, and no one has to go for it
  CHECK(c.takes("https://other.test/", "own=v"));       // another site
  CHECK(c.jar.size() == 181);
  c.at_ms = now + 1001;
  CHECK(c.takes("https://example.com/", "next=v")); // host-only shares the domain field
  CHECK(c.jar.size() == 181);
  CHECK(c.jar.get("secure", c.at_ms));
  CHECK(c.jar.get("n1", c.at_ms) == "again");
  CHECK_FALSE(c.jar.get("n2", c.at_ms));
  CHECK(c.jar.get("n3", c.at_ms));
  CHECK(c.jar.get("next", c.at_ms));

  // An expired one goes before any other.
  CHECK(c.takes(host, "brief=v; Domain=example.com; Max-Age=1")); // for n3
  CHECK_FALSE(c.jar.get("n3", c.at_ms));
  c.at_ms += 1000;
  CHECK(c.takes(host, "after=v; Domain=example.com"));
  CHECK(c.jar.get("n4", c.at_ms));
  CHECK_FALSE(c.jar.get("brief", c.at_ms));
}

TEST_CASE("R21: a cookie without Secure pushes out none that has it") {
  client c;
  for (int i = 0; i < 180; ++i) {
    c.at_ms = now + i;
    CHECK(c.takes("https://h.example/", "n" + std::to_string(i) + "=v; Secure"));
  }
  check_refused(c.takes("https://h.example/", "more=secret"),
                "cookie 'more' is refused: domain 'h.example' has 180 Secure cookies, which is the limit, "
                "and this one is not Secure");
  CHECK(c.jar.size() == 180);
  CHECK(c.takes("https://h.example/", "more=v; Secure"));
  CHECK(c.jar.size() == 180);
  CHECK_FALSE(c.jar.get("n0", c.at_ms));
  CHECK(c.jar.get("n1", c.at_ms));
}

TEST_CASE("R21: a site has its share of a jar, with all of its subdomains") {
  client c;
  CHECK(c.takes("https://bank.example/", "login=1"));
  for (int i = 0; i < 400; ++i) {
    c.at_ms = now + 1 + i;
    const auto host = "https://h" + std::to_string(i) + ".shop.co.uk/";
    REQUIRE(c.takes(host, "n" + std::to_string(i) + "=v"));
    REQUIRE(c.takes(host, "m" + std::to_string(i) + "=v; Domain=shop.co.uk"));
  }
  CHECK(c.jar.size() == 1 + max_cookies_per_domain);
  CHECK(c.jar.get("login", c.at_ms));
  CHECK_FALSE(c.jar.get("n309", c.at_ms));
  CHECK(c.jar.get("n310", c.at_ms));
  // Below a public suffix each name is a site of its own.
  for (int i = 0; i < 200; ++i)
    REQUIRE(c.takes("https://u" + std::to_string(i) + ".github.io/", "u" + std::to_string(i) + "=v"));
  CHECK(c.jar.size() == 1 + max_cookies_per_domain + 200);
}

TEST_CASE("R21: a jar that is to have fewer bytes loses those of its largest site, the oldest first") {
  client c;
  CHECK(c.takes("https://bank.example/", "login=1"));
  for (int i = 0; i < 100; ++i) {
    c.at_ms = now + 1 + i;
    REQUIRE(c.takes("https://h" + std::to_string(i % 7) + ".shop.example/",
                    "n" + std::to_string(i) + "=" + std::string(1'000, 'v')));
  }
  CHECK(c.jar.bytes() >= encode(c.jar).size());
  const auto all = c.jar;
  CHECK(c.jar.keep_within(c.jar.bytes()) == 0);
  CHECK(c.jar == all);
  const auto gone = c.jar.keep_within(50'000);
  CHECK(gone > 50);
  CHECK(gone < 60);
  CHECK(c.jar.bytes() <= 50'000);
  CHECK(c.jar.get("login", c.at_ms));
  CHECK_FALSE(c.jar.get("n" + std::to_string(gone - 1), c.at_ms));
  CHECK(c.jar.get("n" + std::to_string(gone), c.at_ms));
  CHECK(c.jar.keep_within(0) == 101 - gone);
  CHECK(c.jar.empty());
}

TEST_CASE("R21: of a full jar the cookie that was set longest ago goes") {
  client c;
  for (int i = 0; i < 3000; ++i) {
    c.at_ms = now + (i + 1500) % 3000;
    REQUIRE(
        c.takes("https://h" + std::to_string(i % 100) + ".example/", "n" + std::to_string(i) + "=v; Secure"));
  }
  CHECK(c.jar.size() == max_cookies);
  auto full = decode<cookie_jar>(encode(c.jar));
  REQUIRE(full);
  CHECK(*full == c.jar);

  c.at_ms = now + 5000;
  CHECK(c.takes("https://new.example/", "m=v"));
  CHECK(c.jar.size() == max_cookies);
  CHECK_FALSE(c.jar.get("n1500", c.at_ms)); // Secure or not
  CHECK(c.jar.get("n1501", c.at_ms));
  CHECK(c.takes("https://new.example/", "m=w")); // replaced in its place
  CHECK(c.jar.get("n1501", c.at_ms));
  CHECK(c.takes("https://new2.example/", "m=v"));
  CHECK_FALSE(c.jar.get("n1501", c.at_ms));
}

TEST_CASE("R21: a full jar may give up the only cookie of a domain for the next one of it") {
  client c;
  CHECK(c.takes("https://first.example/", "a=1"));
  for (int i = 1; i < 3000; ++i) {
    c.at_ms = now + i;
    REQUIRE(c.takes("https://h" + std::to_string(i % 100) + ".example/", "n" + std::to_string(i) + "=v"));
  }
  const auto before = c.jar;
  CHECK(c.takes("https://first.example/", "b=2"));
  CHECK(c.jar.size() == max_cookies);
  CHECK(c.sends("https://first.example/") == "b=2");

  // For another one's, nothing is left of the domain.
  c.jar = before;
  CHECK(c.takes("https://other.example/", "b=2"));
  auto back = decode<cookie_jar>(encode(c.jar));
  REQUIRE(back);
  CHECK(*back == c.jar);
}

TEST_CASE("a jar comes back from bytes as it was") {
  CHECK(encode(cookie_jar()) == std::string(8, '\0'));
  client c;
  for (const auto* field : {"a=1", "b=2; Domain=example.com; Path=/x; Secure; SameSite=None; Max-Age=5",
                            "token", "c=3; HttpOnly"})
    CHECK(c.takes("https://www.example.com/", field));
  CHECK(c.takes("http://10.0.0.1/", "d=4"));
  CHECK(c.takes("http://[2001:db8::1]/", "e=5"));
  auto back = decode<cookie_jar>(encode(c.jar));
  REQUIRE(back);
  CHECK(*back == c.jar);
  CHECK(*back != cookie_jar());
  // The bytes are those of a sequence of cookies.
  CHECK(encode(c.jar) == encode(c.jar.cookies(now)));
}

TEST_CASE("R21: a stored jar is held to the rules and the limits") {
  struct row {
    std::vector<cookie> cookies;
    std::string_view rule;
  };
  std::vector<cookie> full_domain;
  std::vector<cookie> full_jar;
  full_domain.reserve(181);
  full_jar.reserve(3001);
  for (int i = 0; i < 181; ++i)
    full_domain.push_back(stored("n" + std::to_string(i), "h.example"));
  for (int i = 0; i < 3001; ++i)
    full_jar.push_back(stored("n" + std::to_string(i), "h" + std::to_string(i) + ".example"));
  auto bad_value = stored("bad", "h.example");
  bad_value.value = "x\r\nInjected: y";
  auto bad_domain = stored("bad", "H.example");
  for (const auto& at : {row{full_domain, "more than 180 cookies of domain 'h.example'; that is the limit"},
                         {full_jar, "a stored cookie jar has 3001 cookies; the limit is 3000"},
                         {{stored("good", "h.example"), bad_value},
                          "cookie 'bad' is refused: its value contains the control character 0x0d"},
                         {{bad_domain}, "is not a host name in lower case"},
                         {{stored("a", "h.example"), stored("b", "h.example"), stored("a", "h.example")},
                          "cookie 'a' is refused: a stored cookie jar has it twice"}}) {
    CAPTURE(at.rule);
    auto refused = load(at.cookies);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == errc::corrupt);
    CHECK(contains(refused.error().message, "invalid_cookie"));
    CHECK(contains(refused.error().message, at.rule));
    cookie_jar jar;
    const auto bytes = encode(at.cookies);
    input_archive ar(bytes);
    CHECK_THROWS_AS(ar(jar), failure);
  }
  full_domain.pop_back();
  CHECK(load(full_domain));
  full_jar.pop_back();
  CHECK(load(full_jar));
}

TEST_CASE("R21: every truncation of a stored jar is an error and allocates nothing it does not have") {
  client c;
  CHECK(c.takes("https://www.example.com/", "a=1"));
  CHECK(c.takes("https://www.example.com/", "b=2; Domain=example.com"));
  const auto bytes = encode(c.jar);
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    auto refused = decode<cookie_jar>(std::string_view(bytes).substr(0, size));
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == errc::corrupt);
  }
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    auto damaged = bytes;
    damaged[at] = static_cast<char>(0xff);
    if (auto result = decode<cookie_jar>(damaged); !result) CHECK(result.error().code == errc::corrupt);
  }
}

TEST_CASE("R21: whatever fields come, what a jar holds can be sent and stored") {
  const char* given = std::getenv("DORMOUSE_TEST_SEED");
  const std::uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  INFO("repeat with DORMOUSE_TEST_SEED=", seed);
  std::mt19937_64 random(seed);
  const std::vector<std::string> parts{"a",
                                       "b",
                                       "=",
                                       "=",
                                       ";",
                                       ";",
                                       "; ",
                                       " ",
                                       "\t",
                                       "\x01",
                                       "\x7f",
                                       "\xff",
                                       "__Host-",
                                       "__Secure-",
                                       "Secure",
                                       "HttpOnly",
                                       "Path=",
                                       "/",
                                       "/x",
                                       "Domain=",
                                       ".",
                                       "example.com",
                                       "com",
                                       "Max-Age=",
                                       "-",
                                       "0",
                                       "9",
                                       "Expires=",
                                       "09 Jun 2033 10:18:14",
                                       "SameSite=",
                                       "None",
                                       "Lax",
                                       "127.0.0.1",
                                       std::string(1'020, 'p'),
                                       std::string(2'000, 'v')};
  const std::vector<url> origins{at_url("https://www.example.com/x/y"), at_url("http://www.example.com/x/y"),
                                 at_url("http://127.0.0.1/")};
  cookie_jar jar;
  int accepted = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string field = random() % 4 == 0 ? "" : "a=1; ";
    for (auto left = random() % 12; left > 0; --left)
      field += parts[random() % parts.size()];
    CAPTURE(field);
    const auto& from = origins[random() % origins.size()];
    if (auto result = jar.receive(from, field, now + round); !result) {
      REQUIRE(result.error().code == errc::invalid_cookie);
      continue;
    }
    ++accepted;
    headers sent;
    REQUIRE(sent.try_append("Cookie", jar.header_for(from, now + round)));
    if (round % 100 == 0) REQUIRE(decode<cookie_jar>(encode(jar)) == jar); // which validates each cookie
  }
  CHECK(accepted > 1'000);
}

TEST_CASE("a domain that became a public suffix since gets no cookie any more") {
  auto shared = stored("a", "co.uk");
  shared.host_only = 0;
  auto jar = load({shared, stored("own", "co.uk")});
  REQUIRE(jar);
  CHECK(jar->header_for(at_url("https://www.co.uk/"), now).empty());
  CHECK(jar->header_for(at_url("https://co.uk/"), now) == "own=v");
}

TEST_CASE("the order of storing decides nothing but ties") {
  auto early = stored("early", "h.example");
  early.created_ms = now - 1;
  auto deep = stored("deep", "h.example");
  deep.path = "/x";
  auto one = load({stored("a", "h.example"), early, deep, stored("b", "a.example")});
  auto other = load({stored("b", "a.example"), deep, early, stored("a", "h.example")});
  REQUIRE(one);
  REQUIRE(other);
  CHECK(*one == *other);
  CHECK(encode(*one) == encode(*other));
  CHECK(one->header_for(at_url("https://h.example/x"), now) == "deep=v; early=v; a=v");
}

TEST_CASE("the caller's own cookies win over those of the jar") {
  struct row {
    std::string_view own;
    std::string_view from_jar;
    std::string_view merged;
  };
  for (const auto& at : {row{"", "", ""},
                         {"a=1", "", "a=1"},
                         {"", "a=1; b=2", "a=1; b=2"},
                         {"a=1", "b=2", "a=1; b=2"},
                         {"a=1", "a=2; b=3", "a=1; b=3"},
                         {"a=1; c=2", "b=3; a=4; b=5; c=6", "a=1; c=2; b=3; b=5"},
                         {"a=1; a=2", "a=3", "a=1; a=2"},
                         {"A=1", "a=2", "A=1; a=2"},
                         {"a=", "a=2", "a="},
                         {"a=b=c", "a=2; b=3", "a=b=c; b=3"},
                         {" a = 1 ;; b=2; ", "a=3; c=4", "a = 1; b=2; c=4"},
                         {" ; ", "a=1", "a=1"},
                         {"token", "other; a=1", "token; a=1"}, // both have no name
                         {"a=1", "token", "a=1; token"}}) {
    CAPTURE(at.own);
    CAPTURE(at.from_jar);
    CHECK(merge_cookie_header(at.own, at.from_jar) == at.merged);
  }
}

} // namespace dormouse::test::cookie_jar_test
