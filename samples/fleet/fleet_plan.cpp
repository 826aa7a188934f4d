#include "fleet_plan.hpp"

#include <algorithm>
#include <array>
#include <cstdio>

namespace fleet {

namespace {

// splitmix64: a bijection of 64-bit numbers that looks random, so two objects never get the same one.
std::uint64_t scramble(std::uint64_t value) {
  value += 0x9e3779b97f4a7c15ULL;
  value = (value ^ (value >> 30U)) * 0xbf58476d1ce4e5b9ULL;
  value = (value ^ (value >> 27U)) * 0x94d049bb133111ebULL;
  return value ^ (value >> 31U);
}

constexpr std::uint64_t delay_stream = 0x64656c6179000000ULL;
constexpr std::uint64_t kill_stream = 0x6b696c6c00000000ULL;

} // namespace

std::string fleet_plan::instance_id(std::size_t object) const {
  std::array<char, 17> text{};
  std::snprintf(text.data(), text.size(), "%016llx",
                static_cast<unsigned long long>(scramble(seed + object)));
  return text.data();
}

std::chrono::milliseconds fleet_plan::delay_of(std::size_t object) const {
  const auto spread = static_cast<std::uint64_t>((longest_delay() - delay).count()) + 1;
  return delay + std::chrono::milliseconds(scramble((seed ^ delay_stream) + object) % spread);
}

std::string fleet_plan::request_url(std::size_t object) const {
  if (!scripted) return url;
  return url + "/k/" + key(object) + "?delay_ms=" + std::to_string(delay_of(object).count());
}

std::size_t fleet_plan::kill_after() const {
  const auto per_mille = 300 + scramble(seed ^ kill_stream) % 201;
  return std::max<std::size_t>(objects * per_mille / 1000, 1);
}

} // namespace fleet
