#include <dormouse/serialization/codec.hpp>
#include <dormouse/serialization/fetch_result.hpp>
#include <dormouse/serialization/form.hpp>
#include <dormouse/serialization/response.hpp>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace dormouse::test::response_test {

using namespace std::string_literals;
using namespace std::string_view_literals;

namespace {

std::string every_byte() {
  std::string all;
  for (int byte = 0; byte < 256; ++byte)
    all += static_cast<char>(byte);
  return all;
}

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

response with_type(std::string_view type, std::string body) {
  return response(200, {{"Content-Type", std::string(type)}}, std::move(body));
}

template <class Read> error failure_of(Read read) {
  try {
    read();
  } catch (const failure& f) {
    return f.what_failed();
  }
  FAIL("nothing was thrown");
  return {};
}

} // namespace

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

TEST_CASE("reading a response does not use up its body") {
  const auto r = with_type("application/x-www-form-urlencoded", "1");
  for (int i = 0; i < 2; ++i) {
    CHECK(r.text() == "1");
    CHECK(text_of(r.bytes()) == "1");
    CHECK(r.json() == 1);
    CHECK(r.blob().text() == "1");
    CHECK(r.form_data() == form_data{{"1", ""}});
    CHECK_FALSE(r.body_used());
  }
}

TEST_CASE("reading an rvalue moves the body out and it is read once") {
  struct reading {
    std::string_view name;
    std::function<void(response&&)> read;
  };
  const std::vector<reading> readings = {
      {"text", [](response&& r) { CHECK(std::move(r).text() == "7"); }},
      {"bytes",
       [](response&& r) {
         static_assert(std::is_same_v<decltype(std::move(r).bytes()), std::vector<std::byte>>);
         CHECK(text_of(std::move(r).bytes()) == "7");
       }},
      {"json", [](response&& r) { CHECK(std::move(r).json() == 7); }},
      {"blob", [](response&& r) { CHECK(std::move(r).blob().text() == "7"); }},
      {"form_data",
       [](response&& r) {
         CHECK(std::move(r).form_data() == form_data{{"7", ""}});
       }},
  };
  for (const auto& at : readings) {
    CAPTURE(at.name);
    response r(200, {{"Content-Type", "application/x-www-form-urlencoded"}}, "7", "https://h/", 1);
    at.read(std::move(r));
    CHECK(r.body_used());
    CHECK(r.status() == 200);
    CHECK(r.headers().has("Content-Type"));
    CHECK(r.url() == "https://h/");
    CHECK(r.redirected());

    const auto& used = r;
    for (const auto& again : std::vector<std::function<void()>>{
             [&] { static_cast<void>(used.text()); }, [&] { static_cast<void>(used.bytes()); },
             [&] { static_cast<void>(used.json()); }, [&] { static_cast<void>(used.blob()); },
             [&] { static_cast<void>(used.form_data()); }, [&] { static_cast<void>(std::move(r).text()); },
             [&] { static_cast<void>(std::move(r).bytes()); },
             [&] { static_cast<void>(std::move(r).json()); }, [&] { static_cast<void>(std::move(r).blob()); },
             [&] { static_cast<void>(std::move(r).form_data()); },
             [&] { static_cast<void>(encode(used)); }}) {
      const auto why = failure_of(again);
      CHECK(why.code == errc::invalid_request);
      CHECK(why.message == "the body was already read");
    }
  }
}

TEST_CASE("a body that could not be parsed was read all the same") {
  auto r = with_type("text/plain", "{");
  CHECK_THROWS_AS(static_cast<void>(std::move(r).json()), nlohmann::json::parse_error);
  CHECK(r.body_used());
  // And as elsewhere, a response that is assigned to or loaded into is a new one.
  r = with_type("text/plain", "x");
  CHECK_FALSE(r.body_used());
  CHECK(std::move(r).text() == "x");
  const auto stored = encode(with_type("text/plain", "y"));
  input_archive ar(stored);
  ar(r);
  CHECK_FALSE(r.body_used());
  CHECK(r.text() == "y");
}

TEST_CASE("copies and moves of a response have its body") {
  auto r = with_type("text/plain", "x");
  const auto copy = r;
  CHECK(std::move(r).text() == "x");
  CHECK(copy.text() == "x");
  CHECK(copy != r);
  fetch_result result = copy;
  auto moved = std::move(result);
  CHECK(std::move(*moved).text() == "x");
  CHECK(moved->body_used());
}

TEST_CASE("a response's blob has the type of its Content-Type") {
  CHECK(with_type("Image/PNG", "x").blob() == blob("x", "image/png"));
  CHECK(with_type("text/html; charset=UTF-8", "x").blob().type() == "text/html; charset=utf-8");
  CHECK(with_type("text/\xc3\xa9", "x").blob().type().empty());
  CHECK(response(200, {}, "x").blob() == blob("x"));
  CHECK(response(200, {{"Content-Type", "a/b"}, {"content-type", "c/d"}}, "x").blob().type() == "c/d");
  CHECK(response(204, {}, "").blob() == blob());
}

TEST_CASE("every byte comes back from a response") {
  const auto all = every_byte();
  const auto r = with_type("application/octet-stream", all);
  CHECK(r.text() == all);
  CHECK(text_of(r.bytes()) == all);
  CHECK(r.blob().text() == all);
  auto stored = decode<response>(encode(r));
  REQUIRE(stored);
  CHECK(*stored == r);
  CHECK(std::move(*stored).blob() == blob(all, "application/octet-stream"));
  CHECK(text_of(response(r).bytes()) == all);

  form_data f;
  f.append("file", blob(all, "a/b"), "n");
  const auto encoded = encode_multipart(f);
  CHECK(with_type(encoded.content_type, encoded.bytes).form_data() == f);
}

TEST_CASE("a response is read as the form that its content type says") {
  const form_data f{{"a", "1"}, {"b", file(blob("2", "x/y"), "n")}};
  const auto encoded = encode_multipart(f);
  CHECK(with_type(encoded.content_type, encoded.bytes).form_data() == f);
  CHECK(with_type("application/X-WWW-form-urlencoded; charset=utf-8", form{{"a b", "&"}}.encoded())
            .form_data() == form_data{{"a b", "&"}});
  CHECK(with_type("application/x-www-form-urlencoded", "").form_data().empty());

  struct row {
    response given;
    errc code;
    std::string_view word;
  };
  for (const auto& at :
       {row{response(200, {}, "a=b"), errc::invalid_request, "\"\""},
        row{with_type("text/plain", "a=b"), errc::invalid_request, "text/plain"},
        row{with_type("multipart/form-data", "--b--"), errc::invalid_request, "boundary"},
        row{with_type("multipart/form-data; boundary=b", "--c--"), errc::corrupt, "\"b\""},
        row{with_type("multipart/form-data; boundary=b", "--b\r\n"), errc::corrupt, "part 1"},
        row{with_type("application/x-www-form-urlencoded",
                      [] {
                        std::string many;
                        for (int i = 0; i <= 10'000; ++i)
                          many += "a=b&";
                        return many;
                      }()),
            errc::too_large, "10000"}}) {
    CAPTURE(at.word);
    const auto why = failure_of([&] { static_cast<void>(at.given.form_data()); });
    CHECK(why.code == at.code);
    CHECK(why.message.find(at.word) != std::string::npos);
  }
}

} // namespace dormouse::test::response_test
