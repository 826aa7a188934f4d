#pragma once

/// What the rows share: time, medians, a scratch directory, bytes in use.

#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace dormouse::bench {

using steady = std::chrono::steady_clock;

inline double seconds_since(steady::time_point start) {
  return std::chrono::duration<double>(steady::now() - start).count();
}

/// The value below which the given part of the samples lies.
inline double percentile(std::vector<double> samples, double part) {
  auto at = samples.begin() + static_cast<std::ptrdiff_t>(static_cast<double>(samples.size() - 1) * part);
  std::nth_element(samples.begin(), at, samples.end());
  return *at;
}

inline double median(std::vector<double> samples) { return percentile(std::move(samples), 0.5); }

/// Bytes that malloc has given out and not got back, over all arenas.
inline double heap_bytes() {
  const auto info = ::mallinfo2();
  return static_cast<double>(info.uordblks + info.hblkhd);
}

/// How much more memory than at the beginning the process has had at any moment since, as the kernel counts
/// it (RSS).
class peak_memory {
public:
  peak_memory() {
    ::malloc_trim(0);
    std::ofstream("/proc/self/clear_refs") << '5'; // the high-water mark begins anew
    before_ = kernel_says("VmRSS:");
  }

  double growth() const { return std::max(0.0, kernel_says("VmHWM:") - before_); }

private:
  static double kernel_says(const std::string& name) {
    std::ifstream status("/proc/self/status");
    for (std::string word; status >> word;)
      if (double kib = 0; word == name && status >> kib) return kib * 1024;
    throw std::runtime_error("/proc/self/status has no " + name);
  }

  double before_ = 0;
};

class scratch_directory {
public:
  scratch_directory() {
    auto pattern = (std::filesystem::temp_directory_path() / "dormouse-bench-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no scratch directory");
    path_ = pattern;
  }
  scratch_directory(const scratch_directory&) = delete;
  scratch_directory& operator=(const scratch_directory&) = delete;
  ~scratch_directory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::filesystem::path& path() const noexcept { return path_; }

private:
  std::filesystem::path path_;
};

} // namespace dormouse::bench
