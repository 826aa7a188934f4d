#include "zone_rules.hpp"

#include <date/tz.h>
#include <fmt/format.h>

#include <algorithm>

namespace dormouse {

using std::chrono::seconds;
using std::chrono::sys_seconds;

expected<zone_rules> zone_rules::find(const std::string& name) {
  zone_rules out;
  if (name == "UTC") return out;
  try {
    out.zone_ = date::locate_zone(name);
    return out;
  } catch (const std::exception& e) {
    return fail(errc::invalid_request, fmt::format("time zone {:?} is not in the system's tz database: {}",
                                                   name.substr(0, 100), e.what()));
  }
}

zone_rules::stretch zone_rules::at(sys_seconds when) const {
  if (zone_ == nullptr) return {seconds(0), sys_seconds::max(), sys_seconds::min()};
  const auto& zone = *static_cast<const date::time_zone*>(zone_);
  const auto now = zone.get_info(when);
  // Clocks change less often than once a day.
  const auto before =
      when - now.begin < std::chrono::days(1) ? zone.get_info(now.begin - seconds(1)).offset : now.offset;
  return {now.offset, now.end, now.begin + std::max(seconds(0), before - now.offset)};
}

} // namespace dormouse
