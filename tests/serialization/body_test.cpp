#include <dormouse/serialization/body.hpp>
#include <dormouse/serialization/response.hpp>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <span>
#include <string>
#include <string_view>
#include <vector>

using namespace dormouse;
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

TEST_CASE("a response is ok from 200 to 299") {
  for (std::uint16_t status : {200, 204, 299})
    CHECK(response(status, {}, "").ok());
  for (std::uint16_t status : {0, 101, 199, 300, 304, 404, 500, 599})
    CHECK_FALSE(response(status, {}, "").ok());
}

TEST_CASE("a response hands out its body as text and bytes and JSON") {
  response r(201, {{"A", "b"}}, R"({"n": [1, 2]})", "https://h/final", 2);
  CHECK(r.status() == 201);
  CHECK(r.headers().get("a") == "b");
  CHECK(r.url() == "https://h/final");
  CHECK(r.redirected());
  CHECK_FALSE(response(200, {}, "").redirected());
  CHECK(r.text() == R"({"n": [1, 2]})");
  CHECK(r.bytes().size() == r.text().size());
  CHECK(r.bytes().front() == std::byte{'{'});
  CHECK(r.json().at("n").at(1) == 2);
  CHECK(std::move(r).text() == R"({"n": [1, 2]})");

  for (const auto* bad : {"", "{", "nonsense", "{} trailing"})
    CHECK_THROWS_AS(static_cast<void>(response(200, {}, bad).json()), nlohmann::json::parse_error);
}
