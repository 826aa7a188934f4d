#include "store/directory_lock.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <system_error>
#include <utility>

namespace dormouse {
namespace {

using std::chrono::milliseconds;
using clock = std::chrono::steady_clock;

constexpr milliseconds between_tries{10};
constexpr int most_removals = 100;

unexpected<error> unusable(const std::filesystem::path& what, std::string_view why) {
  return fail(errc::directory_unusable, fmt::format("'{}' {}", what.string(), why));
}

unexpected<error> unusable(const std::filesystem::path& file, std::string_view what, int code) {
  return unusable(file, fmt::format("cannot be {}: {}", what, std::generic_category().message(code)));
}

/// Somebody may have removed the file, and another runtime made it anew, while we took the lock of the old
/// one.
bool is_still_there(int descriptor, const std::filesystem::path& file) {
  struct stat held {};
  struct stat found {};
  return ::fstat(descriptor, &held) == 0 && ::stat(file.c_str(), &found) == 0 &&
         held.st_dev == found.st_dev && held.st_ino == found.st_ino;
}

/// " by process 4711", if the file says so.
std::string holder(int descriptor) {
  char text[32];
  const auto bytes = ::pread(descriptor, text, sizeof(text), 0);
  if (bytes <= 0) return {};
  const std::string_view said(text, static_cast<std::size_t>(bytes));
  const auto digits = said.substr(0, said.find('\n'));
  if (digits.empty() || digits.find_first_not_of("0123456789") != std::string_view::npos) return {};
  return fmt::format(" by process {}", digits);
}

/// For people only: that it cannot be written harms nobody.
void sign(int descriptor) {
  const auto text = fmt::format("{}\n", ::getpid());
  if (::ftruncate(descriptor, 0) == 0) [[maybe_unused]]
    const auto written = ::pwrite(descriptor, text.data(), text.size(), 0);
}

} // namespace

expected<std::filesystem::path> make_directory(const std::filesystem::path& directory) {
  if (directory.empty()) return fail(errc::directory_unusable, "options::directory is empty");
  std::error_code failed;
  std::filesystem::create_directories(directory, failed);
  if (failed || !std::filesystem::is_directory(directory, failed))
    return fail(errc::directory_unusable,
                fmt::format("directory '{}' cannot be created: {}", directory.string(),
                            failed ? failed.message() : "it is not a directory"));
  auto canonical = std::filesystem::canonical(directory, failed);
  if (failed)
    return fail(errc::directory_unusable,
                fmt::format("directory '{}' cannot be found: {}", directory.string(), failed.message()));
  if (::access(canonical.c_str(), R_OK | W_OK | X_OK) != 0)
    return fail(
        errc::directory_unusable,
        fmt::format("directory '{}' is not readable and writable for this process", directory.string()));
  return canonical;
}

expected<directory_lock> directory_lock::take(const std::filesystem::path& directory, milliseconds wait) {
  const auto file = directory / "dormouse.lock";
  const auto give_up = clock::now() + wait;
  for (int removed = 0;;) {
    const int descriptor = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (descriptor < 0) return unusable(file, "opened", errno);
    directory_lock lock(descriptor);
    lock.folder_ = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool is_taken =
        lock.folder_ >= 0 && ::flock(lock.folder_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    if (is_taken) errno = EWOULDBLOCK;
    if (!is_taken && ::flock(descriptor, LOCK_EX | LOCK_NB) == 0) {
      if (is_still_there(descriptor, file)) {
        sign(descriptor);
        return lock;
      }
      if (++removed == most_removals) return unusable(file, "is removed again and again");
      continue;
    }
    const int why = errno;
    if (why != EWOULDBLOCK && why != EINTR) return unusable(file, "locked", why);
    const auto left = std::chrono::ceil<milliseconds>(give_up - clock::now());
    if (left <= milliseconds(0))
      return fail(errc::directory_locked,
                  fmt::format("directory '{}' is in use{} (one runtime per directory; options::lock_wait "
                              "waits, here for {} ms)",
                              directory.string(), holder(descriptor), wait.count()));
    ::poll(nullptr, 0, static_cast<int>(std::min(left, between_tries).count()));
  }
}

directory_lock::directory_lock(directory_lock&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), folder_(std::exchange(other.folder_, -1)) {}

/// Unlocked by hand: a child process that was forked meanwhile has the descriptor too.
directory_lock::~directory_lock() {
  for (const int each : {folder_, descriptor_}) {
    if (each < 0) continue;
    ::flock(each, LOCK_UN);
    ::close(each);
  }
}

} // namespace dormouse
