#pragma once

/// Files whose bad sectors are damage. A read that fails with an error of the disk (EIO) may pass, and is
/// tried again by whoever reads. But a bad sector fails for ever, and what waits for it would wait for ever.
/// So a place that has failed for `patience` while other reads succeed is reported as `Corruption`, like a
/// block that fails its checksum: it is passed over, counted and named, and can be repaired.

#include <rocksdb/file_system.h>

#include <chrono>
#include <memory>

namespace dormouse {

inline constexpr std::chrono::seconds bad_sector_patience{10};

/// `patience` 0: a place that fails twice in a row is bad. Only files that are read at random are watched:
/// tables and blobs. A null `files` is the system's. Thread-safe.
std::shared_ptr<rocksdb::FileSystem> with_bad_sectors(std::shared_ptr<rocksdb::FileSystem> files,
                                                      std::chrono::milliseconds patience);

} // namespace dormouse
