#pragma once

/// A time zone of the system's tz database. The standard library of this compiler has none, so the date
/// library reads it; nobody else sees that library.

#include <dormouse/serialization/error.hpp>

#include <chrono>
#include <string>

namespace dormouse {

class zone_rules {
public:
  /// Error: `invalid_request`. "UTC" needs no database.
  static expected<zone_rules> find(const std::string& name);

  struct stretch {
    std::chrono::seconds offset;  ///< local time is the time plus this,
    std::chrono::sys_seconds end; ///< until then
    std::chrono::sys_seconds
        repeats_until; ///< from the stretch's beginning until then, local times come that have been before
  };

  /// The stretch that a moment is in.
  stretch at(std::chrono::sys_seconds when) const;

private:
  const void* zone_ = nullptr; ///< null: UTC. Lives as long as the process
};

} // namespace dormouse
