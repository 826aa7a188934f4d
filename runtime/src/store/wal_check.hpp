#pragma once

/// Looks at each record of the database's log while it is replayed, for holes that RocksDB passes over.
///
/// RocksDB reports a record whose checksum is wrong. But it takes a header of zeros for the unused rest of a
/// block, and a record that seems to be longer than the file for one that was being written when the process
/// died; then it goes on with the next block, or the next log. The records themselves tell: each says the
/// sequence number of its first write and how many there are, so one begins where the one before has ended,
/// and the first one of a log is at the beginning of its file.
///
/// What is missing at the end of the last log is for the watermark to see.

#include <rocksdb/wal_filter.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace dormouse {

/// What a hole does: the opening fails, or it ends with what is in front of the hole.
enum class damaged_log : std::uint8_t { refuse, stop };

class wal_check final : public rocksdb::WalFilter {
public:
  explicit wal_check(std::filesystem::path directory, damaged_log at_damage = damaged_log::refuse)
      : directory_(std::move(directory)), at_damage_(at_damage) {}

  /// What is wrong with the log, naming the file.
  const std::optional<std::string>& problem() const noexcept { return problem_; }

  /// The commit that was there before the first record; nothing if it does not say.
  const std::optional<std::uint64_t>& commits_before() const noexcept { return commits_before_; }

  /// Whether there was anything to replay.
  bool has_records() const noexcept { return log_ != 0; }

  WalProcessingOption LogRecordFound(unsigned long long log_number, const std::string& log_file_name,
                                     const rocksdb::WriteBatch& batch, rocksdb::WriteBatch* new_batch,
                                     bool* batch_changed) override;
  const char* Name() const override { return "dormouse.wal_check"; }

private:
  void begin_log(std::uint64_t number, std::string_view first_record);

  std::filesystem::path directory_;
  damaged_log at_damage_;
  std::optional<std::string> problem_;
  std::uint64_t log_ = 0; ///< the number of the current one
  bool recycled_ = false; ///< written by an earlier version, over the file of an older log
  std::optional<std::uint64_t> commits_before_;
  std::uint64_t next_sequence_ = 0; ///< of the next record; 0: not known
};

} // namespace dormouse
