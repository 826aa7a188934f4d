#pragma once

/// The storage engine on RocksDB. A blob-sized value goes to RocksDB's blob files, so that compaction does
/// not copy it. It goes on by itself after errors of the disk (reopening_db.hpp).

#include "ports/storage_engine.hpp"
#include "store/bad_sectors.hpp"

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <memory>

namespace spdlog {
class logger;
}

namespace dormouse {

struct rocksdb_settings {
  std::filesystem::path directory;
  std::size_t cache_bytes;
  std::size_t buffer_bytes;
  std::size_t min_blob_bytes;
  std::chrono::milliseconds lock_wait{0};          ///< for another runtime to let the directory go
  std::shared_ptr<rocksdb::FileSystem> files = {}; ///< null: the system's
  std::shared_ptr<spdlog::logger> log = {};        ///< null: nobody is told of outages
  std::chrono::milliseconds bad_sector_patience = dormouse::bad_sector_patience;
};

/// Takes the lock of the directory, which the engine holds until its end. A database that has lost commits is
/// not opened, and left as it is. Errors: `directory_locked`, `directory_unusable`, `corrupt`, each naming
/// the directory. On a full disk it is `directory_unusable` and can be tried again.
expected<std::unique_ptr<storage_engine>> open_rocksdb(const rocksdb_settings& settings);

} // namespace dormouse
