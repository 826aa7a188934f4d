#pragma once

/// What of a damaged database can be read goes into another one.

#include "store/lost_rows.hpp"

#include <rocksdb/db.h>

#include <cstdint>
#include <filesystem>
#include <vector>

namespace dormouse {

struct salvaged {
  std::uint64_t rows = 0;
  std::vector<lost_range> lost; ///< in order
};

/// All rows of `from`, whose memory has been written to its tables, which are in `directory`. Error:
/// `storage_error`.
expected<salvaged> salvage(rocksdb::DB& from, const rocksdb::Options& options,
                           const std::filesystem::path& directory, storage_engine& to, std::int64_t now_ms);

} // namespace dormouse
