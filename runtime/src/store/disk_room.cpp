#include "store/disk_room.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>

namespace dormouse {
namespace {

/// More than a block, so that the room it takes is not room it has already.
constexpr std::size_t probe_bytes = std::size_t{64} << 10U;

} // namespace

disk_room::disk_room(std::shared_ptr<rocksdb::FileSystem> files, std::filesystem::path directory)
    : files_(std::move(files)), directory_(directory.string()), ballast_((directory / "ballast").string()) {}

std::optional<std::uint64_t> disk_room::free_bytes() const {
  std::uint64_t bytes = 0;
  if (!files_->GetFreeSpace(directory_, rocksdb::IOOptions(), &bytes, nullptr).ok()) return std::nullopt;
  return bytes;
}

expected<void> disk_room::admit(std::size_t batch_bytes) const {
  const auto free = free_bytes();
  const auto needed = least_free_bytes + batch_bytes;
  if (!free || *free >= needed) return {};
  return fail(errc::storage_error,
              fmt::format("no space left on the disk of '{}': {} bytes are free, and a write of {} bytes "
                          "needs {}; nothing was written",
                          directory_, *free, batch_bytes, needed));
}

expected<void> disk_room::probe() const {
  const auto path = directory_ + "/probe";
  std::unique_ptr<rocksdb::FSWritableFile> file;
  auto status = files_->NewWritableFile(path, rocksdb::FileOptions(), &file, nullptr);
  if (status.ok()) status = file->Append(std::string(probe_bytes, '\0'), rocksdb::IOOptions(), nullptr);
  if (status.ok()) status = file->Sync(rocksdb::IOOptions(), nullptr);
  if (file) {
    auto closed = file->Close(rocksdb::IOOptions(), nullptr);
    if (status.ok()) status = closed;
    files_->DeleteFile(path, rocksdb::IOOptions(), nullptr).PermitUncheckedError();
  }
  if (status.ok()) return {};
  return fail(errc::storage_error, status.ToString());
}

void disk_room::give_up_ballast() noexcept {
  ::unlink(ballast_.c_str());
  has_ballast_.store(false, std::memory_order_relaxed);
}

void disk_room::restore_ballast() noexcept {
  struct stat seen {};
  if (::stat(ballast_.c_str(), &seen) == 0 && static_cast<std::uint64_t>(seen.st_size) == ballast_bytes)
    return has_ballast_.store(true, std::memory_order_relaxed);
  if (const auto free = free_bytes(); free && *free < 2 * (least_free_bytes + ballast_bytes)) return;
  const int descriptor = ::open(ballast_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  if (descriptor < 0) return;
  const int failed = ::posix_fallocate(descriptor, 0, static_cast<off_t>(ballast_bytes));
  ::close(descriptor);
  if (failed != 0) ::unlink(ballast_.c_str());
  // A file system that cannot set room aside has no ballast, and is not asked again and again.
  has_ballast_.store(failed == 0 || failed == EOPNOTSUPP || failed == EINVAL, std::memory_order_relaxed);
}

} // namespace dormouse
