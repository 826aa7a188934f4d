#pragma once

/// What of a damaged database can be read goes into another one.

#include "store/lost_rows.hpp"

#include <rocksdb/db.h>

#include <cstdint>
#include <filesystem>
#include <vector>

namespace dormouse {

/// How often a store may have been opened since the last row that can be read; there are 2^24 epochs.
inline constexpr std::uint64_t most_epochs_lost = 65'536;

struct salvaged {
  std::uint64_t rows = 0;
  std::vector<lost_range> lost; ///< in order
  std::uint64_t last_epoch = 0; ///< that a row tells of
};

/// All rows of `from`, whose memory has been written to its tables, which are in `directory`. Error:
/// `storage_error`.
expected<salvaged> salvage(rocksdb::DB& from, const rocksdb::Options& options,
                           const std::filesystem::path& directory, storage_engine& to, std::int64_t now_ms);

} // namespace dormouse
