#pragma once

/// The number of the last commit, as a row of the database. Each batch of commits writes it anew, so it says
/// how far the database has come, and can be held against the watermark. With it goes the number of the batch
/// before, so that tables and log can be held against each other: the log goes on where the tables end.

#include <dormouse/serialization/error.hpp>

#include <rocksdb/db.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace dormouse {

unexpected<error> storage_failure(const rocksdb::Status& status);

namespace commit_number {

struct numbers {
  std::uint64_t last = 0;
  std::optional<std::uint64_t> before = {}; ///< nothing: an earlier version has written it
};

std::string encode(std::uint64_t number, std::uint64_t before);

/// Nothing if it is none.
std::optional<numbers> decode(std::string_view bytes);

/// 0 if an earlier version has written the store. Errors: `corrupt`, `storage_error`.
expected<std::uint64_t> read(rocksdb::DB& db);

/// Whether the tables of a database reach as far as its log begins; `before` is what the first record of the
/// log says was there. Error: `corrupt`: tables are missing, for the list of them, the MANIFEST, is damaged.
expected<void> check_tables(rocksdb::DB& db, std::uint64_t before);

} // namespace commit_number
} // namespace dormouse
