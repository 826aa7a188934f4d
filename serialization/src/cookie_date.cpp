#include "cookie_date.hpp"

#include <dormouse/serialization/headers.hpp>

#include <array>
#include <chrono>

namespace dormouse::detail {
namespace {

bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

bool is_delimiter(char c) noexcept {
  auto byte = static_cast<unsigned char>(c);
  return byte == 0x09 || (byte >= 0x20 && byte <= 0x2f) || (byte >= 0x3b && byte <= 0x40) ||
         (byte >= 0x5b && byte <= 0x60) || (byte >= 0x7b && byte <= 0x7e);
}

/// Takes a number of `least` to `most` digits off the front. More digits are none at all.
std::optional<int> take_number(std::string_view& text, std::size_t least, std::size_t most) noexcept {
  int number = 0;
  std::size_t digits = 0;
  for (; digits < text.size() && is_digit(text[digits]); ++digits) {
    if (digits == most) return std::nullopt;
    number = number * 10 + (text[digits] - '0');
  }
  if (digits < least) return std::nullopt;
  text.remove_prefix(digits);
  return number;
}

struct time_of_day {
  int hour;
  int minute;
  int second;
};

std::optional<time_of_day> as_time(std::string_view token) noexcept {
  std::array<int, 3> fields{};
  for (auto& field : fields) {
    if (&field != &fields.front()) {
      if (!token.starts_with(':')) return std::nullopt;
      token.remove_prefix(1);
    }
    auto number = take_number(token, 1, 2);
    if (!number) return std::nullopt;
    field = *number;
  }
  return time_of_day{fields[0], fields[1], fields[2]};
}

std::optional<unsigned> as_month(std::string_view token) noexcept {
  constexpr std::array<std::string_view, 12> names{"jan", "feb", "mar", "apr", "may", "jun",
                                                   "jul", "aug", "sep", "oct", "nov", "dec"};
  for (unsigned i = 0; i < names.size(); ++i)
    if (iequals(token.substr(0, 3), names[i])) return i + 1;
  return std::nullopt;
}

std::string_view take_token(std::string_view& text) noexcept {
  while (!text.empty() && is_delimiter(text.front()))
    text.remove_prefix(1);
  std::size_t end = 0;
  while (end < text.size() && !is_delimiter(text[end]))
    ++end;
  auto token = text.substr(0, end);
  text.remove_prefix(end);
  return token;
}

} // namespace

std::optional<std::int64_t> parse_cookie_date(std::string_view text) noexcept {
  std::optional<time_of_day> time;
  std::optional<int> day;
  std::optional<unsigned> month;
  std::optional<int> year;
  // Each token is the first of these that is still missing and that it can be: "12" is a day, then a year.
  for (auto token = take_token(text); !token.empty(); token = take_token(text)) {
    auto rest = token;
    if (!time && (time = as_time(token))) continue;
    if (!day && (day = take_number(rest, 1, 2))) continue;
    if (!month && (month = as_month(token))) continue;
    if (!year) year = take_number(rest, 2, 4);
  }
  if (!time || !day || !month || !year) return std::nullopt;
  if (*year >= 70 && *year <= 99)
    *year += 1900;
  else if (*year <= 69)
    *year += 2000;
  const std::chrono::year_month_day date{std::chrono::year(*year), std::chrono::month(*month),
                                         std::chrono::day(static_cast<unsigned>(*day))};
  if (*year < 1601 || !date.ok() || time->hour > 23 || time->minute > 59 || time->second > 59)
    return std::nullopt;
  const auto at = std::chrono::sys_days(date) + std::chrono::hours(time->hour) +
                  std::chrono::minutes(time->minute) + std::chrono::seconds(time->second);
  return std::chrono::duration_cast<std::chrono::milliseconds>(at.time_since_epoch()).count();
}

} // namespace dormouse::detail
