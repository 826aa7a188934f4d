#include <dormouse/runtime/stats.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

namespace dormouse {

void duration_histogram::add(std::chrono::microseconds duration) noexcept {
  const auto ms = static_cast<std::uint64_t>(std::max<std::int64_t>(0, duration.count()) / 1000);
  ++buckets[std::min<std::size_t>(static_cast<std::size_t>(std::bit_width(ms)), buckets.size() - 1)];
}

std::uint64_t duration_histogram::count() const noexcept {
  return std::accumulate(buckets.begin(), buckets.end(), std::uint64_t{0});
}

std::chrono::milliseconds duration_histogram::percentile(double part) const noexcept {
  const auto wanted =
      static_cast<std::uint64_t>(std::ceil(std::clamp(part, 0.0, 1.0) * static_cast<double>(count())));
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < buckets.size(); ++i) {
    seen += buckets[i];
    if (seen != 0 && seen >= wanted) return std::chrono::milliseconds(std::int64_t{1} << i);
  }
  return {};
}

} // namespace dormouse
