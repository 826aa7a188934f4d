#include "store/rocksdb_engine.hpp"

#include "store/rocksdb_options.hpp"

#include <fmt/format.h>
#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>
#include <unistd.h>

namespace dormouse {
namespace {

rocksdb::Slice slice(std::string_view text) { return {text.data(), text.size()}; }

std::string_view view(rocksdb::Slice text) { return {text.data(), text.size()}; }

unexpected<error> storage_failure(const rocksdb::Status& status) {
  return fail(status.IsCorruption() ? errc::corrupt : errc::storage_error, "the store: " + status.ToString());
}

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

  bool valid() const override { return rows_->Valid(); }
  std::string_view key() const override { return view(rows_->key()); }
  std::string_view value() const override { return view(rows_->value()); }
  void next() override {
    if (order_ == order::forward)
      rows_->Next();
    else
      rows_->Prev();
  }
  expected<void> status() const override {
    if (!rows_->status().ok()) return storage_failure(rows_->status());
    return {};
  }

private:
  std::string begin_;
  std::string end_;
  rocksdb::Slice begin_slice_;
  rocksdb::Slice end_slice_;
  order order_;
  std::unique_ptr<rocksdb::Iterator> rows_;
};

class rocksdb_engine final : public storage_engine {
public:
  explicit rocksdb_engine(rocksdb::DB* db) : db_(db) {}

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
    rocksdb::WriteOptions options;
    options.sync = true;
    auto status = db_->Write(options, &batch_);
    if (status.ok()) return {};
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
  std::unique_ptr<rocksdb::DB> db_;
  rocksdb::WriteBatch batch_; ///< one writer: kept for its capacity
  bool broken_ = false;
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
  // An appended log grows its inode at every sync; an overwritten one does not, which halves the cost of a
  // commit.
  options.recycle_log_file_num = 2;
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
  const auto directory = settings.directory.string();
  if (directory.empty()) return fail(errc::directory_unusable, "options::directory is empty");
  std::error_code made;
  std::filesystem::create_directories(settings.directory, made);
  if (made || !std::filesystem::is_directory(settings.directory))
    return fail(errc::directory_unusable, fmt::format("directory '{}' cannot be created: {}", directory,
                                                      made ? made.message() : "it is not a directory"));
  if (::access(directory.c_str(), R_OK | W_OK | X_OK) != 0)
    return fail(errc::directory_unusable,
                fmt::format("directory '{}' is not readable and writable for this process", directory));
  rocksdb::DB* db = nullptr;
  auto status = rocksdb::DB::Open(rocksdb_options(settings), directory, &db);
  if (!status.ok()) {
    const auto text = status.ToString();
    if (text.find("lock") != std::string::npos && text.find("LOCK") != std::string::npos)
      return fail(errc::directory_locked,
                  fmt::format("directory '{}' is in use by another runtime (one runtime per directory): {}",
                              directory, text));
    return fail(status.IsCorruption() ? errc::corrupt : errc::directory_unusable,
                fmt::format("the store in '{}' cannot be opened: {}", directory, text));
  }
  return std::make_unique<rocksdb_engine>(db);
}

} // namespace dormouse
