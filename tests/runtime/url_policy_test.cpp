#include "outcome.hpp"
#include "proxy/url_policy.hpp"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <cstring>
#include <string>
#include <vector>

namespace dormouse::test::url_policy_test {
namespace {

bool is_special(const std::string& text) {
  sockaddr_storage where{};
  if (text.find(':') == std::string::npos) {
    auto& four = reinterpret_cast<sockaddr_in&>(where);
    four.sin_family = AF_INET;
    REQUIRE(::inet_pton(AF_INET, text.c_str(), &four.sin_addr) == 1);
  } else {
    auto& six = reinterpret_cast<sockaddr_in6&>(where);
    six.sin6_family = AF_INET6;
    REQUIRE(::inet_pton(AF_INET6, text.c_str(), &six.sin6_addr) == 1);
  }
  return is_special_address(reinterpret_cast<const sockaddr&>(where));
}

url_policy policy(const std::vector<std::string>& allow) { return value_or_throw(url_policy::make(allow)); }

expected<reach> check(const std::vector<std::string>& allow, const std::string& target) {
  return parse_url(target).and_then([&](const url& parsed) { return policy(allow).check(parsed); });
}

bool is_blocked(const std::vector<std::string>& allow, const std::string& target) {
  auto outcome = check(allow, target);
  return !outcome && outcome.error().code == errc::blocked;
}

} // namespace

TEST_CASE("R13: every address that is not part of the public Internet is special") {
  for (const std::string text : {"0.0.0.0",
                                 "0.255.255.255",
                                 "10.0.0.0",
                                 "10.255.255.255",
                                 "100.64.0.0",
                                 "100.127.255.255",
                                 "127.0.0.1",
                                 "127.255.255.255",
                                 "169.254.0.0",
                                 "169.254.169.254",
                                 "169.254.255.255",
                                 "172.16.0.0",
                                 "172.31.255.255",
                                 "192.0.0.1",
                                 "192.0.0.192",
                                 "192.0.2.1",
                                 "192.88.99.1",
                                 "192.168.0.0",
                                 "192.168.255.255",
                                 "198.18.0.0",
                                 "198.19.255.255",
                                 "198.51.100.7",
                                 "203.0.113.9",
                                 "224.0.0.1",
                                 "239.255.255.255",
                                 "240.0.0.1",
                                 "255.255.255.255",
                                 "::",
                                 "::1",
                                 "::7f00:1",
                                 "::ffff:127.0.0.1",
                                 "::ffff:10.0.0.1",
                                 "::ffff:169.254.169.254",
                                 "64:ff9b::7f00:1",
                                 "64:ff9b::a9fe:a9fe",
                                 "64:ff9b:1::1",
                                 "100::1",
                                 "2001::1",
                                 "2001:0:53aa:64c::1",
                                 "2001:2::1",
                                 "2001:10::1",
                                 "2001:1ff::1",
                                 "2001:db8::1",
                                 "2002:7f00:1::1",
                                 "2002:a9fe:a9fe::1",
                                 "2002:c0a8:1::1",
                                 "4000::1",
                                 "fc00::1",
                                 "fd00:ec2::254",
                                 "fe80::1",
                                 "febf::1",
                                 "fec0::1",
                                 "ff02::1"}) {
    CAPTURE(text);
    CHECK(is_special(text));
  }
}

TEST_CASE("R13: public addresses are not special, the neighbours of the special blocks included") {
  for (const std::string text : {"1.0.0.0",
                                 "1.1.1.1",
                                 "8.8.8.8",
                                 "9.255.255.255",
                                 "11.0.0.0",
                                 "100.63.255.255",
                                 "100.128.0.0",
                                 "126.255.255.255",
                                 "128.0.0.0",
                                 "169.253.255.255",
                                 "169.255.0.0",
                                 "172.15.255.255",
                                 "172.32.0.0",
                                 "192.0.1.0",
                                 "192.0.3.0",
                                 "192.167.255.255",
                                 "192.169.0.0",
                                 "198.17.255.255",
                                 "198.20.0.0",
                                 "203.0.112.255",
                                 "203.0.114.0",
                                 "223.255.255.255",
                                 "2000::1",
                                 "2001:200::1",
                                 "2001:4860:4860::8888",
                                 "2001:db7::1",
                                 "2001:db9::1",
                                 "2002:808:808::1",
                                 "2606:4700:4700::1111",
                                 "3fff:ffff::1",
                                 "::ffff:8.8.8.8",
                                 "64:ff9b::808:808"}) {
    CAPTURE(text);
    CHECK_FALSE(is_special(text));
  }
}

TEST_CASE("R13: an address of another family is special") {
  sockaddr_un local{};
  local.sun_family = AF_UNIX;
  CHECK(is_special_address(reinterpret_cast<const sockaddr&>(local)));
}

TEST_CASE("R13: an empty allowlist allows nothing") {
  auto outcome = check({}, "https://example.com/");
  REQUIRE_FALSE(outcome);
  CHECK(outcome.error().code == errc::blocked);
  CHECK(test::contains(outcome.error().message, "example.com"));
  CHECK(test::contains(outcome.error().message, "options::allow"));
}

TEST_CASE("R13: a host is allowed as a whole, a host with a port on that port only") {
  CHECK(check({"example.com"}, "http://example.com/") == reach::anywhere);
  CHECK(check({"example.com"}, "https://EXAMPLE.com:8443/x") == reach::anywhere);
  CHECK(check({"Example.COM."}, "https://example.com./") == reach::anywhere);
  for (const std::string other : {"http://www.example.com/", "http://example.com.evil.org/",
                                  "http://evilexample.com/", "http://example.co/", "http://com/"}) {
    CAPTURE(other);
    CHECK(is_blocked({"example.com"}, other));
  }
  CHECK(check({"example.com:8080"}, "http://example.com:8080/") == reach::anywhere);
  CHECK(is_blocked({"example.com:8080"}, "http://example.com/"));
  CHECK(is_blocked({"example.com:80"},
                   "https://example.com/")); // a default port that is written counts as written
  CHECK(check({"example.com:80"}, "http://example.com/") == reach::anywhere);
  CHECK(check({"[::1]:8080"}, "http://[0:0:0:0:0:0:0:1]:8080/") == reach::anywhere);
  CHECK(is_blocked({"[::1]:8080"}, "http://[::1]/"));
}

TEST_CASE("R13: a wildcard allows what is below its domain, and nothing that is not public") {
  CHECK(check({"*.example.com"}, "http://a.example.com/") == reach::public_only);
  CHECK(check({"*.example.com"}, "http://a.b.example.com/") == reach::public_only);
  for (const std::string other : {"http://example.com/", "http://aexample.com/", "http://evilexample.com/",
                                  "http://.example.com/", "http://example.com.evil.org/"}) {
    CAPTURE(other);
    CHECK_FALSE(check({"*.example.com"}, other));
  }
  CHECK(check({"*"}, "http://anything.org/") == reach::public_only);
  CHECK(check({"*"}, "http://8.8.8.8/") == reach::public_only);
  CHECK(check({"*", "127.0.0.1"}, "http://127.0.0.1/") == reach::anywhere);
  CHECK(check({"127.0.0.1", "*"}, "http://127.0.0.1/") == reach::anywhere);
  CHECK(check({"*", "localhost:8080"}, "http://localhost:8081/") == reach::public_only);
  auto outcome = check({"*"}, "http://169.254.169.254/latest/meta-data");
  REQUIRE_FALSE(outcome);
  CHECK(outcome.error().code == errc::blocked);
  CHECK(test::contains(outcome.error().message, "169.254.169.254"));
  CHECK(test::contains(outcome.error().message, "options::allow"));
}

TEST_CASE("R13: no spelling of a special address gets past a wildcard") {
  for (const std::string text : {"http://127.0.0.1/",
                                 "http://2130706433/",
                                 "http://0x7f000001/",
                                 "http://0X7F.1/",
                                 "http://017700000001/",
                                 "http://0177.0.0.1/",
                                 "http://127.1/",
                                 "http://127.0.1/",
                                 "http://127.0.0.1./",
                                 "http://%31%32%37.0.0.1/",
                                 "http://0/",
                                 "http://0x0/",
                                 "http://[::1]/",
                                 "http://[0:0:0:0:0:0:0:1]/",
                                 "http://[::ffff:127.0.0.1]/",
                                 "http://[::ffff:7f00:1]/",
                                 "http://[::127.0.0.1]/",
                                 "http://[64:ff9b::127.0.0.1]/",
                                 "http://[fe80::1%25lo]/",
                                 "http://3232235521/",
                                 "http://0xa9fea9fe/",
                                 "http://169.254.43518/",
                                 "http://user@127.0.0.1/",
                                 "http://user:secret@127.0.0.1/",
                                 "http://example.com@127.0.0.1/",
                                 "http://example.com:80@127.0.0.1/",
                                 "http://example.com%2f@127.0.0.1/",
                                 "http://\xef\xbc\x91\xef\xbc\x92\xef\xbc\x97.0.0.1/",
                                 "http://127\xe3\x80\x82"
                                 "0\xe3\x80\x82"
                                 "0\xe3\x80\x82"
                                 "1/"}) {
    CAPTURE(text);
    auto outcome = check({"*"}, text);
    // Refused either way: as no host at all, or as a special one. What looks like a name goes on to the check
    // of the socket.
    if (outcome) {
      auto parsed = value_or_throw(parse_url(text));
      CAPTURE(parsed.host);
      CHECK(parsed.host.find_first_not_of("0123456789.") != std::string::npos);
      CHECK(parsed.host.front() != '[');
      CHECK(*outcome == reach::public_only);
    }
  }
  // Those that name the address are refused here and do not wait for the socket.
  for (const std::string text :
       {"http://2130706433/", "http://0x7f000001/", "http://017700000001/", "http://127.1/", "http://[::1]/",
        "http://[::ffff:127.0.0.1]/", "http://0xa9fea9fe/", "http://user@127.0.0.1/",
        "http://example.com@127.0.0.1/"}) {
    CAPTURE(text);
    CHECK(is_blocked({"*"}, text));
  }
}

TEST_CASE("R13: tricks with user info and separators do not make another host look allowed") {
  for (const std::string text :
       {"http://example.com@127.0.0.1/", "http://example.com:80@127.0.0.1/", "http://127.0.0.1/@example.com",
        "http://127.0.0.1#@example.com/", "http://127.0.0.1?@example.com/",
        "http://127.0.0.1%23@example.com.evil.org/", "http://example.com.127.0.0.1/",
        "http://example.com%00.evil.org/", "http://example.com%2eevil.org/"}) {
    CAPTURE(text);
    CHECK_FALSE(check({"example.com"}, text));
  }
  // A backslash is a slash, which libcurl would take for user info. What counts is that the host that is
  // judged is the one that is connected to.
  auto parsed = value_or_throw(parse_url("http://127.0.0.1\\@example.com/"));
  CHECK(parsed.host == "127.0.0.1");
  CHECK(parsed.target() == "http://127.0.0.1/@example.com/");
  CHECK(value_or_throw(parse_url(parsed.target())).host == "127.0.0.1");
}

TEST_CASE("R26: an entry and a host mean the same in every spelling") {
  for (const std::string entry :
       {"bücher.example", "BÜCHER.example", "xn--bcher-kva.example", "XN--BCHER-KVA.example"})
    for (const std::string host :
         {"bücher.example", "b%C3%BCcher.example", "Xn--Bcher-Kva.Example", "bücher。example"}) {
      CAPTURE(entry);
      CAPTURE(host);
      CHECK(check({entry}, "http://" + host + "/") == reach::anywhere);
      CHECK(check({"*." + entry}, "http://www." + host + "/") == reach::public_only);
    }
  CHECK_FALSE(check({"bücher.example"}, "http://bucher.example/"));
  CHECK(check({"127.0.0.①"}, "http://127.0.0.1/") == reach::anywhere);
  for (const std::string host : {"169。254。169。254", "127.0.0.１", "127.0.0.①", "０ｘ7f.1"}) {
    CAPTURE(host);
    CHECK(is_blocked({"*"}, "http://" + host + "/"));
  }
}

TEST_CASE("R13: only http and https") {
  for (const std::string text : {"ftp://example.com/", "file:///etc/passwd", "gopher://example.com/",
                                 "dict://example.com/", "ws://example.com/", "scp://example.com/"}) {
    CAPTURE(text);
    auto outcome = check({"*", "example.com"}, text);
    REQUIRE_FALSE(outcome);
    CHECK((outcome.error().code == errc::blocked || outcome.error().code == errc::invalid_url));
  }
}

TEST_CASE("an entry of the allowlist that is none is refused by name") {
  for (const std::string text : {"",
                                 " ",
                                 "http://example.com",
                                 "example.com/path",
                                 "a b",
                                 "*.",
                                 "*.*.com",
                                 "*example.com",
                                 "ex*mple.com",
                                 "user@example.com",
                                 "example.com?x",
                                 "example.com#x",
                                 "example.com:",
                                 "example.com:0",
                                 "example.com:99999",
                                 "example.com:http",
                                 "999.1.1.1",
                                 "[::1",
                                 "a\\b",
                                 "exa\tmple.com",
                                 " example.com",
                                 "☕.example",
                                 "a,b"}) {
    CAPTURE(text);
    auto made = url_policy::make({"good.example", text});
    REQUIRE_FALSE(made);
    CHECK(made.error().code == errc::invalid_option);
    CHECK(test::contains(made.error().message, std::string("'") + text + "'"));
    CHECK(test::contains(made.error().message, "options::allow"));
  }
}

} // namespace dormouse::test::url_policy_test
