#pragma once

/// The rows of a range in which a block of a table cannot be read: those that other tables have, or the
/// memory. An iterator over the whole database stops at such a block and shows none of them, although each
/// can be asked for by itself. The block may be the only one between two kinds of rows, and then the range is
/// all that was ever written in between.

#include "ports/storage_engine.hpp"

#include <rocksdb/db.h>
#include <rocksdb/sst_file_reader.h>

#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace dormouse {

/// Tables that are read by themselves, and stay open for the next walk. Thread-safe.
class opened_tables {
public:
  /// Null if it cannot be opened.
  std::shared_ptr<rocksdb::SstFileReader> open(const rocksdb::DB& of, const std::string& path);

  void close();

private:
  static constexpr std::size_t most = 32;

  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<rocksdb::SstFileReader>> readers_;
};

class sound_rows {
public:
  /// The database and its tables outlive it.
  sound_rows(rocksdb::DB& of, opened_tables& tables, key_range within);
  sound_rows(const sound_rows&) = delete;
  sound_rows& operator=(const sound_rows&) = delete;
  ~sound_rows();

  bool valid() const noexcept { return valid_; }
  const std::string& key() const noexcept { return key_; }
  std::string take_value() noexcept { return std::move(value_); }
  void next();

private:
  class source;

  void find();

  rocksdb::DB& db_;
  const key_range within_;
  std::vector<std::unique_ptr<source>> sources_; ///< the memory, and each table that has keys of the range
  std::string key_;
  std::string value_;
  bool valid_ = false;
};

} // namespace dormouse
