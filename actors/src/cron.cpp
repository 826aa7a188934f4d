#include "zone_rules.hpp"

#include <dormouse/actors/cron.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <string_view>
#include <utility>

namespace dormouse {
namespace {

using std::chrono::days;
using std::chrono::local_days;
using std::chrono::local_seconds;
using std::chrono::seconds;
using std::chrono::sys_seconds;

constexpr std::array<std::string_view, 12> month_names{"JAN", "FEB", "MAR", "APR", "MAY", "JUN",
                                                       "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"};
constexpr std::array<std::string_view, 7> weekday_names{"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"};
constexpr std::array<std::pair<std::string_view, std::string_view>, 7> shorthands{{
    {"@yearly", "0 0 1 1 *"},
    {"@annually", "0 0 1 1 *"},
    {"@monthly", "0 0 1 * *"},
    {"@weekly", "0 0 * * 0"},
    {"@daily", "0 0 * * *"},
    {"@midnight", "0 0 * * *"},
    {"@hourly", "0 * * * *"},
}};

/// The leap days around 2100 are eight years apart.
constexpr days furthest{9 * 366};
constexpr std::uint32_t every_hour = (1U << 24U) - 1;

struct field_rules {
  std::string_view what;
  unsigned least;
  unsigned most;
  const std::string_view* names = nullptr; ///< of `least`, `least + 1`, ...
  std::size_t name_count = 0;
};

constexpr field_rules second_rules{"second", 0, 59};
constexpr field_rules minute_rules{"minute", 0, 59};
constexpr field_rules hour_rules{"hour", 0, 23};
constexpr field_rules day_rules{"day of the month", 1, 31};
constexpr field_rules month_rules{"month", 1, 12, month_names.data(), month_names.size()};
constexpr field_rules weekday_rules{"day of the week", 0, 7, weekday_names.data(), weekday_names.size()};

bool same_name(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return (x >= 'a' && x <= 'z' ? x - 'a' + 'A' : x) == y; });
}

std::optional<unsigned> parse_number(std::string_view text) {
  unsigned value = 0;
  auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  return code == std::errc{} && end == text.data() + text.size() ? std::optional(value) : std::nullopt;
}

std::optional<unsigned> parse_value(std::string_view text, const field_rules& rules) {
  for (std::size_t i = 0; i < rules.name_count; ++i)
    if (same_name(text, rules.names[i])) return rules.least + static_cast<unsigned>(i);
  auto value = parse_number(text);
  return value && *value >= rules.least && *value <= rules.most ? value : std::nullopt;
}

/// One item of a field's list. Nothing if it is none.
std::optional<std::uint64_t> parse_item(std::string_view item, const field_rules& rules) {
  const auto slash = item.find('/');
  const auto range = item.substr(0, slash);
  unsigned step = 1;
  if (slash != std::string_view::npos) {
    auto given = parse_number(item.substr(slash + 1));
    if (!given || *given == 0 || *given > rules.most) return std::nullopt;
    step = *given;
  }
  unsigned first = rules.least;
  unsigned last = rules.most;
  if (range != "*") {
    const auto dash = range.find('-');
    auto from = parse_value(range.substr(0, dash), rules);
    if (!from) return std::nullopt;
    first = *from;
    if (dash != std::string_view::npos) {
      auto to = parse_value(range.substr(dash + 1), rules);
      if (to && *to == 0 && rules.most == 7) to = 7; // SAT-SUN
      if (!to || *to < first) return std::nullopt;
      last = *to;
    } else if (slash == std::string_view::npos) {
      last = first;
    }
  }
  std::uint64_t bits = 0;
  for (auto value = first; value <= last; value += step)
    bits |= std::uint64_t{1} << value;
  return bits;
}

expected<std::uint64_t> parse_field(std::string_view text, const field_rules& rules) {
  std::uint64_t bits = 0;
  for (std::size_t from = 0; from <= text.size();) {
    const auto comma = std::min(text.find(',', from), text.size());
    const auto item = text.substr(from, comma - from);
    auto parsed = parse_item(item, rules);
    if (!parsed)
      return fail(errc::invalid_request,
                  fmt::format("'{}' is not a {}, which is {}..{}{}", item, rules.what, rules.least,
                              rules.most, rules.name_count == 0 ? "" : ", or a name of three letters"));
    bits |= *parsed;
    from = comma + 1;
  }
  return bits;
}

std::vector<std::string_view> fields_of(std::string_view text) {
  std::vector<std::string_view> out;
  for (std::size_t at = 0; (at = text.find_first_not_of(" \t", at)) != std::string_view::npos;) {
    const auto end = std::min(text.find_first_of(" \t", at), text.size());
    out.push_back(text.substr(at, end - at));
    at = end;
  }
  return out;
}

/// The lowest bit at or above `from`.
std::optional<unsigned> bit_from(std::uint64_t bits, unsigned from) {
  const auto rest = from < 64 ? bits >> from << from : 0;
  return rest == 0 ? std::nullopt : std::optional(static_cast<unsigned>(std::countr_zero(rest)));
}

/// What the clocks of a zone without changes would do: the expression's times as local times.
struct calendar {
  std::uint64_t seconds, minutes;
  std::uint32_t hours, days, months, weekdays;
  bool either_day;

  bool has(local_days day) const {
    const std::chrono::year_month_day date(day);
    if ((months >> static_cast<unsigned>(date.month()) & 1U) == 0) return false;
    const bool by_date = (days >> static_cast<unsigned>(date.day()) & 1U) != 0;
    const bool by_weekday = (weekdays >> std::chrono::weekday(day).c_encoding() & 1U) != 0;
    return either_day ? by_date || by_weekday : by_date && by_weekday;
  }

  /// The first time of a day at or after `from`, as seconds of that day.
  std::optional<unsigned> time_from(unsigned from) const {
    for (auto hour = bit_from(hours, from / 3600); hour; hour = bit_from(hours, *hour + 1)) {
      const auto left = std::max(from, *hour * 3600) - *hour * 3600;
      for (auto minute = left < 3600 ? bit_from(minutes, left / 60) : std::nullopt; minute;
           minute = bit_from(minutes, *minute + 1))
        if (auto second = bit_from(seconds, *minute * 60 < left ? left - *minute * 60 : 0))
          return *hour * 3600 + *minute * 60 + *second;
    }
    return std::nullopt;
  }

  std::optional<local_seconds> at_or_after(local_seconds from) const {
    auto day = std::chrono::floor<std::chrono::days>(from);
    auto second = static_cast<unsigned>((from - day).count());
    for (const auto end = day + furthest; day < end; day += std::chrono::days(1), second = 0)
      if (has(day))
        if (auto time = time_from(second)) return local_seconds(day) + std::chrono::seconds(*time);
    return std::nullopt;
  }
};

} // namespace

expected<cron> cron::parse(std::string expression, std::string zone) {
  const auto refused = [&expression](const std::string& why) {
    return fail(errc::invalid_request,
                fmt::format("cron expression {:?}: {}", expression.substr(0, max_cron_bytes), why));
  };
  if (expression.size() > max_cron_bytes)
    return refused(fmt::format("it has {} bytes; the limit is {}", expression.size(), max_cron_bytes));
  std::string_view text = expression;
  if (!text.empty() && text.front() == '@') {
    const auto* known = std::find_if(shorthands.begin(), shorthands.end(),
                                     [text](const auto& each) { return each.first == text; });
    if (known == shorthands.end())
      return refused("the names are @yearly, @annually, @monthly, @weekly, @daily, @midnight and @hourly");
    text = known->second;
  }
  auto fields = fields_of(text);
  if (fields.size() != 5 && fields.size() != 6)
    return refused(fmt::format("it has {} fields; there are five (minute, hour, day of the month, month, day "
                               "of the week), or six with a second first",
                               fields.size()));
  if (fields.size() == 5) fields.insert(fields.begin(), "0");
  std::array<std::uint64_t, 6> bits{};
  const std::array rules{&second_rules, &minute_rules, &hour_rules, &day_rules, &month_rules, &weekday_rules};
  for (std::size_t i = 0; i < bits.size(); ++i) {
    auto parsed = parse_field(fields[i], *rules[i]);
    if (!parsed) return refused(parsed.error().message);
    bits[i] = *parsed;
  }
  cron out;
  out.seconds_ = bits[0];
  out.minutes_ = bits[1];
  out.hours_ = static_cast<std::uint32_t>(bits[2]);
  out.days_ = static_cast<std::uint32_t>(bits[3]);
  out.months_ = static_cast<std::uint32_t>(bits[4]);
  out.weekdays_ = static_cast<std::uint32_t>((bits[5] | bits[5] >> 7U) & 0x7fU); // 7 is Sunday too
  out.either_day_ = fields[3].front() != '*' && fields[5].front() != '*';
  const calendar local{out.seconds_, out.minutes_,  out.hours_,     out.days_,
                       out.months_,  out.weekdays_, out.either_day_};
  if (!local.at_or_after(local_seconds(local_days(std::chrono::year(2000) / 1 / 1))))
    return refused("no day of any year is meant by it");
  if (auto known = zone_rules::find(zone); !known) return refused(known.error().message);
  out.expression_ = std::move(expression);
  out.zone_ = std::move(zone);
  return out;
}

cron::cron(std::string expression, std::string zone)
    : cron(value_or_throw(parse(std::move(expression), std::move(zone)))) {}

/// From one change of the clocks to the next, local time is the time plus a constant.
std::optional<std::chrono::system_clock::time_point>
cron::next(std::chrono::system_clock::time_point after) const {
  const auto zone = zone_rules::find(zone_);
  if (!zone) return std::nullopt;
  const calendar local{seconds_, minutes_, hours_, days_, months_, weekdays_, either_day_};
  const bool by_elapsed_time = hours_ == every_hour;
  auto from = std::chrono::floor<seconds>(after) + seconds(1);
  for (const auto end = from + furthest; from < end;) {
    const auto now = zone->at(from);
    auto at = local_seconds((from + now.offset).time_since_epoch());
    if (const auto second_pass = now.repeats_until; !by_elapsed_time && from < second_pass)
      at = local_seconds((second_pass + now.offset).time_since_epoch());
    const auto found = local.at_or_after(at);
    if (const auto moment = found ? sys_seconds(found->time_since_epoch()) - now.offset : sys_seconds::max();
        moment < now.end)
      return moment;
    if (now.end >= end) return std::nullopt;
    const auto then = zone->at(now.end);
    const auto gap = local_seconds((now.end + now.offset).time_since_epoch());
    if (!by_elapsed_time && found && then.offset > now.offset && *found >= gap &&
        *found < gap + (then.offset - now.offset))
      return now.end;
    from = now.end;
  }
  return std::nullopt;
}

} // namespace dormouse
