#pragma once

/// Waiting in tests: on a condition, with a deadline, never for a time.

#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <mutex>
#include <random>
#include <string>

namespace dormouse::test {

/// Whether `holds` became true before the deadline. Looks again every millisecond.
inline bool eventually(const std::function<bool()>& holds,
                       std::chrono::milliseconds deadline = std::chrono::seconds(30)) {
  const auto give_up = std::chrono::steady_clock::now() + deadline;
  std::mutex mutex;
  std::condition_variable never_notified;
  while (!holds()) {
    if (std::chrono::steady_clock::now() >= give_up) return holds();
    std::unique_lock lock(mutex);
    never_notified.wait_for(lock, std::chrono::milliseconds(1));
  }
  return true;
}

/// A directory that is removed with its contents at the end.
class scratch_directory {
public:
  scratch_directory() {
    auto pattern = (std::filesystem::temp_directory_path() / "dormouse-test-XXXXXX").string();
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

} // namespace dormouse::test
