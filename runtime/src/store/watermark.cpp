#include "store/watermark.hpp"

#include "store/file_descriptor.hpp"

#include <dormouse/serialization/crc32c.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <bit>
#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>
#include <utility>

namespace dormouse {
namespace {

constexpr std::size_t watermark_bytes = 4096;
constexpr std::size_t between_copies = 1024; ///< in another sector than the first
constexpr std::string_view watermark_magic = "DMWM";

static_assert(std::endian::native == std::endian::little, "the bytes of the file are little-endian");

/// A copy of a number, as it is in the file.
struct copy {
  std::array<char, 4> magic;
  std::uint32_t crc; ///< of what follows
  std::uint64_t turn;
  std::uint64_t value;

  std::uint32_t sum() const noexcept {
    std::array<std::uint64_t, 2> bytes{turn, value};
    return crc32c({reinterpret_cast<const char*>(bytes.data()), sizeof(bytes)});
  }
};
static_assert(sizeof(copy) == 24);

copy make_copy(std::uint64_t turn, std::uint64_t value) noexcept {
  copy made{{watermark_magic[0], watermark_magic[1], watermark_magic[2], watermark_magic[3]}, 0, turn, value};
  made.crc = made.sum();
  return made;
}

unexpected<error> failed(const std::filesystem::path& file, std::string_view what) {
  const int code = errno;
  return fail(errc::storage_error, fmt::format("the watermark '{}' cannot be {}: {}", file.string(), what,
                                               std::generic_category().message(code)));
}

/// Whole or not at all: under another name first.
expected<void> make_file(const std::filesystem::path& file) {
  std::string page(watermark_bytes, '\0');
  for (std::size_t counter : {std::size_t{0}, watermark_bytes / 2})
    for (std::uint64_t turn : {0, 1}) {
      const auto empty = make_copy(turn, 0);
      std::memcpy(page.data() + counter + turn * between_copies, &empty, sizeof(empty));
    }
  auto fresh = file;
  fresh += ".new";
  {
    file_descriptor to(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    if (to.number() < 0) return failed(fresh, "made");
    const auto written = ::pwrite(to.number(), page.data(), page.size(), 0);
    if (written >= 0 && written != static_cast<ssize_t>(page.size())) errno = ENOSPC;
    if (written != static_cast<ssize_t>(page.size()) || ::fsync(to.number()) != 0)
      return failed(fresh, "written");
  }
  if (::rename(fresh.c_str(), file.c_str()) != 0) return failed(file, "made");
  file_descriptor folder(::open(file.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.number() < 0 || ::fsync(folder.number()) != 0) return failed(file, "made durable");
  return {};
}

} // namespace

expected<watermark> watermark::open(const std::filesystem::path& directory) {
  const auto file = directory / "dormouse.watermark";
  std::error_code unknown;
  if (const auto found = std::filesystem::symlink_status(file, unknown);
      found.type() == std::filesystem::file_type::not_found)
    if (auto made = make_file(file); !made) return unexpected<error>(made.error());
  file_descriptor from(::open(file.c_str(), O_RDWR | O_CLOEXEC));
  if (from.number() < 0) return failed(file, "opened");
  const auto damaged = [&file](std::string_view why) {
    return fail(errc::corrupt, fmt::format("the watermark '{}' {}; whether the store has lost commits cannot "
                                           "be told. Without the file the store is opened as it is",
                                           file.string(), why));
  };
  struct stat facts {};
  if (::fstat(from.number(), &facts) != 0) return failed(file, "looked at");
  if (facts.st_size != static_cast<off_t>(watermark_bytes))
    return damaged(fmt::format("has {} bytes instead of {}", facts.st_size, watermark_bytes));
  std::array<char, watermark_bytes> readable{}; // a page that cannot be read would be a SIGBUS
  if (::pread(from.number(), readable.data(), readable.size(), 0) != static_cast<ssize_t>(readable.size()))
    return failed(file, "read");
  auto* page = ::mmap(nullptr, watermark_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, from.number(), 0);
  if (page == MAP_FAILED) return failed(file, "mapped");
  watermark opened(file, static_cast<char*>(page));
  if (!opened.read(opened.commits_) || !opened.read(opened.epoch_)) return damaged("cannot be read");
  return opened;
}

watermark::watermark(watermark&& other) noexcept
    : file_(std::move(other.file_)),
      page_(std::exchange(other.page_, nullptr)),
      commits_(other.commits_),
      epoch_(other.epoch_) {}

watermark::~watermark() {
  if (page_ != nullptr) ::munmap(page_, watermark_bytes);
}

void watermark::note_commits(std::uint64_t number) noexcept { write(commits_, number); }

expected<void> watermark::note_epoch(std::uint64_t epoch) {
  for (int each = 0; each < 2; ++each)
    write(epoch_, epoch); // no copy has an earlier one
  if (::msync(page_, watermark_bytes, MS_SYNC) != 0) return failed(file_, "synced");
  return {};
}

/// The later one of the copies that can be read.
bool watermark::read(counter& into) const noexcept {
  bool found = false;
  for (std::size_t which : {0, 1}) {
    copy one{};
    std::memcpy(&one, page_ + into.offset + which * between_copies, sizeof(one));
    if (std::string_view(one.magic.data(), one.magic.size()) != watermark_magic || one.crc != one.sum())
      continue;
    if (found && one.turn < into.turn) continue;
    into.turn = one.turn;
    into.value = one.value;
    found = true;
  }
  return found;
}

/// Over the earlier copy; the later one stays whole meanwhile.
void watermark::write(counter& what, std::uint64_t value) noexcept {
  ++what.turn;
  what.value = value;
  const auto next = make_copy(what.turn, value);
  std::atomic_signal_fence(std::memory_order_seq_cst); // what was written before stays before
  std::memcpy(page_ + what.offset + what.turn % 2 * between_copies, &next, sizeof(next));
  std::atomic_signal_fence(std::memory_order_seq_cst);
}

} // namespace dormouse
