#include "store/commit_number.hpp"

#include "store/damage_skip.hpp"
#include "store/keys.hpp"
#include "store/rocksdb_slice.hpp"

#include <fmt/format.h>
#include <rocksdb/metadata.h>
#include <rocksdb/sst_file_reader.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <vector>

namespace dormouse {

unexpected<error> storage_failure(const rocksdb::Status& status) {
  return fail(is_damage(status) ? errc::corrupt : errc::storage_error, "the store: " + status.ToString());
}

namespace commit_number {

namespace {

constexpr std::size_t number_bytes = sizeof(std::uint64_t);

void put(std::string& to, std::uint64_t number) {
  for (std::size_t i = number_bytes; i-- > 0;)
    to.push_back(static_cast<char>((number >> (8 * i)) & 0xffU));
}

std::uint64_t take(std::string_view bytes) {
  std::uint64_t number = 0;
  for (const char byte : bytes.substr(0, number_bytes))
    number = (number << 8U) | static_cast<unsigned char>(byte);
  return number;
}

/// The last number that is in a table; nothing if a table that may have it cannot be read.
std::optional<std::uint64_t> last_of_tables(rocksdb::DB& db) {
  const auto key = keys::last_commit();
  std::uint64_t last = 0;
  std::vector<rocksdb::LiveFileMetaData> live;
  db.GetLiveFilesMetaData(&live);
  for (const auto& each : live) {
    if (each.largestkey < key || each.smallestkey > key) continue;
    rocksdb::SstFileReader reader(db.GetOptions());
    if (!reader.Open(each.db_path + each.name).ok()) return std::nullopt;
    const std::unique_ptr<rocksdb::Iterator> row(reader.NewIterator({}));
    row->Seek(key);
    if (!row->status().ok()) return std::nullopt;
    if (!row->Valid() || row->key() != slice(key)) continue;
    const auto found = decode(row->value().ToStringView());
    if (!found) return std::nullopt;
    last = std::max(last, found->last);
  }
  return last;
}

} // namespace

std::string encode(std::uint64_t number, std::uint64_t before) {
  std::string bytes;
  put(bytes, number);
  put(bytes, before);
  return bytes;
}

std::optional<numbers> decode(std::string_view bytes) {
  if (bytes.size() == number_bytes) return numbers{take(bytes)};
  if (bytes.size() != 2 * number_bytes) return std::nullopt;
  return numbers{take(bytes), take(bytes.substr(number_bytes))};
}

expected<std::uint64_t> read(rocksdb::DB& db) {
  std::string bytes;
  const auto status = db.Get(rocksdb::ReadOptions(), keys::last_commit(), &bytes);
  if (status.IsNotFound()) return std::uint64_t{0};
  if (!status.ok()) return storage_failure(status);
  const auto found = decode(bytes);
  if (!found) return fail(errc::corrupt, "the number of the store's last commit cannot be read");
  return found->last;
}

expected<void> check_tables(rocksdb::DB& db, std::uint64_t before) {
  const auto last = last_of_tables(db);
  if (!last || *last >= before) return {};
  return fail(errc::corrupt,
              fmt::format("tables are missing, for the MANIFEST is damaged: they end at commit "
                          "{}, and the log begins behind commit {}",
                          *last, before));
}

} // namespace commit_number
} // namespace dormouse
