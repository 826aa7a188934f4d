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
  CHECK(*u == url{"https", "us er", "pa:ss", "example.com", 8443, "/a/b", "c=d&e", "f", false});
  CHECK(u->origin() == "https://example.com:8443");
  CHECK(u->target() == "https://example.com:8443/a/b?c=d&e");

  auto least = parse_url("http://h");
  REQUIRE(least);
  CHECK(*least == url{"http", "", "", "h", 80, "/", "", "", false});
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
                   "http://?q"sv,
                   "http://#f"sv,
                   "http://@"sv,
                   "http://u@/x"sv,
                   "http://:80/"sv,
                   "1http://h/"sv,
                   "javascript:alert(1)"sv,
                   "data:,x"sv,
                   "mailto:a@h"sv,
                   "http://h /"sv,
                   "http://a<b/"sv,
                   "http://a,b/"sv,
                   "http://a^b/"sv,
                   "http://a|b/"sv,
                   "http://a%b/"sv,
                   "http://a\x01/"sv,
                   "http://a\x7f/"sv,
                   "http://a..b/"sv,
                   "http://.a/"sv,
                   "http://./"sv}) {
    CAPTURE(bad);
    auto u = parse_url(bad);
    REQUIRE_FALSE(u);
    CHECK(u.error().code == errc::invalid_url);
    CHECK(contains(u.error().message, "URL '"));
    CHECK_FALSE(contains(u.error().message, "\n"));
  }
}

TEST_CASE("a NUL does not cut a URL short") {
  for (auto bad : {"http://good.example\0.evil.example/"sv, "http://local%00host/"sv}) {
    auto u = parse_url(bad);
    REQUIRE_FALSE(u);
    CHECK(u.error().code == errc::invalid_url);
  }
  auto within = parse_url("http://h/a\0b?c\0d"sv);
  REQUIRE(within);
  CHECK(within->target() == "http://h/a%00b?c%00d");
  auto around = parse_url("\0http://h/\0"sv);
  REQUIRE(around);
  CHECK(around->target() == "http://h/");
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
  // What is encoded is three times as long, and has to be a URL again.
  auto grown = parse_url(start + std::string(30'000, ' ') + "x");
  REQUIRE_FALSE(grown);
  CHECK(contains(grown.error().message, "has 90010 bytes once it is percent-encoded"));
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
  for (const auto& at :
       {row{"http://EXAMPLE.com/", "example.com"},
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
        {"http://[::FFFF:127.0.0.1]/", "[::ffff:7f00:1]"},
        {"http://[2001:DB8::A]/", "[2001:db8::a]"},
        {"http://[1:0:0:2:0:0:0:3]/", "[1:0:0:2::3]"},
        {"http://[1:0:2:0:3:0:4:0]/", "[1:0:2:0:3:0:4:0]"},
        {"http://[1:0:0:2:3:0:0:4]/", "[1::2:3:0:0:4]"},
        {"http://[0:0:0:0:0:0:0:0]/", "[::]"},
        {"http://[1:2:3:4:5:6:0:0]/", "[1:2:3:4:5:6::]"},
        // A dot behind an address, and the shortest hexadecimal number.
        {"http://127.0.0.1./", "127.0.0.1"},
        {"http://2130706433./", "127.0.0.1"},
        {"http://0x/", "0.0.0.0"},
        {"http://0x7f.0x/", "127.0.0.0"},
        {"http://%2531/", ""},
        // What is outside of ASCII, and what only looks like an address.
        {"http://b\xc3\xbc"
         "cher.example/",
         "xn--bcher-kva.example"},
        {"http://B\xc3\x9c"
         "CHER.example/",
         "xn--bcher-kva.example"},
        {"http://bu\xcc\x88"
         "cher.example/",
         "xn--bcher-kva.example"},
        {"http://b%C3%BCcher.example/", "xn--bcher-kva.example"},
        {"http://XN--BCHER-KVA.example/", "xn--bcher-kva.example"},
        {"http://fa\xc3\x9f.example/", "xn--fa-hia.example"}, // non-transitional
        {"http://\xe6\x97\xa5\xe6\x9c\xac\xe3\x80\x82\xef\xbc\xaa\xef\xbc\xb0/", "xn--wgv71a.jp"},
        {"http://\xef\xbc\xa7\xef\xbd\x8f.com/", "go.com"},
        {"http://GOO\xe3\x80\x80goo.com/", ""},
        {"http://www.foo\xe3\x80\x82"
         "bar.com/",
         "www.foo.bar.com"},
        {"http://\xef\xbc\x85\xef\xbc\x94\xef\xbc\x91.com/", ""}, // full-width "%41"
        {"http://%ef%bc%85%ef%bc%94%ef%bc%91.com/", ""},
        {"http://\xef\xbf\xbd.com/", ""},
        {"http://\xff.com/", ""},
        {"http://a\xc2\xad"
         "b.example/",
         "ab.example"}, // a soft hyphen
        {"http://\xc2\xad/", ""},
        {"http://xn--/", ""},
        {"http://xn--a/", ""},
        {"http://xn--53h.example/", "xn--53h.example"},
        {"http://a\xe2\x84\x80.example/", ""}, // maps to "aa/c"
        {"http://169\xe3\x80\x82"
         "254\xe3\x80\x82"
         "169\xe3\x80\x82"
         "254/",
         "169.254.169.254"},
        {"http://127.0.0.\xef\xbc\x91/", "127.0.0.1"}, // a full-width digit
        {"http://127.0.0.\xe2\x91\xa0/", "127.0.0.1"}, // one in a circle
        {"http://127%E3%80%820%E3%80%821/", "127.0.0.1"},
        {"http://\xef\xbc\x90\xef\xbc\xb8\xef\xbd\x83\xef\xbc\x90\xef\xbc\x8e\xef\xbc\x90\xef\xbc\x92"
         "\xef\xbc\x95\xef\xbc\x90\xef\xbc\x8e\xef\xbc\x90\xef\xbc\x91/",
         "192.168.0.1"}, // "0Xc0.0250.01"
        {"http://\xef\xbc\x90\xef\xbc\xb8"
         "7f000001/",
         "127.0.0.1"}}) {
    CAPTURE(at.text);
    auto u = parse_url(at.text);
    REQUIRE(u.has_value() == !at.host.empty());
    if (!u) continue;
    CHECK(u->host == at.host);
    // What is asked for is what was judged: whoever opens the target reads the same host in it.
    auto again = parse_url(u->target());
    REQUIRE(again);
    CHECK(again->host == u->host);
    CHECK(again->target() == u->target());
  }
}

TEST_CASE("R13: a host that could be read in two ways is refused") {
  for (auto bad : {"http://256.1.1.1/"sv,
                   "http://4294967296/"sv,
                   "http://0x100000000/"sv,
                   "http://1.2.65536/"sv,
                   "http://1.2.3.4.5/"sv,
                   "http://08.1/"sv,
                   "http://127.0.0.09/"sv,
                   "http://a.0x7f/"sv,
                   "http://a.0x/"sv,
                   "http://1.2.3.4.example.1/"sv,
                   "http://127.0.0.1../"sv,
                   "http://0x1.2.3.4.5/"sv,
                   "http://99999999999999999999999/"sv,
                   "http://256.256.256.256.256/"sv,
                   "http://1..0/"sv,
                   "http://%2531/"sv,
                   "http://%252e/"sv,
                   "http://%25/"sv,
                   "http://h%/"sv,
                   "http://h%2/"sv,
                   "http://h%zz/"sv,
                   "http://[::1/"sv,
                   "http://[::g]/"sv,
                   "http://[]/"sv,
                   "http://[::1%25eth0]/"sv,
                   "http://[::1%eth0]/"sv,
                   "http://[1:2:3]/"sv,
                   "http://[1::2::3]/"sv,
                   "http://[::1.2.3]/"sv,
                   "http://[::1.2.3.04]/"sv,
                   "http://[::1]x/"sv,
                   "http://x[::1]/"sv,
                   "http://[1.2.3.4]/"sv,
                   "http://::1/"sv,
                   "http://%5b::1%5d/"sv,
                   "http://a%2fb/"sv,
                   "http://a%40b/"sv,
                   "http://a%3a80/"sv,
                   "http://a%20b/"sv,
                   "http://a%0d%0ab/"sv,
                   "http://a%5cb/"sv,
                   "http://a%23b/"sv}) {
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
                         {"http://a@b@h/x", "a@b", ""},
                         {"http://u:p:q@h/x", "u", "p:q"},
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
                         {"http://h/%2f%41?%26", "http://h/%2f%41?%26"},
                         {"http://h/p?a=b?c", "http://h/p?a=b?c"},
                         {"http://h/p?a/../b", "http://h/p?a/../b"},
                         {"http://h/%0d%0aX", "http://h/%0d%0aX"},
                         {"http://h//a//b", "http://h//a//b"},
                         // A query that is there and empty.
                         {"http://h/p?", "http://h/p?"},
                         {"http://h/p?#", "http://h/p?"},
                         {"http://h/p#?", "http://h/p"},
                         {"http://h?", "http://h/?"},
                         // The percent-encode sets.
                         {"http://h/\xc3\xbc?\xc3\xbc", "http://h/%C3%BC?%C3%BC"},
                         {"http://h/\xff?\xff", "http://h/%FF?%FF"},
                         {"http://h/\x01\x7f?\x01\x7f", "http://h/%01%7F?%01%7F"},
                         {"http://h/ \"<>^`{}|", "http://h/%20%22%3C%3E%5E%60%7B%7D|"},
                         {"http://h/!$&'()*+,-.;=:@[]_~", "http://h/!$&'()*+,-.;=:@[]_~"},
                         {"http://h/?\"<>'", "http://h/?%22%3C%3E%27"},
                         {"http://h/?!$&()*+,-./:;=?@[\\]^_`{|}~", "http://h/?!$&()*+,-./:;=?@[\\]^_`{|}~"},
                         {"http://h/%zz%?%zz%", "http://h/%zz%?%zz%"},
                         {"http://h/%E3%81%82%e3", "http://h/%E3%81%82%e3"},
                         // A backslash is a slash, but not in a query.
                         {"http:\\\\h\\a\\..\\b", "http://h/b"},
                         {"http://h\\p/", "http://h/p/"},
                         {"http://evil.example\\@h/", "http://evil.example/@h/"},
                         {"http:/h/a", "http://h/a"},
                         {"http:h/a", "http://h/a"},
                         {"http:////h/a", "http://h/a"},
                         {"http:\\/\\h/a", "http://h/a"},
                         // Segments of dots.
                         {"http://h/a/../b/./c", "http://h/b/c"},
                         {"http://h/../..", "http://h/"},
                         {"http://h/a/%2e/b", "http://h/a/b"},
                         {"http://h/a/%2E%2e/b", "http://h/b"},
                         {"http://h/a/.%2e/b", "http://h/b"},
                         {"http://h/a/%2e./b", "http://h/b"},
                         {"http://h/a/%2e%2e", "http://h/"},
                         {"http://h/a/%2e", "http://h/a/"},
                         {"http://h/a/.", "http://h/a/"},
                         {"http://h/a/..", "http://h/"},
                         {"http://h/a/...", "http://h/a/..."},
                         {"http://h/a/%2e%2e%2f", "http://h/a/%2e%2e%2f"},
                         {"http://h/a/..b/.c", "http://h/a/..b/.c"},
                         {"http://h/a//../b", "http://h/a/b"},
                         {"http://h/a/\\../b", "http://h/a/b"},
                         // What is stripped and what is removed.
                         {" http://h/ ", "http://h/"},
                         {"\x01\x1f http://h/p?q \n\x02", "http://h/p?q"},
                         {"ht\ntp:\t//h\r/a\tb?c\r\nd", "http://h/ab?cd"},
                         {"http://h/a/.\t./b", "http://h/b"}}) {
    CAPTURE(at.text);
    auto u = parse_url(at.text);
    REQUIRE(u);
    CHECK(u->target() == at.target);
    auto again = parse_url(u->target());
    REQUIRE(again);
    CHECK(again->target() == at.target);
  }
}

TEST_CASE("an error text shows a URL without its secrets") {
  CHECK(shown_url("https://h/p") == "https://h/p");
  CHECK(shown_url("https://u:p@h/p?token=x#f") == "https://h/p?...#...");
  CHECK(shown_url("https://u@h") == "https://h");
  CHECK(shown_url("https://h/@p?") == "https://h/@p?...");
  CHECK(shown_url("https:\\\\u:p@h\\p") == "https:\\\\h\\p");
  CHECK(shown_url("u:p@h/p") == "h/p");
  CHECK(shown_url("https:u:p@h/p") == "h/p");
  CHECK(shown_url("#t") == "#...");
  CHECK(shown_url("") == "");
  for (auto bad : {"http://u:secret@h:0/?token=secret#secret"sv, "ftp://u:secret@h/?secret"sv,
                   "http://u:secret@256.1.1.1/?secret"sv, "//u:secret@h/?secret"sv}) {
    CAPTURE(bad);
    auto u = parse_url(bad);
    REQUIRE_FALSE(u);
    CHECK_FALSE(contains(u.error().message, "secret"));
  }
}

TEST_CASE("a reference is resolved as RFC 3986 section 5.4 has it") {
  auto base = parse_url("http://a/b/c/d;p?q#old");
  REQUIRE(base);
  struct row {
    std::string_view reference;
    std::string_view resolved;
  };
  for (const auto& at : {// 5.4.1, normal examples. "g:h" is in the next test.
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
                         {"HTTP://x", "http://x/"},
                         {"https:g", "https://g/"},
                         // What the URL standard has besides: the scheme of the base is as good as none, and
                         // a backslash is a slash.
                         {"http:g", "http://a/b/c/g"},
                         {"http:/g", "http://a/g"},
                         {"http:", "http://a/b/c/d;p?q"},
                         {"http:?y", "http://a/b/c/d;p?y"},
                         {"http:#s", "http://a/b/c/d;p?q#s"},
                         {"\\\\g\\h", "http://g/h"},
                         {"\\g", "http://a/g"},
                         {"/\\g", "http://g/"},
                         {"..\\g", "http://a/b/g"},
                         {"%2e%2e/g", "http://a/b/g"},
                         {"?", "http://a/b/c/d;p?"},
                         {"?#s", "http://a/b/c/d;p?#s"},
                         {" g\t", "http://a/b/c/g"},
                         {"g:1/h", ""},
                         {"///g", "http://g/"}}) {
    CAPTURE(at.reference);
    auto u = resolve_url(*base, at.reference);
    REQUIRE(u.has_value() == !at.resolved.empty());
    if (u) CHECK(whole(*u) == at.resolved);
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
  for (auto bad : {"g:h"sv, "http:"sv, "//"sv, "//h:0/"sv, "//h:65536/"sv, "//256.1.1.1/"sv}) {
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
