#pragma once

/// Really damaged stores: a byte of a data block of a table file is flipped, as a disk does it. All rows are
/// in one table before, so that the block is the only place where they are.
///
///   const auto lost = test::damage_block(directory, 'W');          // in the middle of the due times
///   lost.keys                                                      // of the rows that the block held
///   lost.mend();                                                   // the disk was right after all

#include "store/keys.hpp"
#include "store/rocksdb_engine.hpp"
#include "store/rocksdb_options.hpp"

#include <doctest/doctest.h>
#include <rocksdb/db.h>
#include <rocksdb/sst_file_reader.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace dormouse::test {

inline rocksdb_settings table_settings(const std::filesystem::path& directory) {
  return {directory, std::size_t{1} << 20U, std::size_t{1} << 20U, 128 * 1024};
}

inline void flip_byte(const std::filesystem::path& file, std::uintmax_t at) {
  std::fstream bytes(file, std::ios::in | std::ios::out | std::ios::binary);
  bytes.seekg(static_cast<std::streamoff>(at));
  const auto byte = static_cast<char>(bytes.get() ^ 0x40);
  bytes.seekp(static_cast<std::streamoff>(at));
  bytes.put(byte);
}

struct damaged_block {
  std::filesystem::path file;
  std::uintmax_t at = 0;
  std::set<std::string> keys; ///< of the rows that cannot be read

  void mend() const { flip_byte(file, at); }
};

/// Puts all rows into one table; returns its file.
inline std::filesystem::path compact_store(const std::filesystem::path& directory) {
  rocksdb::DB* opened = nullptr;
  auto options = rocksdb_options(table_settings(directory));
  REQUIRE(rocksdb::DB::Open(options, directory.string(), &opened).ok());
  std::unique_ptr<rocksdb::DB> db(opened);
  REQUIRE(db->Flush({}).ok());
  rocksdb::CompactRangeOptions all;
  all.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForce;
  REQUIRE(db->CompactRange(all, nullptr, nullptr).ok());
  std::vector<rocksdb::LiveFileMetaData> files;
  db->GetLiveFilesMetaData(&files);
  REQUIRE(files.size() == 1);
  REQUIRE(db->Close().ok());
  return directory / files.front().name.substr(1);
}

/// What a reader of the file alone cannot read of these keys.
inline std::set<std::string> unreadable_keys(const std::filesystem::path& file,
                                             const std::vector<std::string>& keys) {
  rocksdb::Options options = rocksdb_options(table_settings(file.parent_path()));
  rocksdb::SstFileReader reader(options);
  std::set<std::string> lost;
  if (!reader.Open(file.string()).ok()) return {keys.begin(), keys.end()};
  std::unique_ptr<rocksdb::Iterator> rows(reader.NewIterator({}));
  for (const auto& key : keys) {
    rows->Seek(key);
    if (!rows->Valid() && !rows->status().ok()) lost.insert(key);
  }
  return lost;
}

/// Flips a byte of the block that holds the row in the middle of a kind, and not all of its rows, unless
/// there are `few`. No runtime has the store open.
inline damaged_block damage_block(const std::filesystem::path& directory, char kind, std::size_t few = 0) {
  damaged_block out;
  out.file = compact_store(directory);
  std::vector<std::string> of_kind;
  {
    auto engine = value_or_throw(open_rocksdb(table_settings(directory)));
    const auto range = keys::all(kind);
    for (auto row = engine->scan(range.first, range.second); row->valid(); row->next())
      of_kind.emplace_back(row->key());
  }
  REQUIRE(of_kind.size() > (few == 0 ? 2 : 0));
  const std::vector<std::string> middle{of_kind[of_kind.size() / 2]};
  const auto bytes = std::filesystem::file_size(out.file);
  for (out.at = 40; out.at < bytes; out.at += 200) {
    flip_byte(out.file, out.at);
    if (!unreadable_keys(out.file, middle).empty()) {
      out.keys = unreadable_keys(out.file, of_kind);
      if ((few != 0 || out.keys.size() < of_kind.size()) && out.keys.contains(middle.front())) return out;
    }
    out.mend();
  }
  FAIL("no byte of the table damages only the block in the middle of '" << kind << "'");
  return out;
}

} // namespace dormouse::test
