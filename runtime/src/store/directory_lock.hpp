#pragma once

/// The lock that makes a directory one runtime's. The database has a lock of its own, but that one goes by
/// the spelling of the path within a process, and a process that takes it twice has it twice.
///
/// This one is `flock` on the file `dormouse.lock` in the directory. The kernel keeps it by device and inode,
/// so whichever way leads there (`/x/d/`, `/x/./d`, a symbolic link, a second mount), it is one lock; and it
/// belongs to one opening of the file, so a second one in the same process is refused as well. It ends with
/// the process, however that ends. The file stays, and says who had it last. Should somebody remove it, the
/// lock of the directory itself, which is taken too, still holds.

#include <dormouse/serialization/error.hpp>

#include <chrono>
#include <filesystem>

namespace dormouse {

/// Makes the directory if it is not there. Its path without symbolic links, `.` and `..`, from the root: it
/// leads there whatever becomes of the working directory. Error: `directory_unusable`.
expected<std::filesystem::path> make_directory(const std::filesystem::path& directory);

class directory_lock {
public:
  /// Tries until `wait` is over. Errors: `directory_locked` naming the directory and the process that has it,
  /// `directory_unusable`.
  static expected<directory_lock> take(const std::filesystem::path& directory,
                                       std::chrono::milliseconds wait);

  directory_lock(directory_lock&& other) noexcept;
  directory_lock& operator=(directory_lock&&) = delete;
  ~directory_lock();

private:
  explicit directory_lock(int descriptor) : descriptor_(descriptor) {}

  int descriptor_;
  int folder_ = -1; ///< the directory, locked too; -1: its file system has no such locks
};

} // namespace dormouse
