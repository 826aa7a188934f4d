#pragma once

/// How much room the store's disk has. A batch is refused while the log has not been touched if it would not
/// leave the disk some room: that error costs nothing, whereas a log that could not be written whole has to
/// be opened anew (reopening_db.hpp).
///
/// A small file, `ballast`, keeps some of the room. It is given up when the disk is full after all, so that
/// the store can be opened anew, and it is put back when there is room again. Nobody reads it.

#include <dormouse/serialization/error.hpp>

#include <rocksdb/file_system.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>

namespace dormouse {

class disk_room {
public:
  static constexpr std::uint64_t least_free_bytes = std::uint64_t{1} << 20U; ///< that a batch must leave
  static constexpr std::uint64_t ballast_bytes = std::uint64_t{1} << 20U;

  disk_room(std::shared_ptr<rocksdb::FileSystem> files, std::filesystem::path directory);

  /// Error: `storage_error` naming the directory, what is free and what is needed.
  expected<void> admit(std::size_t batch_bytes) const;

  /// Whether something can be written at all: creates, writes, syncs and removes a small file. Error:
  /// `storage_error` with the cause.
  expected<void> probe() const;

  /// Nothing if the file system does not say.
  std::optional<std::uint64_t> free_bytes() const;

  // One thread.
  void give_up_ballast() noexcept;
  void restore_ballast() noexcept; ///< if there is room
  bool has_ballast() const noexcept { return has_ballast_.load(std::memory_order_relaxed); }

private:
  const std::shared_ptr<rocksdb::FileSystem> files_;
  const std::string directory_;
  const std::string ballast_;
  std::atomic<bool> has_ballast_{false}; ///< or can have none here
};

} // namespace dormouse
