#pragma once

/// Repair of a damaged store: what can be read is copied into a fresh one, which takes the place of the old
/// one; the old files are kept in a folder beside it. What could not be read is listed in the fresh store
/// (lost_rows.hpp), so that nobody takes it for what never was.
///
/// Row by row the whole store is walked over. A damaged block hides all rows of its range, also those that
/// are in other tables: of these each is asked for by itself, and is saved if its newest version is not in
/// the block. Rows that only point to others (due times, deadlines, marks) are made anew if they are lost.
///
/// The exchange of the files can be interrupted anywhere: a note says how far it has come, and the next open,
/// or repair, finishes it. The files of large bodies stay where they are.

#include "store/lost_rows.hpp"
#include "store/rocksdb_engine.hpp"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

namespace dormouse {

struct repair_report {
  std::filesystem::path kept;   ///< the folder with the old files
  std::uint64_t rows = 0;       ///< that were saved
  std::vector<lost_range> lost; ///< what was not
  bool log_was_cut = false;     ///< the log was damaged: commits at its end may be missing
  std::optional<std::uint64_t> missing_commits = {}; ///< how many, if the watermark tells
};

/// What becomes of commits at the end of a damaged log, which the world may have seen, and of what was in
/// table files that are gone.
enum class missing_commits : std::uint8_t { refuse, give_up };

/// Of a store that nobody has open. Errors: `directory_locked`, `directory_unusable`, `storage_error`; the
/// store is then as it was. `corrupt` if the database cannot be opened at all (its MANIFEST is damaged), or
/// if commits are missing and are not to be given up.
expected<repair_report> repair_store(const rocksdb_settings& settings, std::int64_t now_ms,
                                     missing_commits lost = missing_commits::give_up);

/// Whether there are files of a database, be they all of them or not.
bool holds_database(const std::filesystem::path& directory);

/// Finishes the exchange of files of a repair that was interrupted, if there is one. Errors as above.
expected<void> finish_repair(const std::filesystem::path& directory);

/// Forgets what was lost: from now on it is as if it had never been. Returns how many ranges there were.
expected<std::uint64_t> accept_losses(const rocksdb_settings& settings);

} // namespace dormouse
