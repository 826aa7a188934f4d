#include "outcome.hpp"
#include "proxy/response_head.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace dormouse::test::response_head_test {
namespace {

using fields = std::vector<headers::field>;

constexpr std::size_t plenty = 64 * 1024;

/// Gives the head each line; the error of the first that it refuses.
expected<void> take_all(response_head& head, const std::vector<std::string>& lines,
                        std::size_t max_bytes = plenty) {
  for (const auto& line : lines)
    if (auto taken = head.take(line, max_bytes); !taken) return unexpected<error>(taken.error());
  return {};
}

fields fields_of(const std::vector<std::string>& lines) {
  response_head head;
  value_or_throw(take_all(head, lines));
  return head.fields().fields();
}

error refusal_of(const std::vector<std::string>& lines) {
  response_head head;
  auto taken = take_all(head, lines);
  REQUIRE_FALSE(taken);
  return taken.error();
}

} // namespace

TEST_CASE("a header section ends its lines in CRLF or LF") {
  const fields both{{"A", "1"}, {"b", ""}};
  CHECK(fields_of({"HTTP/1.1 200 OK\r\n", "A: 1\r\n", "b:\r\n", "\r\n"}) == both);
  CHECK(fields_of({"HTTP/1.1 200 OK\n", "A: 1\n", "b:\n", "\n"}) == both);
  CHECK(fields_of({"HTTP/2 200 \r\n", "A: 1\r\n", "b: \t \r\n", "\r\n"}) == both);
}

TEST_CASE("of several responses to one request the last one counts") {
  response_head head;
  CHECK(head.take("HTTP/1.1 100 Continue\r\n", plenty) == response_head::line_kind::status);
  CHECK(head.take("Early: 1\r\n", plenty) == response_head::line_kind::other);
  CHECK(head.take("\r\n", plenty) == response_head::line_kind::other);
  CHECK(head.fields().has("Early"));
  CHECK(head.take("HTTP/1.1 200 OK\r\n", plenty) == response_head::line_kind::status);
  CHECK(head.fields().empty());
  REQUIRE(take_all(head, {"Late: 1\r\n", "\r\n"}));
  CHECK(std::move(head).take_fields().fields() == fields{{"Late", "1"}});
}

TEST_CASE("a header line that begins with a blank goes on with the one before") {
  CHECK(fields_of({"HTTP/1.1 200 OK\r\n", "A: one\r\n", " two\r\n", "\t three: four \r\n", "B: 2\r\n",
                   "\r\n"}) == fields{{"A", "one two three: four"}, {"B", "2"}});
  CHECK(fields_of({"HTTP/1.1 200 OK\r\n", "A:\r\n", " x\r\n", " \r\n", "\r\n"}) == fields{{"A", "x"}});
}

TEST_CASE("R21: trailers are no headers") {
  CHECK(fields_of({"HTTP/1.1 200 OK\r\n", "A: 1\r\n", "\r\n", "Set-Cookie: a=b\r\n", " c\r\n", "no colon\r\n",
                   "Location: http://127.0.0.1/\r\n"}) == fields{{"A", "1"}});
}

TEST_CASE("R21: what is no header is refused, and is not told on") {
  for (const auto& [line, part] : std::vector<std::pair<std::string, std::string>>{
           {"na me: x\r\n", "line of 8 bytes has a name of 5 bytes"},
           {": x\r\n", "line of 3 bytes has a name of 0 bytes"},
           {" folded: first\r\n", "line of 14 bytes has a name of 7 bytes"},
           {"A: \x01\r\n", "'A' contains the control character 0x01"},
           {"A: one\r two\r\n", "'A' contains the control character 0x0d"},
           {"HTTP/1.1 204: again\r\n", "a name of 12 bytes"},
           {"token=secret\r\n", "line of 12 bytes has no colon"},
           {"nothing\x02\r\n", "line of 8 bytes has no colon"}}) {
    const auto& this_line = line; // clang 14 captures no structured binding
    CAPTURE(this_line);
    const auto refused = refusal_of({"HTTP/1.1 200 OK\r\n", line, "\r\n"});
    CHECK(refused.code == errc::invalid_header);
    CHECK(contains(refused.message, part));
    for (const auto& shown : {"na me", "folded", "204", "secret", "nothing"})
      CHECK_FALSE(contains(refused.message, shown));
    CHECK(refused.message.find_first_of("\r\n\x01\x02") == std::string::npos);
  }
}

TEST_CASE("R21: a response is complete when its last header section has ended") {
  response_head head;
  CHECK_FALSE(head.is_complete());
  REQUIRE(take_all(head, {"HTTP/1.1 100 Continue\r\n", "\r\n"}));
  CHECK_FALSE(head.is_complete());
  REQUIRE(take_all(head, {"HTTP/1.1 200 OK\r\n", "A: 1\r\n"}));
  CHECK_FALSE(head.is_complete());
  REQUIRE(take_all(head, {"\r\n"}));
  CHECK(head.is_complete());
}

TEST_CASE("R21: what is no status line begins no response") {
  for (const std::string line : {"http/1.1 200 ok\r\n", "200 OK\r\n", "A: 1\r\n", "\r\n"}) {
    CAPTURE(line);
    CHECK(refusal_of({line}).code == errc::invalid_header);
    CHECK(refusal_of({"HTTP/1.1 103 Early Hints\r\n", "\r\n", line}).code == errc::invalid_header);
  }
}

TEST_CASE("R21: a Content-Length is one number of bytes") {
  const auto length_of = [](const std::vector<std::string>& values) {
    response_head head;
    std::vector<std::string> lines{"HTTP/1.1 200 OK\r\n"};
    for (const auto& value : values)
      lines.push_back("Content-Length:" + value + "\r\n");
    lines.emplace_back("\r\n");
    const auto taken = take_all(head, lines);
    CHECK((taken || taken.error().code == errc::invalid_header));
    return taken ? head.content_length() : std::nullopt;
  };
  CHECK(length_of({" 5"}) == 5);
  CHECK(length_of({" 5 , 5", "5"}) == 5);
  CHECK(length_of({" 005"}) == 5);
  for (const std::vector<std::string>& bad :
       std::vector<std::vector<std::string>>{{" 5", " 9"},
                                             {" 5, 9"},
                                             {" 0x5"},
                                             {" +5"},
                                             {" -5"},
                                             {" 5x"},
                                             {" 5 5"},
                                             {""},
                                             {" ,5"},
                                             {" 5,"},
                                             {" 99999999999999999999"}}) {
    CAPTURE(bad.front());
    CHECK_FALSE(length_of(bad));
  }
}

TEST_CASE("R12: the headers of one response are bounded, its trailers included") {
  const std::vector<std::string> lines{"HTTP/1.1 200 OK\r\n", "A: 1\r\n", "\r\n", "B: 2\r\n"};
  std::size_t bytes = 0;
  for (const auto& line : lines)
    bytes += line.size();
  response_head head;
  CHECK(take_all(head, lines, bytes));
  head = {};
  CHECK(take_all(head, lines, bytes)); // each response by itself
  head = {};
  auto refused = take_all(head, lines, bytes - 1);
  REQUIRE_FALSE(refused);
  CHECK(refused.error() ==
        error{errc::too_large,
              "the response headers are over options::max_header_bytes = " + std::to_string(bytes - 1)});
  // A field that goes on and on is a part of it.
  std::vector<std::string> folds(100, " x\r\n");
  folds.insert(folds.begin(), {"HTTP/1.1 200 OK\r\n", "A: 1\r\n"});
  refused = take_all(head, folds, 300);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == errc::too_large);
}

} // namespace dormouse::test::response_head_test
