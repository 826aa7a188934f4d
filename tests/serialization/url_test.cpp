#include <dormouse/serialization/url.hpp>

#include <doctest/doctest.h>

#include <string>
#include <string_view>

namespace dormouse::test::url_test {

using namespace std::string_view_literals;

namespace {

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

std::string whole(const url& u) { return u.target() + (u.fragment.empty() ? "" : "#" + u.fragment); }

} // namespace

TEST_CASE("a URL is taken apart") {
  auto u = parse_url("https://us%20er:pa%3ass@Example.COM:8443/a/b?c=d&e#f");
  REQUIRE(u);
  CHECK(*u == url{"https", "us er", "pa:ss", "example.com", 8443, "/a/b", "c=d&e", "f"});
  CHECK(u->origin() == "https://example.com:8443");
  CHECK(u->target() == "https://example.com:8443/a/b?c=d&e");

  auto least = parse_url("http://h");
  REQUIRE(least);
  CHECK(*least == url{"http", "", "", "h", 80, "/", "", ""});
  CHECK(least->target() == "http://h/");
}

TEST_CASE("R13: only http and https are schemes") {
  for (auto good : {"http://h/"sv, "HTTP://h/"sv, "hTTpS://h/"sv}) {
    CAPTURE(good);
    auto u = parse_url(good);
    REQUIRE(u);
    CHECK((u->scheme == "http" || u->scheme == "https"));
  }
  for (auto bad : {"ftp://h/"sv, "file:///etc/passwd"sv, "gopher://h/"sv, "dict://h/"sv, "ws://h/"sv,
                   "smb://h/"sv, "http+unix://h/"sv, "telnet://h/"sv}) {
    CAPTURE(bad);
    auto u = parse_url(bad);
    REQUIRE_FALSE(u);
    CHECK(u.error().code == errc::blocked);
    CHECK(contains(u.error().message, bad));
    CHECK(contains(u.error().message, "only http and https"));
  }
}

TEST_CASE("what is not an absolute URL is refused by name") {
  for (auto bad : {""sv,
                   "h"sv,
                   "/path"sv,
                   "//h/path"sv,
                   "?q"sv,
                   "#f"sv,
                   "http:"sv,
                   "http:/"sv,
                   "http://"sv,
                   "http:h"sv,
                   "http://?q"sv,
                   "http://#f"sv,
                   "http:////h/"sv,
                   "javascript:alert(1)"sv,
                   "data:,x"sv,
                   "mailto:a@h"sv,
                   " http://h/"sv,
                   "http://h /"sv,
                   "http://h\\p/"sv,
                   "http://a<b/"sv,
                   "http://a,b/"sv,
                   "http://a^b/"sv,
                   "http://a@b@h/"sv,
                   "http://h/a\tb"sv,
                   "http://h/a\r\nb"sv,
                   "http://h/\x01"sv,
                   "http://h/\x7f"sv}) {
    CAPTURE(bad);
    auto u = parse_url(bad);
    REQUIRE_FALSE(u);
    CHECK(u.error().code == errc::invalid_url);
    CHECK(contains(u.error().message, "URL '"));
    CHECK_FALSE(contains(u.error().message, "\n"));
  }
}

TEST_CASE("a NUL does not cut a URL short") {
  for (auto bad : {"http://good.example\0.evil.example/"sv, "http://h/\0"sv, "\0http://h/"sv}) {
    auto u = parse_url(bad);
    REQUIRE_FALSE(u);
    CHECK(u.error().code == errc::invalid_url);
    CHECK(contains(u.error().message, "NUL"));
  }
}

TEST_CASE("R12: a URL has at most 65536 bytes") {
  std::string start = "http://h/";
  auto longest = parse_url(start + std::string(65'536 - start.size(), 'a'));
  REQUIRE(longest);
  CHECK(longest->path.size() == 65'536 - start.size() + 1);
  auto refused = parse_url(start + std::string(65'537 - start.size(), 'a'));
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == errc::invalid_url);
  CHECK(contains(refused.error().message, "65537 bytes"));
  CHECK(contains(refused.error().message, "limit is 65536"));
  CHECK(refused.error().message.size() < 400);
}

TEST_CASE("a port is 1 to 65535 and a default one is no part of the origin") {
  struct row {
    std::string_view text;
    std::uint16_t port;
    std::string_view origin;
  };
  for (const auto& at : {row{"http://h/", 80, "http://h"},
                         {"http://h:80/", 80, "http://h"},
                         {"http://h:/", 80, "http://h"},
                         {"https://h/", 443, "https://h"},
                         {"https://h:443", 443, "https://h"},
                         {"http://h:443/", 443, "http://h:443"},
                         {"https://h:80/", 80, "https://h:80"},
                         {"http://h:1/", 1, "http://h:1"},
                         {"http://h:65535/", 65535, "http://h:65535"},
                         {"http://h:0080/", 80, "http://h"},
                         {"http://[::1]:81/", 81, "http://[::1]:81"}}) {
    CAPTURE(at.text);
    auto u = parse_url(at.text);
    REQUIRE(u);
    CHECK(u->port == at.port);
    CHECK(u->origin() == at.origin);
  }
  for (auto bad : {"http://h:0/"sv, "http://h:65536/"sv, "http://h:99999999999999999999/"sv, "http://h:-1/"sv,
                   "http://h:+1/"sv, "http://h:8a/"sv, "http://h: 80/"sv, "http://h:80:80/"sv}) {
    CAPTURE(bad);
    auto u = parse_url(bad);
    REQUIRE_FALSE(u);
    CHECK(u.error().code == errc::invalid_url);
  }
}

TEST_CASE("R13: a host has one spelling whatever was written") {
  struct row {
    std::string_view text;
    std::string_view host;
  };
  for (const auto& at : {row{"http://EXAMPLE.com/", "example.com"},
                         {"http://LocalHost/", "localhost"},
                         {"http://%6cocalhost/", "localhost"},
                         {"http://%4COCALHOST/", "localhost"},
                         // IPv4 in decimal, octal and hexadecimal, whole and in parts.
                         {"http://127.0.0.1/", "127.0.0.1"},
                         {"http://2130706433/", "127.0.0.1"},
                         {"http://017700000001/", "127.0.0.1"},
                         {"http://0x7f000001/", "127.0.0.1"},
                         {"http://0X7F000001/", "127.0.0.1"},
                         {"http://127.1/", "127.0.0.1"},
                         {"http://127.0.1/", "127.0.0.1"},
                         {"http://0x7f.1/", "127.0.0.1"},
                         {"http://0177.0.0.01/", "127.0.0.1"},
                         {"http://127.0.0.0x1/", "127.0.0.1"},
                         {"http://0/", "0.0.0.0"},
                         {"http://169.254.43518/", "169.254.169.254"},
                         {"http://4294967295/", "255.255.255.255"},
                         // The same behind percent-encoding.
                         {"http://%31%32%37.0.0.1/", "127.0.0.1"},
                         {"http://127%2e0%2E0.1/", "127.0.0.1"},
                         {"http://127%2e1/", "127.0.0.1"},
                         {"http://%30x7f000001/", "127.0.0.1"},
                         {"http://%32130706433/", "127.0.0.1"},
                         {"http://[::1]/", "[::1]"},
                         {"http://[0:0:0:0:0:0:0:1]/", "[::1]"},
                         {"http://[::FFFF:127.0.0.1]/", "[::ffff:127.0.0.1]"},
                         {"http://[2001:DB8::A]/", "[2001:db8::a]"},
                         {"http://[fe80::1%25eth0]/", "[fe80::1]"}}) {
    CAPTURE(at.text);
    auto u = parse_url(at.text);
    REQUIRE(u);
    CHECK(u->host == at.host);
    // What is asked for is what was judged: whoever opens the target reads the same host in it.
    auto again = parse_url(u->target());
    REQUIRE(again);
    CHECK(again->host == u->host);
    CHECK(again->target() == u->target());
  }
}

TEST_CASE("R13: a host that could be read in two ways is refused") {
  for (auto bad :
       {"http://256.1.1.1/"sv,   "http://4294967296/"sv, "http://0x100000000/"sv, "http://1.2.65536/"sv,
        "http://1.2.3.4.5/"sv,   "http://08.1/"sv,       "http://0x/"sv,          "http://127.0.0.1./"sv,
        "http://2130706433./"sv, "http://127.0.0.09/"sv, "http://a.0x7f/"sv,      "http://%2531/"sv,
        "http://%252e/"sv,       "http://%25/"sv,        "http://h%/"sv,          "http://h%2/"sv,
        "http://h%zz/"sv,        "http://[::1/"sv,       "http://[::g]/"sv,       "http://[]/"sv,
        "http://[1.2.3.4]/"sv,   "http://::1/"sv,        "http://%5b::1%5d/"sv,   "http://local%00host/"sv,
        "http://a%2fb/"sv,       "http://a%40b/"sv,      "http://a%3a80/"sv,      "http://a%20b/"sv,
        "http://a%0d%0ab/"sv}) {
    CAPTURE(bad);
    auto u = parse_url(bad);
    REQUIRE_FALSE(u);
    CHECK(u.error().code == errc::invalid_url);
  }
  // Digits in a name are just a name.
  for (auto good : {"http://1.example/"sv, "http://127.0.0.1.example/"sv, "http://0x7f.example/"sv,
                    "http://1a/"sv, "http://0xg/"sv, "http://a1/"sv, "http://3com.com./"sv}) {
    CAPTURE(good);
    CHECK(parse_url(good));
  }
}

TEST_CASE("neither credentials nor a fragment are part of what is requested") {
  struct row {
    std::string_view text;
    std::string_view user;
    std::string_view password;
  };
  for (const auto& at : {row{"http://u:p@h/x#f", "u", "p"},
                         {"http://u@h/x", "u", ""},
                         {"http://:p@h/x", "", "p"},
                         {"http://@h/x", "", ""},
                         {"http://u:@h/x", "u", ""},
                         {"http://h:80@h/x", "h", "80"},
                         {"http://a.example%40b:p@h/x", "a.example@b", "p"}}) {
    CAPTURE(at.text);
    auto u = parse_url(at.text);
    REQUIRE(u);
    CHECK(u->user == at.user);
    CHECK(u->password == at.password);
    CHECK(u->host == "h");
    CHECK(u->target() == "http://h/x");
    CHECK(u->origin() == "http://h");
  }
}

TEST_CASE("path and query keep their meaning and leave nothing a request line cannot carry") {
  struct row {
    std::string_view text;
    std::string_view target;
  };
  for (const auto& at : {row{"http://h?q", "http://h/?q"},
                         {"http://h/a b?c d", "http://h/a%20b?c%20d"},
                         {"http://h/a/../b/./c", "http://h/b/c"},
                         {"http://h/../..", "http://h/"},
                         {"http://h/%2f%41?%26", "http://h/%2f%41?%26"},
                         {"http://h/\xc3\xbc", "http://h/%c3%bc"},
                         {"http://h/p?a=b?c", "http://h/p?a=b?c"},
                         {"http://h/p?a/../b", "http://h/p?a/../b"},
                         {"http://h/%0d%0aX", "http://h/%0d%0aX"},
                         {"http://h//a//b", "http://h//a//b"}}) {
    CAPTURE(at.text);
    auto u = parse_url(at.text);
    REQUIRE(u);
    CHECK(u->target() == at.target);
  }
}

TEST_CASE("a reference is resolved as RFC 3986 section 5.4 has it") {
  auto base = parse_url("http://a/b/c/d;p?q#old");
  REQUIRE(base);
  struct row {
    std::string_view reference;
    std::string_view resolved;
  };
  for (const auto& at :
       {// 5.4.1, normal examples. "g:h" and the lenient reading of "http:g" are in the next test.
        row{"g", "http://a/b/c/g"},
        {"./g", "http://a/b/c/g"},
        {"g/", "http://a/b/c/g/"},
        {"/g", "http://a/g"},
        {"//g", "http://g/"},
        {"?y", "http://a/b/c/d;p?y"},
        {"g?y", "http://a/b/c/g?y"},
        {"#s", "http://a/b/c/d;p?q#s"},
        {"g#s", "http://a/b/c/g#s"},
        {"g?y#s", "http://a/b/c/g?y#s"},
        {";x", "http://a/b/c/;x"},
        {"g;x", "http://a/b/c/g;x"},
        {"g;x?y#s", "http://a/b/c/g;x?y#s"},
        {"", "http://a/b/c/d;p?q"},
        {".", "http://a/b/c/"},
        {"./", "http://a/b/c/"},
        {"..", "http://a/b/"},
        {"../", "http://a/b/"},
        {"../g", "http://a/b/g"},
        {"../..", "http://a/"},
        {"../../", "http://a/"},
        {"../../g", "http://a/g"},
        // 5.4.2, abnormal examples.
        {"../../../g", "http://a/g"},
        {"../../../../g", "http://a/g"},
        {"/./g", "http://a/g"},
        {"/../g", "http://a/g"},
        {"g.", "http://a/b/c/g."},
        {".g", "http://a/b/c/.g"},
        {"g..", "http://a/b/c/g.."},
        {"..g", "http://a/b/c/..g"},
        {"./../g", "http://a/b/g"},
        {"./g/.", "http://a/b/c/g/"},
        {"g/./h", "http://a/b/c/g/h"},
        {"g/../h", "http://a/b/c/h"},
        {"g;x=1/./y", "http://a/b/c/g;x=1/y"},
        {"g;x=1/../y", "http://a/b/c/y"},
        {"g?y/./x", "http://a/b/c/g?y/./x"},
        {"g?y/../x", "http://a/b/c/g?y/../x"},
        {"g#s/./x", "http://a/b/c/g#s/./x"},
        {"g#s/../x", "http://a/b/c/g#s/../x"},
        // Absolute ones replace the base.
        {"https://Other:444/x", "https://other:444/x"},
        {"HTTP://x", "http://x/"}}) {
    CAPTURE(at.reference);
    auto u = resolve_url(*base, at.reference);
    REQUIRE(u);
    CHECK(whole(*u) == at.resolved);
  }
}

TEST_CASE("R13: a redirect is judged like any other URL") {
  auto base = parse_url("https://u:p@a:8443/b");
  REQUIRE(base);
  for (auto elsewhere : {"file:///etc/passwd"sv, "ftp://h/"sv, "gopher://h/_x"sv}) {
    CAPTURE(elsewhere);
    auto u = resolve_url(*base, elsewhere);
    REQUIRE_FALSE(u);
    CHECK(u.error().code == errc::blocked);
  }
  for (auto bad : {"g:h"sv, "http:g"sv, "http:"sv, "//"sv, "//h:0/"sv, "//h:65536/"sv, "//256.1.1.1/"sv,
                   "/x\r\nHost: y"sv, "/x\0y"sv}) {
    CAPTURE(bad);
    auto u = resolve_url(*base, bad);
    REQUIRE_FALSE(u);
    CHECK(u.error().code == errc::invalid_url);
  }
  auto numeric = resolve_url(*base, "//0x7f.1/x");
  REQUIRE(numeric);
  CHECK(numeric->target() == "https://127.0.0.1/x");
  auto encoded = resolve_url(*base, "//%30x7f.1/x");
  REQUIRE(encoded);
  CHECK(encoded->host == "127.0.0.1");

  // Credentials do not travel along, neither those of the base nor silently those of the reference.
  for (auto same : {"/c"sv, ""sv, "#f"sv}) {
    auto u = resolve_url(*base, same);
    REQUIRE(u);
    CHECK(u->user.empty());
    CHECK(u->password.empty());
    CHECK(u->origin() == "https://a:8443");
  }
  auto own = resolve_url(*base, "//x:y@h/");
  REQUIRE(own);
  CHECK(own->user == "x");
  CHECK(own->password == "y");
}

} // namespace dormouse::test::url_test
