#include "cookie_date.hpp"
#include "cookie_rules.hpp"
#include "public_suffix.hpp"

#include <dormouse/serialization/codec.hpp>
#include <dormouse/serialization/cookie.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dormouse::test::cookie_test {

using namespace std::chrono_literals;
using namespace std::string_view_literals;

namespace {

constexpr std::int64_t now = 1'700'000'000'000; // 14 November 2023, 22:13:20 UTC
constexpr std::int64_t limit_ms = 400LL * 24 * 3600 * 1000;

url at_url(std::string_view text) { return value_or_throw(parse_url(text)); }

expected<cookie> parse(std::string_view from, std::string_view field) {
  return parse_set_cookie(at_url(from), field, now);
}

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

/// What every refusal has: the code, the rule, one line of bounded length, and no value.
void check_refused(const expected<cookie>& result, std::string_view rule) {
  REQUIRE_FALSE(result);
  CHECK(result.error().code == errc::invalid_cookie);
  CAPTURE(result.error().message);
  CHECK(contains(result.error().message, rule));
  CHECK_FALSE(contains(result.error().message, "secret"));
  CHECK_FALSE(contains(result.error().message, "\n"));
  CHECK(result.error().message.size() < 600);
}

cookie plain() {
  return {.name = "a",
          .value = "1",
          .domain = "h.example",
          .path = "/",
          .created_ms = now,
          .used_ms = now,
          .host_only = 1};
}

} // namespace

TEST_CASE("a cookie date is made of tokens in any order") {
  struct row {
    std::string_view text;
    std::optional<std::int64_t> seconds;
  };
  constexpr std::int64_t noon = 1'623'233'894; // 9 June 2021, 10:18:14
  for (const auto& at : {row{"Wed, 09 Jun 2021 10:18:14 GMT", noon},
                         {"Wednesday, 09-Jun-21 10:18:14 GMT", noon},
                         {"Wed Jun  9 10:18:14 2021", noon},
                         {"10:18:14 9 Jun 2021", noon},
                         {"2021 Jun 09 10:18:14", noon},        // four digits are no day
                         {"21 Jun 09 10:18:14", 1'245'579'494}, // two are one, before they are a year
                         {"09 2021 10:18:14 jUNe", noon},
                         {"09-Jun-2021-10:18:14", noon},
                         {"09/Jun/2021/10:18:14", noon},
                         {"09\tJun\t2021\t10:18:14", noon},
                         {"\t\"09\"<Jun>{2021}=10:18:14~", noon},
                         {"09Z Jun 2021Z 10:18:14Z", noon},       // what follows the digits does not count
                         {"9 Jun 2021 10:18:14.999 +0500", noon}, // a zone does not count either
                         {"9 Jun 2021 10:18:14 12:00:00 10 Jul 2022", noon}, // the first of each kind
                         {"9th June 2021 10:18:14", noon},
                         {"9 Jun 2021 10:18:14\xc3\xa9", noon},
                         {"1 Jan 2021 1:2:3", 1'609'462'923},
                         {"01 Jan 1970 00:00:00", 0},
                         {"31 Dec 1969 23:59:59", -1},
                         {"01 Jan 1601 00:00:00", -11'644'473'600},
                         {"31 Dec 1600 23:59:59", std::nullopt},
                         {"31 Dec 9999 23:59:59", 253'402'300'799},
                         // Two digits: 70 to 99 are of the last century, 00 to 69 of this one.
                         {"01 Jan 70 00:00:00", 0},
                         {"01 Jan 99 00:00:00", 915'148'800},
                         {"01 Jan 00 00:00:00", 946'684'800},
                         {"01 Jan 69 00:00:00", 3'124'224'000},
                         {"01 Jan 0070 00:00:00", 0},
                         {"01 Jan 100 00:00:00", std::nullopt},
                         {"01 Jan 1 00:00:00", std::nullopt},
                         {"01 Jan 12021 00:00:00", std::nullopt},
                         // Dates that there are not.
                         {"31 Jun 2021 10:18:14", std::nullopt},
                         {"29 Feb 2021 00:00:00", std::nullopt},
                         {"29 Feb 2020 00:00:00", 1'582'934'400},
                         {"29 Feb 1900 00:00:00", std::nullopt},
                         {"0 Jan 2021 00:00:00", std::nullopt},
                         {"32 Jan 2021 00:00:00", std::nullopt},
                         {"9 Jun 2021 24:00:00", std::nullopt},
                         {"9 Jun 2021 10:60:00", std::nullopt},
                         {"9 Jun 2021 10:18:60", std::nullopt},
                         // Something is missing.
                         {"", std::nullopt},
                         {" -/ ", std::nullopt},
                         {"Jun 2021 10:18:14", std::nullopt},
                         {"9 2021 10:18:14", std::nullopt},
                         {"9 Jun 10:18:14", std::nullopt},
                         {"9 Jun 2021", std::nullopt},
                         {"9 Jun 2021 10:18", std::nullopt},
                         {"9 Jun 2021 10:18:", std::nullopt},
                         {"9 Jun 2021 100:18:14", std::nullopt},
                         {"9 Jun 2021 10:18:140", std::nullopt},
                         {"9 Jun 2021 10: 18:14", std::nullopt},
                         {"9 Ju 2021 10:18:14", std::nullopt},
                         {"009 Jun 2021 10:18:14", std::nullopt},
                         {"tomorrow", std::nullopt}}) {
    CAPTURE(at.text);
    auto parsed = detail::parse_cookie_date(at.text);
    CHECK(parsed.has_value() == at.seconds.has_value());
    if (parsed && at.seconds) CHECK(*parsed == *at.seconds * 1000);
  }
}

TEST_CASE("a host domain-matches itself and the domains above it") {
  struct row {
    std::string_view host;
    std::string_view domain;
    bool matches;
  };
  for (const auto& at : {row{"a.example", "a.example", true},
                         {"b.a.example", "a.example", true},
                         {"c.b.a.example", "a.example", true},
                         {"ba.example", "a.example", false},
                         {"a.example", "b.a.example", false},
                         {"a.example", "b.example", false},
                         {"a.example.", "a.example", false},
                         {"a.example", "", false},
                         // An address has no domains above it.
                         {"1.2.3.4", "1.2.3.4", true},
                         {"1.2.3.4", "2.3.4", false},
                         {"1.2.3.4", "4", false},
                         {"[::1]", "[::1]", true},
                         {"[::ffff:1.2.3.4]", "3.4]", false}}) {
    CAPTURE(at.host);
    CAPTURE(at.domain);
    CHECK(detail::domain_matches(at.host, at.domain) == at.matches);
  }
}

TEST_CASE("a default path is the URL's up to its last slash") {
  struct row {
    std::string_view from;
    std::string_view path;
  };
  for (const auto& at : {row{"http://h.example", "/"},
                         {"http://h.example/", "/"},
                         {"http://h.example/a", "/"},
                         {"http://h.example/a/", "/a"},
                         {"http://h.example/a/b", "/a"},
                         {"http://h.example/a/b/", "/a/b"},
                         {"http://h.example//", "/"},
                         {"http://h.example/a;x/b?c/d#e/f", "/a;x"}}) {
    CAPTURE(at.from);
    CHECK(detail::default_path(at_url(at.from)) == at.path);
    auto parsed = parse(at.from, "a=1");
    REQUIRE(parsed);
    CHECK(parsed->path == at.path);
  }
  CHECK(detail::default_path(url{.scheme = "http", .host = "h"}) == "/");
}

TEST_CASE("a path matches itself and what lies below it") {
  struct row {
    std::string_view request;
    std::string_view cookie;
    bool matches;
  };
  for (const auto& at : {row{"/", "/", true},
                         {"/a", "/", true},
                         {"/a", "/a", true},
                         {"/a/", "/a", true},
                         {"/a/b", "/a", true},
                         {"/a/b", "/a/", true},
                         {"/a", "/a/", false},
                         {"/ab", "/a", false},
                         {"/", "/a", false},
                         {"/A", "/a", false},
                         {"/b/a", "/a", false}}) {
    CAPTURE(at.request);
    CAPTURE(at.cookie);
    CHECK(detail::path_matches(at.request, at.cookie) == at.matches);
  }
}

TEST_CASE("an origin is secure by https or by being the machine itself") {
  struct row {
    std::string_view text;
    bool secure;
  };
  for (const auto& at : {row{"https://h.example/", true},
                         {"http://h.example/", false},
                         {"http://localhost/", true},
                         {"http://LOCALHOST:8080/", true},
                         {"http://localhost./", true},
                         {"http://a.b.localhost/", true},
                         {"http://notlocalhost/", false},
                         {"http://localhost.example/", false},
                         {"http://127.0.0.1/", true},
                         {"http://127.255.3.4/", true},
                         {"http://0x7f.1/", true},
                         {"http://128.0.0.1/", false},
                         {"http://127.example/", false},
                         {"http://[::1]/", true},
                         {"http://[0:0:0:0:0:0:0:1]:8080/", true},
                         {"http://[::2]/", false},
                         {"http://10.0.0.1/", false}}) {
    CAPTURE(at.text);
    CHECK(detail::is_secure(at_url(at.text)) == at.secure);
    auto parsed = parse(at.text, "a=secret; Secure");
    CHECK(parsed.has_value() == at.secure);
    if (!at.secure) check_refused(parsed, "cookie 'a' is refused: it is Secure and 'http://");
  }
}

TEST_CASE("a public suffix is known with its private ones and in either spelling") {
  for (const auto* suffix : {"com", "co.uk", "co.uk.", "com.", "github.io", "kawasaki.jp", "foo.ck",
                             "xn--55qx5d.cn", "localhost", "", "."}) {
    CAPTURE(suffix);
    CHECK(detail::is_public_suffix(suffix));
  }
  for (const auto* other : {"example.com", "example.com.", "example.co.uk", "me.github.io",
                            "city.kawasaki.jp", "www.ck", "a.unknown-top-level"}) {
    CAPTURE(other);
    CHECK_FALSE(detail::is_public_suffix(other));
  }
}

TEST_CASE("a Set-Cookie field is taken apart") {
  struct row {
    std::string_view field;
    std::string_view name;
    std::string_view value;
  };
  for (const auto& at : {row{"a=1", "a", "1"},
                         {"a=1; b=2", "a", "1"},
                         {" \ta \t=\t 1 \t", "a", "1"},
                         {"a=b=c", "a", "b=c"},
                         {"a=\"q\"", "a", "\"q\""},
                         {"a=", "a", ""},
                         {"a=;", "a", ""},
                         {"a =x y\tz", "a", "x y\tz"},
                         {"a b=1", "a b", "1"},
                         {"a=%3b%00", "a", "%3b%00"},
                         {"a=\xc3\xa9", "a", "\xc3\xa9"},
                         // Without a name.
                         {"token", "", "token"},
                         {"=token", "", "token"},
                         {" = token ;Secure", "", "token"},
                         {"=a=b", "", "a=b"}}) {
    CAPTURE(at.field);
    auto parsed = parse("https://h.example/", at.field);
    REQUIRE(parsed);
    CHECK(parsed->name == at.name);
    CHECK(parsed->value == at.value);
  }
  auto least = parse("https://h.example/x/y", "a=1");
  REQUIRE(least);
  CHECK(*least == cookie{.name = "a",
                         .value = "1",
                         .domain = "h.example",
                         .path = "/x",
                         .expires_ms = 0,
                         .created_ms = now,
                         .used_ms = now,
                         .host_only = 1});
  auto most =
      parse("https://www.h.example/x/y",
            "a=1;DOMAIN=.H.Example ; path = /p ;SECURE=no;httpONLY;samesite=lax;Max-Age=1;Priority=High;;=");
  REQUIRE(most);
  CHECK(*most == cookie{.name = "a",
                        .value = "1",
                        .domain = "h.example",
                        .path = "/p",
                        .expires_ms = now + 1000,
                        .created_ms = now,
                        .used_ms = now,
                        .host_only = 0,
                        .secure = 1,
                        .http_only = 1,
                        .same_site = same_site::lax});
  for (auto nothing : {""sv, "="sv, " \t= "sv, ";"sv, "; Secure"sv, "=; Path=/"sv}) {
    CAPTURE(nothing);
    check_refused(parse("https://h.example/", nothing),
                  "a cookie without a name is refused: it has neither a name nor a value");
  }
}

TEST_CASE("a control character anywhere in a Set-Cookie field has the whole field ignored") {
  for (int byte = 0; byte < 256; ++byte) {
    CAPTURE(byte);
    bool allowed = byte == '\t' || (byte >= 0x20 && byte != 0x7f);
    std::string c(1, static_cast<char>(byte));
    for (const auto& field : {"n" + c + "m=secret", "nm=se" + c + "cret", "nm=secret; Unknown=a" + c + "b"}) {
      auto parsed = parse("https://h.example/", field);
      CHECK(parsed.has_value() == allowed);
      if (!parsed) check_refused(parsed, "Set-Cookie field contains the control character 0x");
    }
  }
  check_refused(
      parse("https://h.example/", "a\r\nb=secret"),
      R"(cookie 'a\x0d\x0ab' is refused: its Set-Cookie field contains the control character 0x0d)");
}

TEST_CASE("R21: the name and the value have at most 4096 bytes together") {
  auto longest = parse("https://h.example/", "name=" + std::string(4092, 'v') + "; Secure");
  REQUIRE(longest);
  CHECK(longest->value.size() == 4092);
  check_refused(parse("https://h.example/", "name=" + std::string(4093, 'v')),
                "cookie 'name' is refused: its name and value have 4097 bytes; the limit is 4096");
  check_refused(parse("https://h.example/", std::string(4096, 'n') + "=v"), "4097 bytes; the limit is 4096");
  CHECK(parse("https://h.example/",
              "  name =  " + std::string(4092, 'v') + "  ")); // what is stripped does not count
}

TEST_CASE("R21: an attribute of more than 1024 bytes is ignored and a path has no more however it came") {
  const std::string longest(1023, 'p');
  auto kept = parse("https://h.example/d/", "a=1; Path=/" + longest);
  REQUIRE(kept);
  CHECK(kept->path == "/" + longest);
  auto ignored =
      parse("https://h.example/d/", "a=1; Path=/p; Path=/" + longest + "p; Domain=" + std::string(1025, 'd') +
                                        "; Max-Age=" + std::string(1025, '0'));
  REQUIRE(ignored);
  CHECK(ignored->path == "/p");
  CHECK(ignored->host_only == 1);
  CHECK(ignored->expires_ms == 0);

  CHECK(parse("https://h.example/" + longest + "/x", "a=1"));
  check_refused(parse("https://h.example/" + longest + "p/x", "a=secret"),
                "cookie 'a' is refused: its path has 1025 bytes; the limit is 1024");
}

TEST_CASE("Max-Age is a number of seconds and anything else is ignored") {
  struct row {
    std::string_view value;
    std::int64_t expires_ms;
  };
  for (const auto& at : {row{"1", now + 1000},
                         {"007", now + 7000},
                         {" 60 ", now + 60'000},
                         {"34560000", now + limit_ms},
                         {"34560001", now + limit_ms},
                         {"9223372036854775807", now + limit_ms},
                         {"99999999999999999999999999", now + limit_ms},
                         {"0", 1},
                         {"-1", 1},
                         {"-99999999999999999999999999", 1},
                         {"", 0},
                         {"-", 0},
                         {"+1", 0},
                         {"1.5", 0},
                         {"1s", 0},
                         {"0x10", 0},
                         {"--1", 0},
                         {"\"1\"", 0}}) {
    CAPTURE(at.value);
    auto parsed = parse("https://h.example/", "a=1; Max-Age=" + std::string(at.value));
    REQUIRE(parsed);
    CHECK(parsed->expires_ms == at.expires_ms);
  }
}

TEST_CASE("an expiry is at most 400 days away and Max-Age wins over Expires") {
  struct row {
    std::string_view attributes;
    std::int64_t expires_ms;
  };
  constexpr std::int64_t next_day = 1'700'006'400'000;
  for (const auto& at :
       {row{"", 0},
        {"Expires=Wed, 15 Nov 2023 00:00:00 GMT", next_day},
        {"Expires=Wed, 15-Nov-23 00:00:00 GMT", next_day},
        {"Expires=Wed, 15 Nov 2034 00:00:00 GMT", now + limit_ms},
        {"Expires=Fri, 31 Dec 9999 23:59:59 GMT", now + limit_ms},
        // The past; the start of the epoch must not be mistaken for no expiry.
        {"Expires=Thu, 01 Jan 1970 00:00:00 GMT", 1},
        {"Expires=Mon, 01 Jan 1601 00:00:00 GMT", 1},
        {"Expires=Wed, 09 Jun 2021 10:18:14 GMT", 1'623'233'894'000},
        {"Expires=soon", 0},
        {"Expires", 0},
        {"Expires=Wed, 15 Nov 2023 00:00:00 GMT; Expires=never", next_day}, // no date, no attribute
        {"Expires=Wed, 09 Jun 2021 10:18:14 GMT; Expires=Wed, 15 Nov 2023 00:00:00 GMT", next_day},
        {"Max-Age=5; Expires=Thu, 01 Jan 1970 00:00:00 GMT", now + 5000},
        {"Expires=Wed, 15 Nov 2023 00:00:00 GMT; Max-Age=0", 1},
        {"Expires=Wed, 15 Nov 2023 00:00:00 GMT; Max-Age=x", next_day},
        {"Max-Age=5; Max-Age=6", now + 6000}}) {
    CAPTURE(at.attributes);
    auto parsed = parse("https://h.example/", "a=1; " + std::string(at.attributes));
    REQUIRE(parsed);
    CHECK(parsed->expires_ms == at.expires_ms);
  }
}

TEST_CASE("the Domain attribute shares a cookie with the hosts of a domain") {
  struct row {
    std::string_view from;
    std::string_view attribute;
    std::string_view domain; // empty: refused
    int host_only;
    std::string_view rule;
  };
  for (const auto& at :
       {row{"https://a.h.example.com/", "", "a.h.example.com", 1, ""},
        {"https://a.h.example.com/", "; Domain=", "a.h.example.com", 1, ""},
        {"https://a.h.example.com/", "; Domain=.", "a.h.example.com", 1, ""},
        {"https://a.h.example.com/", "; Domain", "a.h.example.com", 1, ""},
        {"https://a.h.example.com/", "; Domain=a.h.example.com", "a.h.example.com", 0, ""},
        {"https://a.h.example.com/", "; Domain=.EXAMPLE.com", "example.com", 0, ""},
        {"https://a.h.example.com/", "; Domain=x.example.com; Domain=example.com", "example.com", 0, ""},
        {"https://a.h.example.com/", "; Domain=example.com; Domain=", "a.h.example.com", 1, ""},
        {"https://a.h.example.com/", "; Domain=x.h.example.com", "", 0,
         "host 'a.h.example.com' is not in domain 'x.h.example.com'"},
        {"https://a.h.example.com/", "; Domain=b.a.h.example.com", "", 0, "is not in domain"},
        {"https://a.h.example.com/", "; Domain=other.example", "", 0, "is not in domain"},
        {"https://a.h.example.com/", "; Domain=xample.com", "", 0, "is not in domain"},
        {"https://a.h.example.com/", "; Domain=..example.com", "", 0,
         "domain '.example.com' is not a host name"},
        {"https://a.h.example.com/", "; Domain=example.com.", "", 0, "is not in domain"},
        {"https://a.h.example.com/", "; Domain=exam ple.com", "", 0,
         "domain 'exam ple.com' is not a host name"},
        {"https://a.h.example.com/", "; Domain=ex\xc3\xa4mple.com", "", 0,
         "host 'a.h.example.com' is not in domain 'xn--exmple-cua.com'"},
        {"https://a.h.example.com/", "; Domain=ex\xffmple.com", "", 0,
         R"(domain 'ex\xffmple.com' is not ASCII)"},
        {"https://www.xn--exmple-cua.com/", "; Domain=ex\xc3\xa4mple.com", "xn--exmple-cua.com", 0, ""},
        {"https://www.ex\xc3\x84mple.com/", "; Domain=XN--exmple-cua.com", "xn--exmple-cua.com", 0, ""},
        {"https://xn--exmple-cua.com/", "; Domain=xn--exmple-cua.com", "xn--exmple-cua.com", 0, ""},
        {"https://a.h.example.com./", "; Domain=example.com.", "example.com.", 0, ""},
        // Public suffixes.
        {"https://a.h.example.com/", "; Domain=com", "", 0, "domain 'com' is a public suffix"},
        {"https://a.example.co.uk/", "; Domain=co.uk", "", 0, "domain 'co.uk' is a public suffix"},
        {"https://a.example.co.uk./", "; Domain=co.uk.", "", 0, "domain 'co.uk.' is a public suffix"},
        {"https://me.github.io/", "; Domain=github.io", "", 0, "domain 'github.io' is a public suffix"},
        {"https://github.io/", "; Domain=github.io", "github.io", 1, ""},
        {"https://intranet/", "; Domain=intranet", "intranet", 1, ""},
        {"https://a.localhost/", "; Domain=localhost", "", 0, "domain 'localhost' is a public suffix"},
        // Addresses.
        {"https://10.0.0.1/", "", "10.0.0.1", 1, ""},
        {"https://10.0.0.1/", "; Domain=10.0.0.1", "10.0.0.1", 1, ""},
        {"https://10.0.0.1/", "; Domain=0.0.1", "", 0, "'0.0.0.1' is an IP address"},
        {"https://10.0.0.1/", "; Domain=10.0.0.2", "", 0, "'10.0.0.2' is an IP address"},
        {"https://a.example/", "; Domain=10.0.0.2", "", 0, "'10.0.0.2' is an IP address"},
        {"https://[2001:DB8::1]/", "; Domain=[2001:db8::1]", "[2001:db8::1]", 1, ""},
        {"https://[2001:db8::1]/", "; Domain=[2001:db8::2]", "", 0, "is an IP address"},
        // A host outside of ASCII has one spelling.
        {"https://b\xc3\xbc"
         "cher.example/",
         "", "xn--bcher-kva.example", 1, ""}}) {
    CAPTURE(at.from);
    CAPTURE(at.attribute);
    auto parsed = parse(at.from, "a=secret" + std::string(at.attribute));
    if (at.domain.empty()) {
      check_refused(parsed, at.rule);
      continue;
    }
    REQUIRE(parsed);
    CHECK(parsed->domain == at.domain);
    CHECK(parsed->host_only == at.host_only);
  }
}

TEST_CASE("R21: a domain has at most 254 bytes") {
  std::string longest;
  while (longest.size() < 240)
    longest += "abcdefghi.";
  longest += "abcdefgh.xyzab"; // 254
  REQUIRE(longest.size() == 254);
  auto kept = parse("https://" + longest + "/", "a=1");
  REQUIRE(kept);
  CHECK(kept->domain == longest);
  check_refused(parse("https://x" + longest + "/", "a=secret"),
                "cookie 'a' is refused: its domain has 255 bytes; the limit is 254");
}

TEST_CASE("the Path attribute is taken as it is or replaced by the default path") {
  struct row {
    std::string_view attributes;
    std::string_view path;
  };
  for (const auto& at : {row{"Path=/a/b", "/a/b"},
                         {"Path=/a/", "/a/"},
                         {"Path=/A b%20", "/A b%20"},
                         {"Path=", "/x"},
                         {"Path", "/x"},
                         {"Path=a", "/x"},
                         {"Path=/a; Path=/b", "/b"},
                         {"Path=/a; Path=b", "/x"}}) {
    CAPTURE(at.attributes);
    auto parsed = parse("https://h.example/x/y", "a=1; " + std::string(at.attributes));
    REQUIRE(parsed);
    CHECK(parsed->path == at.path);
  }
}

TEST_CASE("the SameSite attribute is kept and None needs Secure") {
  struct row {
    std::string_view attributes;
    same_site kept;
  };
  for (const auto& at : {row{"", same_site::unspecified},
                         {"SameSite", same_site::unspecified},
                         {"SameSite=", same_site::unspecified},
                         {"SameSite=Relaxed", same_site::unspecified},
                         {"SameSite=Lax", same_site::lax},
                         {"samesite=STRICT", same_site::strict},
                         {"SameSite=none; Secure", same_site::none},
                         {"SameSite=None; SameSite=Lax", same_site::lax},
                         {"SameSite=Strict; SameSite=unknown", same_site::unspecified}}) {
    CAPTURE(at.attributes);
    auto parsed = parse("https://h.example/", "a=1; " + std::string(at.attributes));
    REQUIRE(parsed);
    CHECK(parsed->same_site == at.kept);
  }
  check_refused(parse("https://h.example/", "a=secret; SameSite=None"),
                "cookie 'a' is refused: SameSite=None needs Secure");
  CHECK(static_cast<int>(same_site::unspecified) == 0);
  CHECK(static_cast<int>(same_site::lax) == 1);
  CHECK(static_cast<int>(same_site::strict) == 2);
  CHECK(static_cast<int>(same_site::none) == 3);
}

TEST_CASE("a name with a prefix keeps its promise or is refused") {
  // The examples of 5.4, and what is around them; from https://www.site.example/.
  for (auto good :
       {"__Secure-SID=1; Domain=site.example; Secure"sv, "__secure-SID=1; Domain=site.example; Secure"sv,
        "__SECURE-SID=1; Domain=site.example; Secure"sv, "__Host-SID=1; Secure; Path=/"sv,
        "__host-SID=1; Secure; Path=/"sv, "__HOST-SID=1; Secure; Path=/"sv,
        "__Host-SID=1; Secure; Path=/; Domain="sv, "__Host-SID=1; Secure; Path=x"sv, "__Host=1"sv,
        "__Secure=1"sv, "a__Host-=1"sv, "a=__Host-b"sv, "__Hos"sv, "=__Host"sv}) {
    CAPTURE(good);
    CHECK(parse("https://www.site.example/", good));
  }
  for (auto bad : {"__Secure-SID=1; Domain=site.example"sv, "__secure-SID=1; Domain=site.example"sv,
                   "__SECURE-SID=1; Domain=site.example"sv}) {
    CAPTURE(bad);
    check_refused(parse("https://www.site.example/", bad), "the prefix __Secure- needs Secure");
  }
  for (auto bad :
       {"__Host-SID=1"sv, "__host-SID=1; Secure"sv, "__host-SID=1; Domain=site.example"sv,
        "__HOST-SID=1; Domain=site.example; Path=/"sv, "__Host-SID=1; Secure; Domain=site.example; Path=/"sv,
        "__host-SID=1; Secure; Domain=site.example; Path=/"sv,
        "__HOST-SID=1; Secure; Domain=www.site.example; Path=/"sv, "__Host-SID=1; Secure; Path=/a"sv,
        "__Host-SID=1; Path=/"sv, "__Host-SID=1; Secure; Path="sv, "__Host-SID=1; Secure; Path"sv,
        "__Host-SID=1; Secure; Path=/; Path="sv}) {
    CAPTURE(bad);
    check_refused(parse("https://www.site.example/", bad),
                  "the prefix __Host- needs Secure, Path=/ and no Domain");
  }
  for (auto bad :
       {"__Host-a"sv, "=__Host-a=secret"sv, "__SECURE-a; Secure"sv, "=__secure-; Secure; Path=/"sv}) {
    CAPTURE(bad);
    check_refused(parse("https://www.site.example/", bad),
                  "a cookie without a name is refused: its value begins like a name with a prefix");
  }
  check_refused(parse("http://www.site.example/", "__Secure-a=secret; Secure"), "not a secure origin");
}

TEST_CASE("the program sets a cookie by the same rules") {
  auto least = make_cookie("a", "1", {.url = "https://www.h.example/x/y"}, now);
  REQUIRE(least);
  CHECK(*least == cookie{.name = "a",
                         .value = "1",
                         .domain = "www.h.example",
                         .path = "/x",
                         .created_ms = now,
                         .used_ms = now,
                         .host_only = 1});

  const auto tomorrow = std::chrono::system_clock::time_point(std::chrono::milliseconds(now)) + 24h;
  auto most = make_cookie(" a\t", " 1 ",
                          {.url = "https://www.h.example/x/y",
                           .domain = ".H.example",
                           .path = "/p",
                           .expires = tomorrow,
                           .secure = true,
                           .http_only = true,
                           .same_site = same_site::none},
                          now);
  REQUIRE(most);
  CHECK(*most == cookie{.name = "a",
                        .value = "1",
                        .domain = "h.example",
                        .path = "/p",
                        .expires_ms = now + 86'400'000,
                        .created_ms = now,
                        .used_ms = now,
                        .host_only = 0,
                        .secure = 1,
                        .http_only = 1,
                        .same_site = same_site::none});

  // A domain alone stands for a secure host of that name.
  auto domain = make_cookie("a", "1", {.domain = "h.example", .secure = true}, now);
  REQUIRE(domain);
  CHECK(*domain == cookie{.name = "a",
                          .value = "1",
                          .domain = "h.example",
                          .path = "/",
                          .created_ms = now,
                          .used_ms = now,
                          .host_only = 0,
                          .secure = 1});
  auto address = make_cookie("a", "1", {.domain = "127.0.0.1"}, now);
  REQUIRE(address);
  CHECK(address->host_only == 1);

  auto age = [](cookie_attributes attributes) {
    attributes.url = "https://h.example/";
    return value_or_throw(make_cookie("a", "1", attributes, now)).expires_ms;
  };
  CHECK(age({.expires = tomorrow, .max_age = 5s}) == now + 5000);
  CHECK(age({.max_age = 0s}) == 1);
  CHECK(age({.max_age = -5s}) == 1);
  CHECK(age({.max_age = std::chrono::seconds::max()}) == now + limit_ms);
  CHECK(age({.expires = std::chrono::system_clock::time_point::max()}) == now + limit_ms);
  CHECK(age({.expires = std::chrono::system_clock::time_point::min()}) == 1);
  CHECK(age({.expires = std::chrono::system_clock::time_point{}}) == 1);
}

TEST_CASE("the program is told what a field would be mended for") {
  struct row {
    std::string name;
    std::string value;
    cookie_attributes attributes;
    std::string_view rule;
  };
  const std::string at_h = "https://h.example/";
  for (const auto& at :
       {row{"a",
            "secret",
            {},
            "cookie 'a' is refused: nothing says where it belongs; give cookie_attributes::url or "
            "cookie_attributes::domain"},
        {"a", "secret", {.path = "/"}, "nothing says where it belongs"},
        {"", " ", {.url = at_h}, "neither a name nor a value"},
        {"a;b", "secret", {.url = at_h}, "cookie 'a;b' is refused: its name contains '=' or ';'"},
        {"a=b", "secret", {.url = at_h}, "its name contains '=' or ';'"},
        {"a", "secret; Path=/", {.url = at_h}, "its value contains ';'"},
        {"", "a=secret", {.url = at_h}, "a cookie without a name is refused: its value contains '='"},
        {"a\nb",
         "secret",
         {.url = at_h},
         R"(cookie 'a\x0ab' is refused: its name contains the control character 0x0a)"},
        {"a", std::string("secret\0", 7), {.url = at_h}, "its value contains the control character 0x00"},
        {"a", std::string(4096, 'v'), {.url = at_h}, "4097 bytes; the limit is 4096"},
        {"a", "secret", {.url = at_h, .path = "p"}, "its path 'p' does not begin with '/'"},
        {"a", "secret", {.url = at_h, .path = "/\r\n"}, "its path contains the control character 0x0d"},
        {"a",
         "secret",
         {.url = at_h, .path = "/" + std::string(1024, 'p')},
         "its path has 1025 bytes; the limit is 1024"},
        {"a",
         "secret",
         {.url = at_h, .domain = "other.example"},
         "host 'h.example' is not in domain 'other.example'"},
        {"a",
         "secret",
         {.url = at_h, .domain = std::string(255, 'd')},
         "its domain has 255 bytes; the limit is 254"},
        {"a", "secret", {.url = at_h, .domain = "example"}, "domain 'example' is a public suffix"},
        {"a", "secret", {.domain = "h.example/x"}, "its domain 'h.example/x' is not a host name"},
        {"a", "secret", {.domain = "u@h.example"}, "its domain 'u@h.example' is not a host name"},
        {"a",
         "secret",
         {.url = "http://h.example/", .secure = true},
         "it is Secure and 'http://h.example' is not a secure origin"},
        {"a", "secret", {.url = at_h, .same_site = same_site::none}, "SameSite=None needs Secure"},
        {"a",
         "secret",
         {.url = at_h, .same_site = static_cast<same_site>(4)},
         "there is no SameSite number 4"},
        {"__Host-a",
         "secret",
         {.url = at_h, .secure = true},
         "the prefix __Host- needs Secure, Path=/ and no Domain"}}) {
    CAPTURE(at.rule);
    check_refused(make_cookie(at.name, at.value, at.attributes, now), at.rule);
  }
  CHECK(make_cookie("__Host-a", "1", {.url = at_h, .path = "/", .secure = true}, now));
  for (const auto& attributes :
       {cookie_attributes{.url = "h.example"}, cookie_attributes{.domain = "h example"},
        cookie_attributes{.domain = "."}}) {
    auto refused = make_cookie("a", "1", attributes, now);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == errc::invalid_url);
  }
}

TEST_CASE("a cookie has stable bytes and comes back from them as it was") {
  cookie c{.name = "n",
           .value = "vw",
           .domain = "d.e",
           .path = "/",
           .expires_ms = 1,
           .created_ms = 2,
           .used_ms = 3,
           .host_only = 1,
           .secure = 1,
           .http_only = 0,
           .same_site = same_site::strict};
  auto text = [](std::string_view s) {
    return std::string(1, static_cast<char>(s.size())) + std::string(7, '\0') + std::string(s);
  };
  auto number = [](char n) { return std::string(1, n) + std::string(7, '\0'); };
  CHECK(encode(c) == text("n") + text("vw") + text("d.e") + text("/") + number(1) + number(2) + number(3) +
                         std::string("\1\1\0\2", 4));
  auto back = decode<cookie>(encode(c));
  REQUIRE(back);
  CHECK(*back == c);
  c.value = "x";
  CHECK(*back != c);
}

TEST_CASE("R21: stored cookies are checked like any others") {
  struct row {
    void (*damage)(cookie&);
    std::string_view rule;
  };
  CHECK(validate(plain()));
  for (const auto& at :
       {row{[](cookie& c) { c.name = c.value = ""; }, "neither a name nor a value"},
        {[](cookie& c) { c.name = "a\n"; }, "its name contains the control character 0x0a"},
        {[](cookie& c) { c.name = "a=b"; }, "its name contains '=' or ';'"},
        {[](cookie& c) { c.name = " a"; }, "begins or ends with white space"},
        {[](cookie& c) { c.value = "a\t"; }, "begins or ends with white space"},
        {[](cookie& c) { c.value = "a\r\nX: y"; }, "its value contains the control character 0x0d"},
        {[](cookie& c) { c.value = "1; b=2"; }, "its value contains ';'"},
        {[](cookie& c) { c.value = std::string(4096, 'v'); }, "4097 bytes; the limit is 4096"},
        {[](cookie& c) { c.domain = ""; }, "is not a host name in lower case"},
        {[](cookie& c) { c.domain = "H.example"; }, "is not a host name in lower case"},
        {[](cookie& c) { c.domain = ".h.example"; }, "is not a host name in lower case"},
        {[](cookie& c) { c.domain = "h..example"; }, "is not a host name in lower case"},
        {[](cookie& c) { c.domain = "h/x"; }, "is not a host name in lower case"},
        {[](cookie& c) { c.domain = "[::1"; }, "is not a host name in lower case"},
        {[](cookie& c) { c.domain = "[::1].x"; }, "is not a host name in lower case"},
        {[](cookie& c) { c.domain = "[::1]]"; }, "is not a host name in lower case"},
        {[](cookie& c) { c.domain = std::string(255, 'd'); }, "its domain has 255 bytes; the limit is 254"},
        {[](cookie& c) { c.path = ""; }, "its path '' does not begin with '/'"},
        {[](cookie& c) { c.path = "a"; }, "does not begin with '/'"},
        {[](cookie& c) { c.path = "/\n"; }, "its path contains the control character 0x0a"},
        {[](cookie& c) { c.path.resize(1025, 'p'); }, "its path has 1025 bytes; the limit is 1024"},
        {[](cookie& c) { c.expires_ms = -1; }, "it expires before 1970"},
        {[](cookie& c) { c.host_only = 2; }, "a flag is neither 0 nor 1"},
        {[](cookie& c) { c.secure = 2; }, "a flag is neither 0 nor 1"},
        {[](cookie& c) { c.http_only = 255; }, "a flag is neither 0 nor 1"},
        {[](cookie& c) { c.same_site = static_cast<same_site>(4); }, "there is no SameSite number 4"},
        {[](cookie& c) { c.same_site = same_site::none; }, "SameSite=None needs Secure"},
        {[](cookie& c) { c.host_only = 0, c.domain = "1.2.3.4"; }, "is an IP address"},
        {[](cookie& c) { c.host_only = 0, c.domain = "\xc3\xbc.example"; }, "is not ASCII"},
        {[](cookie& c) { c.name = "__secure-a"; }, "the prefix __Secure- needs Secure"},
        {[](cookie& c) { c.name = "__host-a"; }, "the prefix __Host- needs Secure, Path=/ and no Domain"},
        {[](cookie& c) { c.name = "__host-a", c.secure = 1, c.path = "/a"; }, "the prefix __Host- needs"},
        {[](cookie& c) { c.name = "__host-a", c.secure = 1, c.host_only = 0; }, "the prefix __Host- needs"},
        {[](cookie& c) { c.name = "", c.value = "__host-a"; }, "begins like a name with a prefix"}}) {
    CAPTURE(at.rule);
    auto damaged = plain();
    at.damage(damaged);
    auto invalid = validate(damaged);
    REQUIRE_FALSE(invalid);
    CHECK(invalid.error().code == errc::invalid_cookie);
    CHECK(contains(invalid.error().message, at.rule));
    auto refused = decode<cookie>(encode(damaged));
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == errc::corrupt);
    CHECK(contains(refused.error().message, "invalid_cookie"));
    CHECK(contains(refused.error().message, at.rule));
  }
}

} // namespace dormouse::test::cookie_test
