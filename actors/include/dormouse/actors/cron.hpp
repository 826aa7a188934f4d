#pragma once

/// A cron expression in a time zone.
///
///   cron("0 9 * * MON-FRI", "Europe/Berlin")    at 9 on working days, by the clocks of Berlin
///   cron("@daily")                              at midnight UTC
///
/// Five fields: minute 0-59, hour 0-23, day of the month 1-31, month 1-12 or JAN-DEC, day of the week 0-7 or
/// SUN-SAT (0 and 7 are Sunday). Six: a second 0-59 first. A field is a list of `*`, `a`, `a-b`, each with a
/// step as in `*/5` or `10-40/10`; `a/s` is from `a` to the end. Also `@yearly`
/// (`@annually`), `@monthly`, `@weekly`, `@daily` (`@midnight`), `@hourly`. Names are taken in upper and
/// lower case.
///
/// As in Vixie's cron, if both the day of the month and the day of the week are given (neither begins with
/// `*`), a day that is one of either will do.
///
/// Clocks that change: with hours given, a time that is skipped in spring becomes the first moment after the
/// gap, once, and a time that comes twice in autumn counts the first time only. An expression for every hour
/// (`*`) goes by elapsed time: it skips nothing and repeats nothing.

#include <dormouse/serialization/error.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace dormouse {

inline constexpr std::size_t max_cron_bytes = 256;

class cron {
public:
  /// `zone` is a name of the system's tz database. Throws `failure{invalid_request}` for an expression that
  /// is none, has no time at all (30 February), or a zone that the system does not know.
  explicit cron(std::string expression, std::string zone = "UTC");

  /// The same without an exception.
  static expected<cron> parse(std::string expression, std::string zone = "UTC");

  const std::string& expression() const noexcept { return expression_; }
  const std::string& zone() const noexcept { return zone_; }

  /// The first of its times after `after`; nothing if there is none within nine years. To the second.
  std::optional<std::chrono::system_clock::time_point>
  next(std::chrono::system_clock::time_point after) const;

private:
  cron() = default;

  std::string expression_;
  std::string zone_;
  // One bit per value.
  std::uint64_t seconds_ = 1;
  std::uint64_t minutes_ = 0;
  std::uint32_t hours_ = 0;
  std::uint32_t days_ = 0;     ///< of the month, from bit 1
  std::uint32_t months_ = 0;   ///< from bit 1
  std::uint32_t weekdays_ = 0; ///< Sunday is bit 0
  bool either_day_ = false;    ///< a day of the month or a day of the week will do
};

} // namespace dormouse
