#include "store/exchange.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <rocksdb/env.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <system_error>
#include <vector>

namespace dormouse {
namespace {

namespace fs = std::filesystem;

/// Notes in the directory: the fresh store is whole and the old files are put aside; they are aside and the
/// fresh ones are put into place. Their text is the name of the folder for the old ones.
constexpr std::string_view putting_aside = "repair.ready";
constexpr std::string_view putting_in_place = "repair.swap";

expected<void> sync(const fs::path& what) {
  const int file = ::open(what.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return repair_failed(what, {errno, std::generic_category()});
  const int outcome = ::fsync(file) == 0 ? 0 : errno;
  ::close(file);
  if (outcome != 0) return repair_failed(what, {outcome, std::generic_category()});
  return {};
}

/// A lock belongs to the place and not to the store.
bool stays(const std::string& name) {
  return name == "LOCK" || name.ends_with(".lock") || name == putting_aside || name == putting_in_place;
}

expected<void> move_files(const fs::path& from, const fs::path& to) {
  std::error_code bad;
  std::vector<fs::path> files;
  for (fs::directory_iterator at(from, bad), end; !bad && at != end; at.increment(bad))
    if (at->is_regular_file() && !stays(at->path().filename().string())) files.push_back(at->path());
  if (bad) return repair_failed(from, bad);
  for (const auto& file : files) {
    fs::rename(file, to / file.filename(), bad);
    if (bad) return repair_failed(file, bad);
  }
  if (auto synced = sync(to); !synced) return synced;
  return sync(from);
}

} // namespace

unexpected<error> repair_failed(const fs::path& what, const std::error_code& why) {
  return fail(errc::storage_error,
              fmt::format("the repair of the store: '{}': {}", what.string(), why.message()));
}

expected<std::shared_ptr<void>> hold_store(const fs::path& directory) {
  if (std::error_code unseen; !fs::is_directory(directory, unseen))
    return fail(errc::directory_unusable, fmt::format("there is no directory '{}'", directory.string()));
  rocksdb::FileLock* lock = nullptr;
  const auto status = rocksdb::Env::Default()->LockFile((directory / "LOCK").string(), &lock);
  if (!status.ok())
    return fail(errc::directory_locked,
                fmt::format("directory '{}' is in use (one runtime per directory): {}", directory.string(),
                            status.ToString()));
  return std::shared_ptr<void>(lock, [](void* held) {
    rocksdb::Env::Default()->UnlockFile(static_cast<rocksdb::FileLock*>(held)).PermitUncheckedError();
  });
}

bool is_exchange_open(const fs::path& directory) {
  const auto may_be_there = [&directory](std::string_view note) {
    std::error_code unseen;
    return fs::exists(directory / note, unseen) || unseen;
  };
  return may_be_there(putting_aside) || may_be_there(putting_in_place);
}

expected<void> exchange_files(const fs::path& directory, std::string_view kept) {
  const auto note = directory / putting_aside;
  auto unfinished = note;
  unfinished += ".lock"; // not moved, should it be left
  {
    std::ofstream text(unfinished);
    text << kept;
    text.close();
    if (!text) return repair_failed(unfinished, std::make_error_code(std::errc::io_error));
  }
  if (auto synced = sync(unfinished); !synced) return synced;
  if (auto synced = sync(directory / repair_fresh); !synced) return synced;
  std::error_code bad;
  fs::rename(unfinished, note, bad);
  if (bad) return repair_failed(note, bad);
  if (auto synced = sync(directory); !synced) return synced;
  return go_on_with_exchange(directory);
}

expected<void> go_on_with_exchange(const fs::path& directory) {
  std::error_code bad;
  const auto first = directory / putting_aside;
  const auto second = directory / putting_in_place;
  if (fs::exists(first, bad)) {
    std::string kept;
    std::ifstream(first) >> kept;
    if (kept.empty()) return repair_failed(first, std::make_error_code(std::errc::io_error));
    fs::create_directories(directory / kept, bad);
    if (bad) return repair_failed(directory / kept, bad);
    if (auto moved = move_files(directory, directory / kept); !moved) return moved;
    fs::rename(first, second, bad);
    if (bad) return repair_failed(second, bad);
    if (auto synced = sync(directory); !synced) return synced;
  }
  if (bad) return repair_failed(first, bad);
  const bool is_second = fs::exists(second, bad);
  if (bad) return repair_failed(second, bad);
  if (!is_second) return {};
  const auto fresh = directory / repair_fresh;
  const bool is_left = fs::exists(fresh, bad);
  if (bad) return repair_failed(fresh, bad);
  if (is_left) {
    if (auto moved = move_files(fresh, directory); !moved) return moved;
    fs::remove_all(fresh, bad);
    if (bad) return repair_failed(fresh, bad);
  }
  fs::remove(second, bad);
  if (bad) return repair_failed(second, bad);
  return sync(directory);
}

} // namespace dormouse
