#pragma once

/// A large body in a file of its own: written once from front to back, read from front to back, and believed
/// only if its size and its CRC-32C are those that a row of the store says.
///
/// One that is small enough for the memory there is (body_memory.hpp) may be held there whole and be put into
/// its file in one go, by another thread.
///
/// A writer owns its file until a commit with that row is durable: destroyed before, it has the file removed.
/// A name is used once in the life of a store, so whoever comes late, as a worker that was replaced, can
/// spoil no file but its own.

#include "store/body_memory.hpp"

#include <dormouse/serialization/error.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace dormouse {

class blob_store;

/// Which body of a fetch.
enum class blob_side : char { request = 'q', response = 'r' };

/// A body in a file. Id and side are in the key of its row, the rest is what the row holds.
struct blob_ref {
  std::uint64_t fetch_id = 0;
  blob_side side = blob_side::request;
  std::uint64_t number = 0; ///< tells the files of several attempts apart; unique in the store for ever
  std::uint64_t bytes = 0;
  std::uint32_t crc = 0; ///< CRC-32C of all of them

  /// Id, side and number: `00000100000000a3r0000010000000007`.
  std::string file_name() const;

  template <class Archive> void serialize(Archive& ar) { ar(number, bytes, crc); }
};

/// The id, side and number of a file of ours.
std::optional<blob_ref> parse_blob_name(std::string_view file_name);

/// A descriptor of a blob's file. It stays open as long as there are few; beyond that it is opened for each
/// use, because descriptors are scarce and each transfer already holds one for its socket.
class blob_descriptor {
public:
  blob_descriptor(std::shared_ptr<blob_store> home, std::string path)
      : home_(std::move(home)), path_(std::move(path)) {}
  blob_descriptor(blob_descriptor&& other) noexcept;
  blob_descriptor& operator=(blob_descriptor&&) = delete;
  ~blob_descriptor() { close(); }

  /// Error: `errno` as a `storage_error`, or `corrupt` if there is no such file.
  expected<int> open(int flags);

  /// The use is over: closed if there are too many.
  void used() noexcept;
  void close() noexcept;

  const std::string& path() const noexcept { return path_; }
  blob_store& home() const noexcept { return *home_; }

private:
  std::shared_ptr<blob_store> home_;
  std::string path_;
  int descriptor_ = -1;
};

/// One thread at a time, but for `write_ahead`.
class blob_writer : public std::enable_shared_from_this<blob_writer> {
public:
  /// By `blob_store::create`.
  blob_writer(std::shared_ptr<blob_store> home, blob_ref name, std::string path)
      : file_(std::move(home), std::move(path)), ref_(name), created_(name.bytes != 0), held_(nullptr) {}
  blob_writer(const blob_writer&) = delete;
  blob_writer& operator=(const blob_writer&) = delete;

  /// Has the file removed unless it was kept.
  ~blob_writer();

  /// The bytes are then with the kernel, not on the disk. Error: `storage_error` naming the file, now and
  /// from now on.
  expected<void> append(std::string_view bytes);

  /// The body so far, in memory; what is appended, within its room, goes there too and never fails. The
  /// thread of the files writes it out, pieces while it grows and the rest with the first sync, and when it
  /// is kept it stays in memory for its handler.
  void hold(held_body body) noexcept;
  bool is_held() const noexcept { return holds_; }
  std::size_t room() const noexcept { return held_.room(); }

  /// Of one that is held, as `held_body::grow`.
  bool grow(std::size_t bytes_in_all);

  /// Held no longer: what the file has not yet is written to it, and what is appended from now on too. Error
  /// as of `append`.
  expected<void> let_go();

  /// What is held goes to the kernel, which begins with the first piece to put it on the disk. Error as of
  /// `append`.
  expected<void> write_out();

  /// The same up to there. Any thread, while another one appends; an error is told to who syncs.
  void write_ahead(std::size_t upto) noexcept;

  /// Begins to put on the disk what was appended or is held, and does not wait for it.
  void begin_sync() noexcept;

  /// The bytes are on the disk on return; blocks as long as that takes. Error: `storage_error`; final, for
  /// the kernel forgets the bytes, unless they are held here or only a descriptor was missing.
  expected<void> sync();

  /// The folder is on the disk as well.
  void note_durable() noexcept { state_ = state::durable; }
  bool is_durable() const noexcept { return state_ == state::durable; }
  bool is_lost() const noexcept { return state_ == state::lost; }
  const error& why_lost() const noexcept { return why_lost_; }

  /// With size and checksum of what was appended so far.
  const blob_ref& ref() const noexcept { return ref_; }

  /// A row names it durably: the file stays.
  void keep();

  /// The commit with its row failed, and nobody knows what of it a restart will find: should the file go,
  /// then not before a later commit has succeeded.
  void doubt() noexcept { fate_ = fate::doubtful; }

private:
  enum class state : std::uint8_t { held, written, synced, durable, lost };
  enum class fate : std::uint8_t { removed, doubtful, kept };

  unexpected<error> lose(error why);
  expected<int> open();
  expected<void> write(int descriptor, std::string_view bytes, std::uint64_t at);
  expected<void> write_held(std::size_t upto);

  blob_descriptor file_;
  blob_ref ref_;
  bool created_;
  std::mutex writing_; ///< what is held, against its growing elsewhere
  held_body held_;
  bool holds_ = false;
  std::size_t ordered_ = 0; ///< bytes that are, or will be, written ahead
  std::size_t written_ = 0; ///< bytes of what is held that the file has
  state state_ = state::written;
  fate fate_ = fate::removed;
  error why_lost_;
};

/// Shared by who will refer to it: an attempt's outcome, then the commit.
using blob_writer_ptr = std::shared_ptr<blob_writer>;

/// A body on its way out of its file. One thread at a time.
class blob_reader {
public:
  /// By `blob_store::read`.
  blob_reader(std::shared_ptr<blob_store> home, const blob_ref& what, std::string path)
      : file_(std::move(home), std::move(path)), ref_(what) {}

  /// Opens the file and compares its size. Errors: `corrupt` naming the file, `storage_error`.
  expected<void> begin();

  /// The next bytes, none at the end. The last ones come only if the checksum of the whole is right, so that
  /// whoever has all of them has what was written. Errors: `corrupt` naming the file, `storage_error`.
  expected<std::size_t> read(std::span<char> into);

  /// From the front again.
  void rewind() noexcept;

private:
  blob_descriptor file_;
  blob_ref ref_;
  std::uint64_t at_ = 0;
  std::uint32_t crc_ = 0;
};

} // namespace dormouse
