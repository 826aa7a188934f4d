#include "host.hpp"

#include "ascii.hpp"
#include "percent.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <idn2.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>

namespace dormouse::detail {
namespace {

constexpr std::string_view digits = "0123456789";
constexpr std::uint64_t too_large = std::uint64_t{1} << 32U;

bool is_ascii(std::string_view text) noexcept {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

/// UTS 46, non-transitional. An `xn--` label stays as it is if its Punycode means something: who has
/// registered a name with a symbol in it can be reached by it.
std::optional<std::string> to_ascii(const std::string& name) {
  std::uint8_t* mapped = nullptr;
  if (idn2_lookup_u8(reinterpret_cast<const std::uint8_t*>(name.c_str()), &mapped,
                     IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL | IDN2_NO_ALABEL_ROUNDTRIP) != IDN2_OK)
    return std::nullopt;
  const std::unique_ptr<std::uint8_t, void (*)(void*)> owned(mapped, &idn2_free);
  return std::string(reinterpret_cast<const char*>(mapped));
}

bool has_punycode(std::string_view name) {
  return name.starts_with("xn--") || name.find(".xn--") != std::string_view::npos;
}

bool is_name(std::string_view text) {
  if (text.ends_with('.')) text.remove_suffix(1);
  if (text.empty() || text.starts_with('.') || text.ends_with('.') ||
      text.find("..") != std::string_view::npos)
    return false;
  return std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
  });
}

/// The IPv4 number parser. `too_large` stands for all that are.
std::optional<std::uint64_t> ipv4_number(std::string_view text) {
  if (text.empty()) return std::nullopt;
  unsigned base = 10;
  if (text.starts_with("0x")) {
    text.remove_prefix(2);
    base = 16;
  } else if (text.size() > 1 && text.front() == '0') {
    text.remove_prefix(1);
    base = 8;
  }
  std::uint64_t number = 0;
  for (char c : text) {
    const auto digit = hex_digit(c);
    if (digit < 0 || digit >= static_cast<int>(base)) return std::nullopt;
    number = std::min(too_large, number * base + static_cast<unsigned>(digit));
  }
  return number;
}

/// What is behind the last dot that has something behind it.
std::string_view last_label(std::string_view name) {
  if (name.ends_with('.')) name.remove_suffix(1);
  return name.substr(name.rfind('.') + 1);
}

/// The "ends in a number" checker: such a host is an IPv4 address or none at all.
bool ends_in_a_number(std::string_view name) {
  const auto last = last_label(name);
  return !last.empty() &&
         (last.find_first_not_of(digits) == std::string_view::npos || ipv4_number(last).has_value());
}

/// The IPv4 parser and its serializer.
std::optional<std::string> ipv4(std::string_view text) {
  constexpr std::size_t most_parts = 4;
  if (text.ends_with('.')) text.remove_suffix(1);
  std::uint64_t address = 0;
  for (std::size_t part = 0;; ++part) {
    const auto end = std::min(text.find('.'), text.size());
    const bool is_last = end == text.size();
    const auto number = ipv4_number(text.substr(0, end));
    if (part == most_parts || !number) return std::nullopt;
    const auto bits_left = 8 * (most_parts - part);
    if (is_last) {
      if (*number >= std::uint64_t{1} << bits_left) return std::nullopt;
      address += *number;
      break;
    }
    if (*number > 255) return std::nullopt;
    address += *number << (bits_left - 8);
    text.remove_prefix(end + 1);
  }
  return fmt::format("{}.{}.{}.{}", address >> 24U, (address >> 16U) & 255U, (address >> 8U) & 255U,
                     address & 255U);
}

/// The IPv6 parser and its serializer: the first longest run of zeros is left out.
std::optional<std::string> ipv6(const std::string& text) {
  std::array<std::uint8_t, 16> bytes{};
  if (::inet_pton(AF_INET6, text.c_str(), bytes.data()) != 1) return std::nullopt;
  const auto piece = [&bytes](std::size_t at) {
    return static_cast<unsigned>(bytes[2 * at]) << 8U | bytes[2 * at + 1];
  };
  std::size_t left_out = 8;
  std::size_t longest = 1; // one alone is written
  for (std::size_t begin = 0; begin < 8; ++begin) {
    auto end = begin;
    while (end < 8 && piece(end) == 0)
      ++end;
    if (end - begin > longest) {
      left_out = begin;
      longest = end - begin;
    }
  }
  std::string out = "[";
  for (std::size_t at = 0; at < 8;) {
    if (at == left_out) {
      out += "::";
      at += longest;
      continue;
    }
    if (at != 0 && !out.ends_with(':')) out += ':';
    out += fmt::format("{:x}", piece(at));
    ++at;
  }
  return out + ']';
}

} // namespace

std::optional<std::string> canonical_name(std::string_view text) {
  if (text.find('\0') != std::string_view::npos) return std::nullopt;
  auto name = ascii_lower(text);
  if (!is_ascii(name) || has_punycode(name)) {
    auto mapped = to_ascii(name);
    if (!mapped) return std::nullopt;
    name = std::move(*mapped);
  }
  if (!is_name(name)) return std::nullopt;
  return ends_in_a_number(name) ? ipv4(name) : name;
}

std::optional<std::string> canonical_host(std::string_view text) {
  if (text.starts_with('['))
    return text.ends_with(']') ? ipv6(std::string(text.substr(1, text.size() - 2))) : std::nullopt;
  return canonical_name(percent_decoded(text));
}

} // namespace dormouse::detail
