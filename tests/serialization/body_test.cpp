#include <dormouse/serialization/body.hpp>
#include <dormouse/serialization/error.hpp>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace dormouse::test::body_test {

using namespace std::string_view_literals;

TEST_CASE("a form is encoded as the WHATWG URL serializer has it") {
  CHECK(form{}.encoded().empty());
  CHECK(form{{"user", "me"}, {"password", "p w"}}.encoded() == "user=me&password=p+w");
  CHECK(form{{"", ""}, {"", "x"}, {"a", ""}}.encoded() == "=&=x&a=");
  CHECK(form{{"a&b=c", "d&e=f"}}.encoded() == "a%26b%3Dc=d%26e%3Df");
  CHECK(form{{"a", "1"}, {"a", "2"}}.encoded() == "a=1&a=2");
  CHECK(form{{"z\u00fcrich", "\u20ac"}}.encoded() == "z%C3%BCrich=%E2%82%AC");

  constexpr std::string_view kept = "*-._0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  constexpr std::string_view hex = "0123456789ABCDEF";
  for (unsigned byte = 0; byte < 256; ++byte) {
    CAPTURE(byte);
    std::string one(1, static_cast<char>(byte));
    std::string encoded = byte == ' ' ? "+"
                          : kept.find(one) != std::string_view::npos
                              ? one
                              : std::string{'%', hex[byte / 16], hex[byte % 16]};
    CHECK(form{{one, one}}.encoded() == encoded + "=" + encoded);
  }
}

TEST_CASE("a body brings the content type of what it was made of") {
  constexpr auto text = "text/plain;charset=UTF-8"sv;
  CHECK(body("a").content_type() == text);
  CHECK(body(std::string("a")).content_type() == text);
  CHECK(body("a"sv).content_type() == text);
  CHECK(body("a\0b"sv).bytes() == "a\0b"sv);

  body pairs(form{{"a", "b c"}});
  CHECK(pairs.content_type() == "application/x-www-form-urlencoded;charset=UTF-8");
  CHECK(pairs.bytes() == "a=b+c");

  std::vector<std::byte> raw{std::byte{0}, std::byte{255}};
  for (const auto& bytes : {body(raw), body(std::span<const std::byte>(raw))}) {
    CHECK(bytes.content_type().empty());
    CHECK(bytes.bytes() == "\0\xff"sv);
    CHECK(bytes.present());
  }
}

TEST_CASE("an empty body is a body and no body is none") {
  CHECK_FALSE(body().present());
  CHECK(body().bytes().empty());
  CHECK(body("").present());
  CHECK(body(form{}).present());
  CHECK(body(std::vector<std::byte>{}).present());
  CHECK(body(std::vector<std::byte>{}).bytes().empty());
}

TEST_CASE("a blob is a body of its own type") {
  body typed(blob("{}", "Application/JSON"));
  CHECK(typed.content_type() == "application/json");
  CHECK(typed.bytes() == "{}");
  CHECK(body(blob("x")).content_type().empty());
  CHECK(body(blob()).present());
  CHECK(body(file(blob("x", "a/b"), "name")).content_type() == "a/b");
  CHECK(body(blob("0123456789").slice(2, -3)).bytes() == "23456");
}

TEST_CASE("a form with files is a body that names its boundary") {
  body parts(form_data{{"a", "b"}});
  CHECK(parts.content_type().starts_with("multipart/form-data; boundary="));
  auto back = parse_multipart(parts.bytes(), parts.content_type());
  REQUIRE(back);
  CHECK(*back == form_data{{"a", "b"}});
  CHECK(body(form_data{}).present());
  CHECK(parts == body(form_data{{"a", "b"}}));
}

TEST_CASE("a JSON document is a body") {
  const nlohmann::json document{{"n", 1}, {"text", "z\u00fcrich"}, {"list", {1, 2}}};
  for (const auto& each : {body(document), body::json(document)}) {
    CHECK(each.content_type() == "application/json");
    CHECK(nlohmann::json::parse(each.bytes()) == document);
  }
  nlohmann::json mutable_document = 7;
  const body by_assignment = mutable_document;
  CHECK(by_assignment.bytes() == "7");
  CHECK(body(nlohmann::json("text")).bytes() == "\"text\"");
  CHECK(body::json("text").bytes() == "\"text\"");
  CHECK(body(nlohmann::json()).bytes() == "null");
  // A text is a text and no document, whatever it converts to.
  CHECK(body("text").bytes() == "text");
  static_assert(!std::is_constructible_v<body, int>);
  static_assert(!std::is_constructible_v<body, std::vector<int>>);

  try {
    static_cast<void>(body(nlohmann::json("\xff")));
    FAIL("a text that is not UTF-8 was accepted");
  } catch (const failure& f) {
    CHECK(f.code() == errc::invalid_request);
    CHECK(std::string_view(f.what()).find("JSON") != std::string_view::npos);
  }
}

TEST_CASE("a body has exactly the bytes it was made of") {
  std::string all;
  for (int byte = 0; byte < 256; ++byte)
    all += static_cast<char>(byte);
  const auto raw = std::as_bytes(std::span(all));
  CHECK(body(all).bytes() == all);
  CHECK(body(std::string_view(all)).bytes() == all);
  CHECK(body(raw).bytes() == all);
  CHECK(body(std::vector<std::byte>(raw.begin(), raw.end())).bytes() == all);
  CHECK(body(blob(all)).bytes() == all);
  body moved(all);
  CHECK(std::move(moved).bytes() == all);
}

} // namespace dormouse::test::body_test
