// Input: the header section of a response, as a server sends it. Each line is taken in as libcurl hands it
// over, and is tried as a field of its own.
#include "fuzz_target.hpp"
#include "proxy/response_head.hpp"
#include "proxy/retry.hpp"

#include <dormouse/serialization/codec.hpp>
#include <dormouse/serialization/headers.hpp>

#include <chrono>
#include <string>
#include <string_view>

using namespace dormouse;
using fuzz::require;

namespace {

constexpr std::size_t max_bytes = 2048; // small, so that it is reached
constexpr std::int64_t now_ms = 1'700'000'000'000;

// What RFC 9110 says, written down a second time: sections 5.6.2 and 5.5.
bool is_name(std::string_view text) {
  constexpr std::string_view tchars =
      "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  return !text.empty() && text.find_first_not_of(tchars) == std::string_view::npos;
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view space = "\r\n\t ";
  while (!text.empty() && space.find(text.front()) != std::string_view::npos)
    text.remove_prefix(1);
  while (!text.empty() && space.find(text.back()) != std::string_view::npos)
    text.remove_suffix(1);
  return text;
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return out;
}

void check_append(headers& into, std::string_view name, std::string_view value) {
  const auto before = into.fields().size();
  const auto added = into.try_append(name, value);
  require(added.has_value() == (is_name(name) && !fuzz::has_control(trimmed(value))),
          "a field is taken exactly if RFC 9110 allows it", name);
  if (added) {
    require(into.fields().back() == headers::field(name, trimmed(value)),
            "a field is kept as it is, its value trimmed", name);
  } else {
    require(added.error().code == errc::invalid_header && !fuzz::has_control(added.error().message),
            "a refusal is one line", added.error().message);
    require(into.fields().size() == before, "a refusal changes nothing", name);
  }
}

/// Reading all of them combined and one by one gives the same.
void check_views(const headers& of) {
  std::string last;
  const auto cookies = of.get_set_cookie();
  auto cookie = cookies.begin();
  for (const auto& [name, value] : of) {
    require(name == lower(name) && name >= last, "iteration is lower-cased and sorted", name);
    if (name == "set-cookie") {
      require(cookie != cookies.end() && value == *cookie++, "each Set-Cookie by itself", value);
    } else {
      require(name != last, "each name once", name);
      require(value == of.get(name), "the values of a name are combined", name);
    }
    last = name;
  }
  require(cookie == cookies.end(), "every Set-Cookie is seen");
  std::size_t bytes = 0;
  for (const auto& [name, value] : of.fields())
    bytes += name.size() + value.size() + std::string_view(": \r\n").size();
  require(bytes == of.wire_bytes(), "wire_bytes is what goes on the wire");
  require(decode<headers>(encode(of)) == of, "headers survive storing");
}

void check_changes(headers of) {
  if (of.empty()) return;
  const std::string name = of.fields().front().first;
  const auto others = of.fields().size() - of.get_all(name).size();
  of.set(of.fields().front().first, "only"); // a view into what is replaced
  require(of.get_all(lower(name)) == std::vector<std::string>{"only"} && of.fields().size() == others + 1,
          "set leaves one", name);
  require(of.erase(of.fields().front().first) == 1 && !of.has(name) && of.fields().size() == others,
          "erase leaves none", name);
}

headers read_section(std::string_view input) {
  response_head head;
  bool open = false; // what is outside a section, as a trailer, adds nothing
  while (!input.empty()) {
    const auto line = input.substr(0, std::min(input.find('\n'), input.size() - 1) + 1);
    input.remove_prefix(line.size());
    const auto before = head.fields().fields().size();
    if (auto taken = head.take(line, max_bytes); !taken) {
      require(taken.error().code == errc::invalid_header || taken.error().code == errc::too_large,
              "a refusal has one of two codes", taken.error().message);
      require(!fuzz::has_control(taken.error().message), "a refusal is one line", taken.error().message);
      break;
    } else if (*taken == response_head::line_kind::status) {
      require(!open && head.fields().empty(), "a status line begins a section", line);
      open = true;
    } else {
      require(head.fields().fields().size() <= before + (open ? 1 : 0),
              "a line ends one field, a trailer none", line);
      open = open && line.find_first_not_of("\r\n") != std::string_view::npos;
    }
  }
  return std::move(head).take_fields();
}

} // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto input = fuzz::as_text(data, size);
  const auto received = read_section(input);
  check_views(received);
  check_changes(received);
  std::size_t kept = 0;
  std::string wire = "HTTP/1.1 200 OK\r\n";
  for (const auto& [name, value] : received.fields()) {
    require(is_name(name) && !fuzz::has_control(value) && trimmed(value) == value,
            "what is kept can go on the wire", name);
    kept += name.size() + value.size();
    wire.append(name).append(":").append(value).append("\r\n");
  }
  require(kept <= max_bytes, "what is kept is bounded");
  wire += "\r\n";
  if (wire.size() <= max_bytes)
    require(read_section(wire) == received, "what was kept is read back as it is", wire);

  headers appended;
  for (auto rest = input; !rest.empty();) {
    const auto line = fuzz::take_line(rest);
    const auto colon = std::min(line.find(':'), line.size());
    const auto value = line.substr(std::min(colon + 1, line.size()));
    check_append(appended, line.substr(0, colon), value);
    if (const auto wait = parse_retry_after(std::string(trimmed(value)), now_ms))
      require(wait->count() >= 0 && *wait <= std::chrono::days(366),
              "Retry-After is no time in the past, and bounded", value);
  }
  check_views(appended);
  check_changes(std::move(appended));
  return 0;
}
