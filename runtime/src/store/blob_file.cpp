#include "store/blob_file.hpp"

#include "store/blob_store.hpp"

#include <dormouse/serialization/crc32c.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <system_error>
#include <utility>

namespace dormouse {
namespace {

constexpr std::size_t number_digits = 16;

/// Of a body that is in memory: the disk begins with one while the next is written.
constexpr std::size_t piece_bytes = std::size_t{1} << 20U;

unexpected<error> failed_call(std::string_view doing, const std::string& path, int number) {
  return fail(errc::storage_error, fmt::format("body file '{}' cannot be {}: {}", path, doing,
                                               std::generic_category().message(number)));
}

std::optional<std::uint64_t> parse_number(std::string_view digits) {
  std::uint64_t value = 0;
  auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
  if (code != std::errc{} || end != digits.data() + digits.size() || fmt::format("{:016x}", value) != digits)
    return std::nullopt;
  return value;
}

} // namespace

std::string blob_ref::file_name() const {
  return fmt::format("{:016x}{}{:016x}", fetch_id, static_cast<char>(side), number);
}

std::optional<blob_ref> parse_blob_name(std::string_view file_name) {
  if (file_name.size() != 2 * number_digits + 1) return std::nullopt;
  auto id = parse_number(file_name.substr(0, number_digits));
  auto number = parse_number(file_name.substr(number_digits + 1));
  const auto side = static_cast<blob_side>(file_name[number_digits]);
  if (!id || !number || (side != blob_side::request && side != blob_side::response)) return std::nullopt;
  return blob_ref{*id, side, *number, 0, 0};
}

// --- the descriptor ----------------------------------------------------------------------------------------

blob_descriptor::blob_descriptor(blob_descriptor&& other) noexcept
    : home_(std::move(other.home_)),
      path_(std::move(other.path_)),
      descriptor_(std::exchange(other.descriptor_, -1)) {}

expected<int> blob_descriptor::open(int flags) {
  if (descriptor_ >= 0) return descriptor_;
  if (home_->is_closed())
    return fail(errc::stopped,
                fmt::format("body file '{}' cannot be opened: the runtime has stopped", path_));
  do
    descriptor_ = ::open(path_.c_str(), flags | O_CLOEXEC, 0644);
  while (descriptor_ < 0 && errno == EINTR);
  if (descriptor_ < 0) {
    if (errno == ENOENT && (flags & O_CREAT) == 0)
      return fail(errc::corrupt, fmt::format("body file '{}' is missing", path_));
    return failed_call("opened", path_, errno);
  }
  home_->descriptor_opened();
  return descriptor_;
}

void blob_descriptor::used() noexcept {
  if (home_->too_many_descriptors()) close();
}

void blob_descriptor::close() noexcept {
  if (descriptor_ < 0) return;
  ::close(std::exchange(descriptor_, -1));
  home_->descriptor_closed();
}

// --- writing -----------------------------------------------------------------------------------------------

blob_writer::~blob_writer() {
  file_.close();
  if (fate_ == fate::removed)
    file_.home().remove(ref_);
  else if (fate_ == fate::doubtful)
    file_.home().remove_after_a_commit(ref_);
}

unexpected<error> blob_writer::lose(error why) {
  state_ = state::lost;
  why_lost_ = std::move(why);
  file_.close();
  return unexpected<error>(why_lost_);
}

/// Created by the first use and never again: a file that is gone must not come back empty.
expected<int> blob_writer::open() {
  auto descriptor = file_.open(O_WRONLY | (created_ ? 0 : O_CREAT | O_EXCL));
  created_ = created_ || descriptor.has_value();
  return descriptor;
}

expected<void> blob_writer::write(int descriptor, std::string_view bytes, std::uint64_t at) {
  while (!bytes.empty()) {
    const auto written = ::pwrite(descriptor, bytes.data(), bytes.size(), static_cast<off_t>(at));
    if (written == 0)
      return failed_call("written", file_.path(), ENOSPC); // it takes nothing and says nothing
    if (written < 0 && errno != EINTR) return failed_call("written", file_.path(), errno);
    if (written > 0) {
      bytes.remove_prefix(static_cast<std::size_t>(written));
      at += static_cast<std::uint64_t>(written);
    }
  }
  return {};
}

expected<void> blob_writer::append(std::string_view bytes) {
  if (holds_) {
    held_.append(bytes);
    ref_.bytes = held_.bytes().size();
    ref_.crc = held_.crc();
    if (ref_.bytes - ordered_ >= piece_bytes) {
      ordered_ = ref_.bytes;
      file_.home().write_ahead(shared_from_this(), ordered_);
    }
    return {};
  }
  if (is_lost()) return unexpected<error>(why_lost_);
  auto descriptor = open();
  if (!descriptor) return lose(descriptor.error());
  state_ = state::written;
  if (auto written = write(*descriptor, bytes, ref_.bytes); !written) return lose(written.error());
  ref_.crc = crc32c(bytes, ref_.crc);
  ref_.bytes += bytes.size();
  file_.used();
  return {};
}

void blob_writer::hold(held_body body) noexcept {
  held_ = std::move(body);
  holds_ = true;
  state_ = state::held;
  ref_.bytes = held_.bytes().size();
  ref_.crc = held_.crc();
}

bool blob_writer::grow(std::size_t bytes_in_all) {
  std::lock_guard guard(writing_);
  return held_.grow(bytes_in_all);
}

expected<void> blob_writer::let_go() {
  auto written = write_out();
  std::lock_guard guard(writing_);
  if (!written && !is_lost()) written = lose(written.error());
  holds_ = false;
  held_.let_go();
  return written;
}

expected<void> blob_writer::write_out() {
  std::lock_guard guard(writing_);
  if (is_lost()) return unexpected<error>(why_lost_);
  if (state_ != state::held) return {};
  auto written = write_held(held_.bytes().size());
  if (written) state_ = state::written;
  return written;
}

void blob_writer::write_ahead(std::size_t upto) noexcept {
  std::lock_guard guard(writing_);
  if (holds_ && state_ == state::held) (void)write_held(upto);
}

/// Under the lock. Looks at where the bytes are and not at how many: more may be coming. What could not be
/// written is held still, and can be written once more when the disk takes it.
expected<void> blob_writer::write_held(std::size_t upto) {
  auto descriptor = open();
  if (!descriptor && descriptor.error().code != errc::storage_error) return lose(descriptor.error());
  if (!descriptor) return unexpected<error>(descriptor.error());
  const std::string_view whole(held_.bytes().data(), upto);
  while (written_ < upto) {
    const auto piece = whole.substr(written_, piece_bytes);
    if (auto written = write(*descriptor, piece, written_); !written) {
      file_.close();
      return written;
    }
    ::sync_file_range(*descriptor, static_cast<off_t>(written_), static_cast<off_t>(piece.size()),
                      SYNC_FILE_RANGE_WRITE); // a hint, as in `begin_sync`
    written_ += piece.size();
  }
  file_.used();
  return {};
}

void blob_writer::begin_sync() noexcept {
  if (state_ == state::held) {
    (void)write_out(); // should it fail, `sync` says so
    return;
  }
  if (state_ != state::written) return;
  if (auto descriptor = file_.open(O_WRONLY))
    ::sync_file_range(*descriptor, 0, 0, SYNC_FILE_RANGE_WRITE); // a hint: `sync` finds every error
  file_.used();
}

void blob_writer::keep() {
  fate_ = fate::kept;
  if (std::exchange(holds_, false)) file_.home().memory()->keep(ref_.number, std::move(held_));
}

expected<void> blob_writer::sync() {
  if (auto written = write_out(); !written) return written;
  if (state_ != state::written) return {};
  auto descriptor = file_.open(O_WRONLY);
  if (!descriptor && descriptor.error().code != errc::storage_error) return lose(descriptor.error());
  if (!descriptor) return unexpected<error>(descriptor.error()); // the kernel has the bytes still
  if (::fdatasync(*descriptor) != 0) {
    auto failed = failed_call("synced", file_.path(), errno);
    std::lock_guard guard(writing_);
    if (!holds_) return lose(failed.value());
    state_ = state::held; // all of it is written again
    written_ = 0;
    file_.close();
    return failed;
  }
  state_ = state::synced;
  file_.close();
  return {};
}

// --- reading -----------------------------------------------------------------------------------------------

expected<void> blob_reader::begin() {
  auto descriptor = file_.open(O_RDONLY);
  if (!descriptor) return unexpected<error>(descriptor.error());
  struct stat seen {};
  if (::fstat(*descriptor, &seen) != 0) return failed_call("read", file_.path(), errno);
  if (static_cast<std::uint64_t>(seen.st_size) != ref_.bytes)
    return fail(errc::corrupt, fmt::format("body file '{}' has {} bytes where its row says {}", file_.path(),
                                           seen.st_size, ref_.bytes));
  file_.used();
  return {};
}

expected<std::size_t> blob_reader::read(std::span<char> into) {
  const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(into.size(), ref_.bytes - at_));
  if (wanted == 0) return std::size_t{0};
  auto descriptor = file_.open(O_RDONLY);
  if (!descriptor) return unexpected<error>(descriptor.error());
  ssize_t got = 0;
  do
    got = ::pread(*descriptor, into.data(), wanted, static_cast<off_t>(at_));
  while (got < 0 && errno == EINTR);
  if (got < 0) return failed_call("read", file_.path(), errno);
  if (got == 0)
    return fail(errc::corrupt, fmt::format("body file '{}' ends after {} bytes where its row says {}",
                                           file_.path(), at_, ref_.bytes));
  const auto bytes = static_cast<std::size_t>(got);
  crc_ = crc32c({into.data(), bytes}, crc_);
  at_ += bytes;
  if (at_ == ref_.bytes && crc_ != ref_.crc)
    return fail(errc::corrupt, fmt::format("body file '{}' fails its CRC-32C", file_.path()));
  file_.used();
  return bytes;
}

void blob_reader::rewind() noexcept {
  at_ = 0;
  crc_ = 0;
}

} // namespace dormouse
