#include "store/rocksdb_engine.hpp"

#include "store/commit_number.hpp"
#include "store/damage_skip.hpp"
#include "store/directory_lock.hpp"
#include "store/keys.hpp"
#include "store/repair.hpp"
#include "store/rocksdb_options.hpp"
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

rocksdb::Slice slice(std::string_view text) { return {text.data(), text.size()}; }

std::string_view view(rocksdb::Slice text) { return {text.data(), text.size()}; }

class rocksdb_cursor final : public row_cursor {
public:
  enum class order : std::uint8_t { forward, backward };

  rocksdb_cursor(rocksdb::DB& db, std::string_view from, std::string_view to, order which)
      : begin_(from), end_(to), begin_slice_(slice(begin_)), end_slice_(slice(end_)), order_(which) {
    rocksdb::ReadOptions options;
    options.iterate_lower_bound = &begin_slice_;
    options.iterate_upper_bound = &end_slice_;
    rows_.reset(db.NewIterator(options));
    if (order_ == order::forward)
      rows_->SeekToFirst();
    else
      rows_->SeekToLast();
  }

  bool valid() const override { return !ended_ && rows_->Valid(); }
  std::string_view key() const override { return view(rows_->key()); }
  std::string_view value() const override { return view(rows_->value()); }
  void next() override {
    if (order_ == order::forward) {
      last_.assign(rows_->key().data(), rows_->key().size());
      rows_->Next();
    } else {
      rows_->Prev();
    }
  }
  expected<void> status() const override {
    if (!ended_ && !rows_->status().ok()) return storage_failure(rows_->status());
    return {};
  }
  expected<key_range> skip_damage() override {
    if (order_ == order::backward || ended_ || !rows_->status().IsCorruption())
      return row_cursor::skip_damage();
    auto passed = pass_damage(*rows_, last_.empty() ? begin_ : last_ + '\0', end_);
    if (!passed) return unexpected<error>(passed.error());
    ended_ = passed->is_at_end;
    return std::move(passed->lost);
  }

private:
  std::string begin_;
  std::string end_;
  rocksdb::Slice begin_slice_;
  rocksdb::Slice end_slice_;
  order order_;
  std::unique_ptr<rocksdb::Iterator> rows_;
  std::string last_;   ///< the row before this one, going forward: should the walk break off, that is known
  bool ended_ = false; ///< what was passed over was the last
};

/// An open database, and what was found out about its log.
struct open_database {
  std::unique_ptr<wal_check> check; ///< the options of the database refer to it
  std::unique_ptr<rocksdb::DB> db;
};

class rocksdb_engine final : public storage_engine {
public:
  rocksdb_engine(directory_lock lock, watermark mark, open_database opened, std::uint64_t last_commit)
      : lock_(std::move(lock)),
        watermark_(std::move(mark)),
        check_(std::move(opened.check)),
        db_(std::move(opened.db)),
        last_commit_(last_commit) {}

  expected<std::optional<std::string>> get(std::string_view key) override {
    std::string value;
    auto status = db_->Get(rocksdb::ReadOptions(), slice(key), &value);
    if (status.IsNotFound()) return std::nullopt;
    if (!status.ok()) return storage_failure(status);
    return value;
  }

  expected<void> write(std::span<const write_set* const> sets) override {
    if (broken_ && !db_->Resume().ok())
      return fail(errc::storage_error,
                  "the store stopped writing after an earlier failure and cannot resume");
    broken_ = false;
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
    // A number is used once, also if the write fails: what is on the disk then is not known.
    last_commit_ += sets.size();
    batch_.Put(keys::last_commit(), commit_number::encode(last_commit_));
    rocksdb::WriteOptions options;
    options.sync = true;
    auto status = db_->Write(options, &batch_);
    if (status.ok()) {
      watermark_.note_commits(last_commit_);
      return {};
    }
    broken_ = true;
    return storage_failure(status);
  }

  std::unique_ptr<row_cursor> scan(std::string_view from, std::string_view to) override {
    return std::make_unique<rocksdb_cursor>(*db_, from, to, rocksdb_cursor::order::forward);
  }

  std::unique_ptr<row_cursor> scan_back(std::string_view from, std::string_view to) override {
    return std::make_unique<rocksdb_cursor>(*db_, from, to, rocksdb_cursor::order::backward);
  }

private:
  directory_lock lock_; ///< first: until the database is closed
  watermark watermark_;
  std::unique_ptr<wal_check> check_;
  std::unique_ptr<rocksdb::DB> db_;
  rocksdb::WriteBatch batch_; ///< one writer: kept for its capacity
  std::uint64_t last_commit_; ///< its number
  bool broken_ = false;
};

/// Replays the log, and changes nothing if that is damaged.
expected<open_database> open_checked(const rocksdb_settings& settings,
                                     const std::filesystem::path& directory) {
  open_database opened{std::make_unique<wal_check>(directory), nullptr};
  auto options = rocksdb_options(settings);
  options.wal_filter = opened.check.get();
  rocksdb::DB* db = nullptr;
  const auto status = rocksdb::DB::Open(options, directory.string(), &db);
  opened.db.reset(db);
  if (const auto& problem = opened.check->problem())
    return fail(errc::corrupt,
                fmt::format("the log of the store in '{}' is damaged: {}", directory.string(), *problem));
  if (status.ok()) return opened;
  const auto text = status.ToString();
  if (text.find("lock") != std::string::npos && text.find("LOCK") != std::string::npos)
    return fail(errc::directory_locked,
                fmt::format("directory '{}' is in use by another runtime (one runtime per directory): {}",
                            directory.string(), text));
  const bool damaged = status.IsCorruption() || status.IsPathNotFound(); // a file that another one names
  return fail(damaged ? errc::corrupt : errc::directory_unusable,
              fmt::format("the store in '{}' cannot be opened: {}", directory.string(), text));
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
  if (mark->commits() != 0 && !std::filesystem::exists(*directory / "CURRENT", unknown))
    return lost_commits(*directory, 0, mark->commits()); // before another one is made in its place
  auto opened = open_checked(settings, *directory);
  if (!opened) return unexpected<error>(opened.error());
  const auto number = commit_number::read(*opened->db);
  if (!number) return unexpected<error>(number.error());
  if (*number < mark->commits()) return lost_commits(*directory, *number, mark->commits());
  if (opened->check->has_records())
    if (const auto flushed = opened->db->Flush(rocksdb::FlushOptions()); !flushed.ok())
      return storage_failure(flushed);
  return std::make_unique<rocksdb_engine>(std::move(*lock), std::move(*mark), std::move(*opened), *number);
}

} // namespace dormouse
