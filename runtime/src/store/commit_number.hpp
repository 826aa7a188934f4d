#pragma once

/// The number of the last commit, as a row of the database. Each batch of commits writes it anew, so it says
/// how far the database has come, and can be held against the watermark.

#include <dormouse/serialization/error.hpp>

#include <rocksdb/db.h>

#include <cstdint>
#include <string>

namespace dormouse {

unexpected<error> storage_failure(const rocksdb::Status& status);

namespace commit_number {

std::string encode(std::uint64_t number);

/// 0 if an earlier version has written the store. Errors: `corrupt`, `storage_error`.
expected<std::uint64_t> read(rocksdb::DB& db);

} // namespace commit_number
} // namespace dormouse
