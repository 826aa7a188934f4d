#include <dormouse/serialization/blob.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace dormouse::test::blob_test {

using namespace std::string_literals;
using namespace std::string_view_literals;

namespace {

std::string every_byte() {
  std::string all;
  for (int byte = 0; byte < 256; ++byte)
    all += static_cast<char>(byte);
  return all;
}

std::string_view view_of(const blob& b) {
  return {reinterpret_cast<const char*>(b.bytes().data()), b.bytes().size()};
}

} // namespace

TEST_CASE("a blob has the bytes it was made of") {
  const auto all = every_byte();
  const auto raw = std::as_bytes(std::span(all));
  for (const auto& each : {blob(all), blob(std::string_view(all)), blob(raw),
                           blob(std::vector<std::byte>(raw.begin(), raw.end()))}) {
    CHECK(each.size() == 256);
    CHECK(each.text() == all);
    CHECK(view_of(each) == all);
    CHECK(each.type().empty());
  }
  CHECK(blob("text").text() == "text");
  for (const auto& none : {blob(), blob(""), blob(std::span<const std::byte>())}) {
    CHECK(none.size() == 0);
    CHECK(none.text().empty());
    CHECK(none.bytes().empty());
    CHECK(none == blob());
  }
}

TEST_CASE("the type of a blob is lower-cased and empty if it is not printable ASCII") {
  struct row {
    std::string_view given;
    std::string_view kept;
  };
  for (const auto& at : {row{"", ""},
                         {"image/PNG", "image/png"},
                         {"Text/Plain; Charset=UTF-8", "text/plain; charset=utf-8"},
                         {"anything ~ goes", "anything ~ goes"},
                         {"a/b\r\nX: y", ""},
                         {"a/b\x7f", ""},
                         {"a/\xc3\xa9", ""},
                         {"a\0b"sv, ""},
                         {"a\tb", ""}}) {
    CAPTURE(at.given);
    CHECK(blob("x", at.given).type() == at.kept);
    CHECK(blob("x").slice(0, 1, at.given).type() == at.kept);
  }
}

TEST_CASE("a slice is counted as in the File API") {
  constexpr auto least = std::numeric_limits<std::int64_t>::min();
  constexpr auto most = std::numeric_limits<std::int64_t>::max();
  struct row {
    std::int64_t start;
    std::int64_t end;
    std::string_view text;
  };
  const blob whole("0123456789", "a/b");
  for (const auto& at : {row{0, most, "0123456789"}, row{0, 10, "0123456789"}, row{0, 11, "0123456789"},
                         row{2, 5, "234"}, row{9, 10, "9"}, row{10, 20, ""}, row{11, most, ""}, row{5, 5, ""},
                         row{5, 2, ""}, row{-3, most, "789"}, row{-3, -1, "78"}, row{0, -9, "0"},
                         row{0, -10, ""}, row{0, -11, ""}, row{-100, 1, "0"}, row{-1, -3, ""},
                         row{least, most, "0123456789"}, row{most, least, ""}, row{least, least, ""}}) {
    CAPTURE(at.start);
    CAPTURE(at.end);
    const auto part = whole.slice(at.start, at.end);
    CHECK(part.text() == at.text);
    CHECK(view_of(part) == at.text);
    CHECK(part.size() == at.text.size());
    CHECK(part.type().empty());
  }
  CHECK(whole.slice() == blob("0123456789"));
  CHECK(whole.slice(2, 8).slice(1, -1).text() == "3456");
  CHECK(whole.slice(2, 8, "X/Y").type() == "x/y");
  CHECK(blob().slice(-1, 1).text().empty());
}

TEST_CASE("copies and slices share the bytes and outlive the whole") {
  blob part;
  {
    const blob whole(std::string(1000, 'a') + "b");
    part = whole.slice(999);
    CHECK(blob(whole).bytes().data() == whole.bytes().data());
    CHECK(part.bytes().data() == whole.bytes().data() + 999);
  }
  CHECK(part.text() == "ab");
}

TEST_CASE("blobs are equal in bytes and type and files in their name besides") {
  CHECK(blob("0a1").slice(1, 2) == blob("a"));
  CHECK(blob("a") != blob("b"));
  CHECK(blob("a") != blob("ab"));
  CHECK(blob("a", "x/y") != blob("a"));
  CHECK(file(blob("a"), "n") == file(blob("a"), "n"));
  CHECK(file(blob("a"), "n") != file(blob("a"), "m"));
  CHECK(file(blob("a"), "n") != file(blob("b"), "n"));
  CHECK(file(blob("a", "x/y"), "n").name() == "n");
  CHECK(file(blob("a", "x/y"), "n").type() == "x/y");
  CHECK(file().name().empty());
}

} // namespace dormouse::test::blob_test
