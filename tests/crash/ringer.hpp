#pragma once

/// Objects that schedule calls of themselves, some due at once and some soon, and remember how often each
/// came.

#include "crash/crash_settings.hpp"

#include <dormouse/dormouse.hpp>

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace dormouse::test {

inline constexpr std::uint64_t ringer_count = 20;
inline constexpr std::uint32_t rings_at_once = 8;
inline constexpr std::uint64_t most_rings_waiting = 400;
inline constexpr std::chrono::milliseconds beat{20};

inline std::string ringer_id(std::uint64_t index) { return "r" + std::to_string(index); }

inline options ring_options(const std::filesystem::path& directory) {
  auto out = crash_options(directory);
  out.max_firing_schedules = 16; // most of what is due waits on disk
  out.min_schedule_interval = std::chrono::milliseconds(1);
  return out;
}

class ringer : public durable_object {
public:
  void on_create() override {
    schedule<&ringer::on_beat>({.at = every(beat), .name = "beat", .missed = missed_ticks::all});
  }

  void wind(std::uint32_t count) {
    for (std::uint32_t i = 0; i < count; ++i)
      add(true);
  }
  void on_ring(std::uint64_t number, bool again) {
    ++rings_.at(number);
    if (again) add(false); // in the same commit
  }
  /// With a call for each tick, the one behind another is the one that comes after it.
  void on_beat() {
    const auto at = std::chrono::duration_cast<std::chrono::milliseconds>(tick()->time_since_epoch()).count();
    if (last_beat_ != 0 && at != last_beat_ + beat.count()) ++odd_beats_;
    last_beat_ = at;
    ++beats_;
  }
  void stop() { cancel_schedule("beat"); }

  std::vector<std::uint32_t> rings() const { return rings_; }
  std::uint64_t beats() const { return beats_; }
  std::uint64_t odd_beats() const { return odd_beats_; }

  template <class Archive> void serialize(Archive& ar) { ar(rings_, last_beat_, beats_, odd_beats_); }

  using methods = dormouse::methods<
      "RINGER", dormouse::method<"wind", &ringer::wind>, dormouse::method<"on_ring", &ringer::on_ring>,
      dormouse::method<"on_beat", &ringer::on_beat>, dormouse::method<"stop", &ringer::stop>,
      dormouse::method<"rings", &ringer::rings>, dormouse::method<"beats", &ringer::beats>,
      dormouse::method<"odd_beats", &ringer::odd_beats>>;

private:
  void add(bool again) {
    rings_.push_back(0);
    const auto number = rings_.size() - 1;
    schedule<&ringer::on_ring>(std::chrono::milliseconds(number * 7 % 30), std::uint64_t{number}, again);
  }

  std::vector<std::uint32_t> rings_; ///< by number: how often
  std::int64_t last_beat_ = 0;
  std::uint64_t beats_ = 0;
  std::uint64_t odd_beats_ = 0;
};

} // namespace dormouse::test
