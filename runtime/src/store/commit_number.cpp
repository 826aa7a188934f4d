#include "store/commit_number.hpp"

#include "store/damage_skip.hpp"
#include "store/keys.hpp"

namespace dormouse {

unexpected<error> storage_failure(const rocksdb::Status& status) {
  return fail(is_damage(status) ? errc::corrupt : errc::storage_error, "the store: " + status.ToString());
}

namespace commit_number {

std::string encode(std::uint64_t number) {
  std::string bytes(sizeof(number), '\0');
  for (auto at = bytes.rbegin(); at != bytes.rend(); ++at, number >>= 8U)
    *at = static_cast<char>(number & 0xffU);
  return bytes;
}

expected<std::uint64_t> read(rocksdb::DB& db) {
  std::string bytes;
  const auto status = db.Get(rocksdb::ReadOptions(), keys::last_commit(), &bytes);
  if (status.IsNotFound()) return std::uint64_t{0};
  if (!status.ok()) return storage_failure(status);
  if (bytes.size() != sizeof(std::uint64_t))
    return fail(errc::corrupt, "the number of the store's last commit cannot be read");
  std::uint64_t number = 0;
  for (char byte : bytes)
    number = (number << 8U) | static_cast<unsigned char>(byte);
  return number;
}

} // namespace commit_number
} // namespace dormouse
