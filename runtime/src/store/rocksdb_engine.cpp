#include "store/rocksdb_engine.hpp"

#include "store/commit_number.hpp"
#include "store/deferred_deletions.hpp"
#include "store/directory_lock.hpp"
#include "store/file_size_signal.hpp"
#include "store/keys.hpp"
#include "store/reopening_db.hpp"
#include "store/repair.hpp"
#include "store/rocksdb_options.hpp"
#include "store/rocksdb_slice.hpp"
#include "store/wal_check.hpp"
#include "store/watermark.hpp"

#include <fmt/format.h>
#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>

namespace dormouse {
namespace {

class rocksdb_engine final : public storage_engine {
public:
  rocksdb_engine(directory_lock lock, watermark mark, std::unique_ptr<wal_check> check,
                 std::unique_ptr<reopening_db> db, std::uint64_t last_commit)
      : lock_(std::move(lock)),
        watermark_(std::move(mark)),
        check_(std::move(check)),
        db_(std::move(db)),
        last_commit_(last_commit),
        last_written_(last_commit) {}

  expected<std::optional<std::string>> get(std::string_view key) override { return db_->get(key); }

  expected<void> write(std::span<const write_set* const> sets) override {
    batch_.Clear();
    for (const auto* set : sets) {
      for (const auto& op : *set) {
        if (op.end)
          batch_.DeleteRange(slice(op.key), slice(*op.end));
        else if (op.value)
          batch_.Put(slice(op.key), slice(*op.value));
        else
          batch_.Delete(slice(op.key));
      }
    }
    // A number is used once, also if the write fails.
    last_commit_ += sets.size();
    batch_.Put(keys::last_commit(), commit_number::encode(last_commit_, last_written_));
    auto written = db_->write(batch_);
    if (!written) return written;
    last_written_ = last_commit_;
    watermark_.note_commits(last_commit_);
    return {};
  }

  std::unique_ptr<row_cursor> scan(std::string_view from, std::string_view to) override {
    return db_->scan(from, to, scan_order::forward);
  }

  std::unique_ptr<row_cursor> scan_back(std::string_view from, std::string_view to) override {
    return db_->scan(from, to, scan_order::backward);
  }

private:
  directory_lock lock_; ///< first: until the database is closed
  watermark watermark_;
  std::unique_ptr<wal_check> check_; ///< the options of the first opening refer to it
  std::unique_ptr<reopening_db> db_;
  rocksdb::WriteBatch batch_;  ///< one writer: kept for its capacity
  std::uint64_t last_commit_;  ///< its number
  std::uint64_t last_written_; ///< the number of the last one that has not failed
};

/// Why the database does not open.
error why_not_opened(const std::string& directory, const rocksdb::Status& status) {
  const auto text = status.ToString();
  // Not "while open a file for lock": there a descriptor or room is missing.
  if (text.find("While lock file") != std::string::npos ||
      text.find("lock hold by current process") != std::string::npos)
    return {errc::directory_locked,
            fmt::format("directory '{}' is in use by another runtime (one runtime per directory): {}",
                        directory, text)};
  const bool damaged = status.IsCorruption() || status.IsPathNotFound(); // a file that another one names
  return {damaged ? errc::corrupt : errc::directory_unusable,
          fmt::format("the store in '{}' cannot be opened: {}", directory, text)};
}

/// `found` commits, but `acknowledged` ones were promised.
unexpected<error> lost_commits(const std::filesystem::path& directory, std::uint64_t found,
                               std::uint64_t acknowledged) {
  return fail(
      errc::corrupt,
      fmt::format("the store in '{}' has lost {} acknowledged commits: its log ends at commit {}, and "
                  "its watermark is at {}",
                  directory.string(), acknowledged - found, found, acknowledged));
}

/// The first opening of the database: whether all that was acknowledged is in it.
class checked_opening {
public:
  checked_opening(const std::filesystem::path& directory, const watermark& mark)
      : directory_(directory), mark_(mark), check_(std::make_unique<wal_check>(directory)) {}

  /// Changes nothing if the log is damaged, or ends too early.
  rocksdb::Status open(rocksdb::Options options, std::unique_ptr<rocksdb::DB>& out) {
    options.wal_filter = check_.get();
    rocksdb::DB* opened = nullptr;
    auto status = rocksdb::DB::Open(options, directory_.string(), &opened);
    std::unique_ptr<rocksdb::DB> db(opened);
    if (const auto& problem = check_->problem())
      return refuse({errc::corrupt, fmt::format("the log of the store in '{}' is damaged: {}",
                                                directory_.string(), *problem)});
    if (!status.ok()) return status;
    if (const auto& before = check_->commits_before())
      if (const auto whole = commit_number::check_tables(*db, *before); !whole)
        return refuse({errc::corrupt,
                       fmt::format("the store in '{}': {}", directory_.string(), whole.error().message)});
    const auto number = commit_number::read(*db);
    if (!number) return refuse(number.error());
    if (*number < mark_.commits()) return refuse(lost_commits(directory_, *number, mark_.commits()).value());
    number_ = *number;
    if (check_->has_records()) status = db->Flush(rocksdb::FlushOptions());
    if (status.ok()) out = std::move(db);
    return status;
  }

  /// Of a status that is not ok.
  error why(const rocksdb::Status& status) const {
    return refused_ ? *refused_ : why_not_opened(directory_.string(), status);
  }

  std::unique_ptr<wal_check> take_check() { return std::move(check_); }
  std::uint64_t last_commit() const noexcept { return number_; }

private:
  rocksdb::Status refuse(error why) {
    refused_ = std::move(why);
    return rocksdb::Status::Aborted(refused_->message);
  }

  const std::filesystem::path& directory_;
  const watermark& mark_;
  std::unique_ptr<wal_check> check_;
  std::optional<error> refused_;
  std::uint64_t number_ = 0;
};

} // namespace

rocksdb::Options rocksdb_options(const rocksdb_settings& settings) {
  rocksdb::Options options;
  options.create_if_missing = true;
  options.max_background_jobs = 2;
  options.write_buffer_size = settings.buffer_bytes;
  options.max_write_buffer_number = 2;
  options.keep_log_file_num = 2;
  options.max_log_file_size = 1U << 20U;
  options.info_log_level = rocksdb::WARN_LEVEL;
  options.max_open_files =
      512; // table readers are memory too, and it must not grow with the number of objects
  options.compression = rocksdb::kLZ4Compression;
  // The end of the log may be torn, all before it is whole or the store does not open. A log over the file of
  // an older one could not be told from a damaged one: behind its end it has records too. So none is
  // recycled; what that costs is in docs/on-disk-format.md.
  options.wal_recovery_mode = rocksdb::WALRecoveryMode::kTolerateCorruptedTailRecords;
  options.recycle_log_file_num = 0;
  options.track_and_verify_wals_in_manifest = true;
  // The log stays until it is clear that nothing is missing at its end.
  options.avoid_flush_during_recovery = true;
  options.enable_blob_files = true;
  options.min_blob_size = settings.min_blob_bytes;
  options.enable_blob_garbage_collection = true;
  rocksdb::BlockBasedTableOptions table;
  // A block larger than its shard of the cache is read anew each time. Filters and indexes are cut into
  // blocks of 4 KiB, and shards are few.
  table.block_cache = rocksdb::NewLRUCache(settings.cache_bytes, 4);
  table.index_type = rocksdb::BlockBasedTableOptions::kTwoLevelIndexSearch;
  table.partition_filters = true;
  table.cache_index_and_filter_blocks = true; // bounded by the cache instead of growing with the store
  table.pin_l0_filter_and_index_blocks_in_cache = true;
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return options;
}

expected<std::unique_ptr<storage_engine>> open_rocksdb(const rocksdb_settings& settings) {
  const auto directory = make_directory(settings.directory);
  if (!directory) return unexpected<error>(directory.error());
  auto lock = directory_lock::take(*directory, settings.lock_wait);
  if (!lock) return unexpected<error>(lock.error());
  if (auto finished = finish_repair(*directory); !finished) return unexpected<error>(finished.error());
  auto mark = watermark::open(*directory);
  if (!mark) return unexpected<error>(mark.error());
  std::error_code unknown;
  if (!std::filesystem::exists(*directory / "CURRENT", unknown)) { // before another one is made in its place
    if (holds_database(*directory))
      return fail(errc::corrupt,
                  fmt::format("the store in '{}' has no file CURRENT, but other files of a store. `dormouse "
                              "repair` can bring it back if nothing else is missing",
                              directory->string()));
    if (mark->commits() != 0) return lost_commits(*directory, 0, mark->commits());
  }
  ignore_file_size_signal();
  const auto files =
      std::make_shared<deferred_deletions>(with_bad_sectors(settings.files, settings.bad_sector_patience));
  checked_opening first(*directory, *mark);
  std::unique_ptr<reopening_db> db;
  const auto status =
      reopening_db::open({directory->string(), rocksdb_options(settings), files, settings.log}, db,
                         [&first](const rocksdb::Options& options, std::unique_ptr<rocksdb::DB>& out) {
                           return first.open(options, out);
                         });
  if (!status.ok()) return unexpected<error>(first.why(status));
  files->carry_out();
  return std::make_unique<rocksdb_engine>(std::move(*lock), std::move(*mark), first.take_check(),
                                          std::move(db), first.last_commit());
}

} // namespace dormouse
