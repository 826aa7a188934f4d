#include "store/wal_check.hpp"

#include "store/commit_number.hpp"
#include "store/keys.hpp"

#include <fmt/format.h>
#include <rocksdb/write_batch.h>

#include <array>
#include <fstream>

namespace dormouse {
namespace {

/// A record of a log: checksum, length, type, and then the batch of writes, which begins with the sequence
/// number of the first one and their count.
constexpr std::size_t type_at = 6;
constexpr std::size_t header_bytes = 7;
constexpr std::size_t batch_header_bytes = 12;
constexpr char first_recyclable_type = 5; ///< such a record has a longer header, with the number of the log

std::uint64_t little_endian(std::string_view bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = bytes.size(); i-- > 0;)
    value = (value << 8U) | static_cast<unsigned char>(bytes[i]);
  return value;
}

/// What the batch says of the one before it.
std::optional<std::uint64_t> before_of(const rocksdb::WriteBatch& batch) {
  struct finder final : rocksdb::WriteBatch::Handler {
    rocksdb::Status PutCF(std::uint32_t, const rocksdb::Slice& key, const rocksdb::Slice& value) override {
      if (key.ToStringView() == keys::last_commit())
        if (const auto found = commit_number::decode(value.ToStringView())) before = found->before;
      return rocksdb::Status::OK();
    }
    rocksdb::Status DeleteCF(std::uint32_t, const rocksdb::Slice&) override { return rocksdb::Status::OK(); }
    rocksdb::Status DeleteRangeCF(std::uint32_t, const rocksdb::Slice&, const rocksdb::Slice&) override {
      return rocksdb::Status::OK();
    }
    std::optional<std::uint64_t> before;
  } found;
  return batch.Iterate(&found).ok() ? found.before : std::nullopt;
}

std::string name_of_log(std::uint64_t log) { return fmt::format("{:06}.log", log); }

} // namespace

rocksdb::WalFilter::WalProcessingOption wal_check::LogRecordFound(unsigned long long log_number,
                                                                  const std::string& /*log_file_name*/,
                                                                  const rocksdb::WriteBatch& batch,
                                                                  rocksdb::WriteBatch* /*new_batch*/,
                                                                  bool* /*batch_changed*/) {
  const std::string_view record = batch.Data();
  if (record.size() < batch_header_bytes)
    return WalProcessingOption::kContinueProcessing; // RocksDB's to report
  if (log_ == 0) commits_before_ = before_of(batch);
  if (log_number != log_) begin_log(log_number, record);
  const auto sequence = little_endian(record.substr(0, 8));
  if (!problem_ && next_sequence_ != 0 && sequence > next_sequence_)
    problem_ = fmt::format("{} writes are missing before write {}, in {} or the log before it",
                           sequence - next_sequence_, sequence, name_of_log(log_));
  if (problem_)
    return at_damage_ == damaged_log::stop ? WalProcessingOption::kStopReplay
                                           : WalProcessingOption::kCorruptedRecord;
  next_sequence_ = recycled_ ? 0 : sequence + little_endian(record.substr(8, 4));
  return WalProcessingOption::kContinueProcessing;
}

void wal_check::begin_log(std::uint64_t number, std::string_view first_record) {
  log_ = number;
  std::array<char, header_bytes + batch_header_bytes> begin{};
  std::ifstream file(directory_ / name_of_log(number), std::ios::binary);
  if (!file.read(begin.data(), begin.size())) return; // RocksDB could read it
  recycled_ = begin[type_at] >= first_recyclable_type;
  const std::string_view on_disk(begin.data() + header_bytes, batch_header_bytes);
  if (!recycled_ && on_disk != first_record.substr(0, batch_header_bytes))
    problem_ = fmt::format("the first records of {} are missing", name_of_log(number));
}

} // namespace dormouse
