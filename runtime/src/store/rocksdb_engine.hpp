#pragma once

/// The storage engine on RocksDB. A blob-sized value goes to RocksDB's blob files, so that compaction does
/// not copy it.

#include "ports/storage_engine.hpp"

#include <cstddef>
#include <filesystem>

namespace dormouse {

struct rocksdb_settings {
  std::filesystem::path directory;
  std::size_t cache_bytes;
  std::size_t buffer_bytes;
  std::size_t min_blob_bytes;
};

/// Errors: `directory_locked`, `directory_unusable`, `corrupt`, each naming the directory.
expected<std::unique_ptr<storage_engine>> open_rocksdb(const rocksdb_settings& settings);

} // namespace dormouse
