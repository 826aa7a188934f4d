#pragma once

/// The storage engine on RocksDB. A blob-sized value goes to RocksDB's blob files, so that compaction does
/// not copy it.

#include "ports/storage_engine.hpp"

#include <chrono>
#include <cstddef>
#include <filesystem>

namespace dormouse {

struct rocksdb_settings {
  std::filesystem::path directory;
  std::size_t cache_bytes;
  std::size_t buffer_bytes;
  std::size_t min_blob_bytes;
  std::chrono::milliseconds lock_wait{0}; ///< for another runtime to let the directory go
};

/// Takes the lock of the directory, which the engine holds until its end. A database that has lost commits is
/// not opened, and left as it is. Errors: `directory_locked`, `directory_unusable`, `corrupt`, each naming
/// the directory.
expected<std::unique_ptr<storage_engine>> open_rocksdb(const rocksdb_settings& settings);

} // namespace dormouse
