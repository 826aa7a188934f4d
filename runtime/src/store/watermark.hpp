#pragma once

/// The watermark: how far a store had come, in a file beside its database.
///
/// The log of the database is believed as far as it can be read, and where it ends looks the same whether the
/// process died there or something cut it off. So each commit has a number, the database holds the number of
/// its last one, and the watermark holds the number of the last one that was acknowledged. A database that
/// comes back behind its watermark has lost commits that the world has seen, and is not opened as if it had
/// not.
///
/// The file is a page that the process has mapped: noting a commit costs two stores, and what is noted
/// survives the process. The kernel writes the page to the disk when it likes, so after a power failure the
/// watermark may be some seconds behind; it is never ahead of the log, for it is written when the log is
/// synced. It also holds the epoch, which is synced before it is given out: ids do not repeat even if the log
/// lost the row of the epoch.
///
/// Everything is there twice, with a checksum each, and written alternately: what was being written when the
/// process or the power went costs one step, not the watermark.

#include <dormouse/serialization/error.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>

namespace dormouse {

class watermark {
public:
  /// Makes the file if there is none: then nothing has been noted. Errors: `corrupt` if neither copy can be
  /// read, `storage_error`, both naming the file.
  static expected<watermark> open(const std::filesystem::path& directory);

  watermark(watermark&& other) noexcept;
  watermark& operator=(watermark&&) = delete;
  ~watermark();

  /// The number of the last commit that was acknowledged; 0 if none was noted.
  std::uint64_t commits() const noexcept { return commits_.value; }

  /// After the sync of the commit with this number, before it is acknowledged. One thread.
  void note_commits(std::uint64_t number) noexcept;

  /// The last epoch that may have been given out; 0 if none was noted.
  std::uint64_t epoch() const noexcept { return epoch_.value; }

  /// On the disk on return. Error: `storage_error`.
  expected<void> note_epoch(std::uint64_t epoch);

private:
  /// A number in its two copies.
  struct counter {
    std::size_t offset;     ///< of the first copy
    std::uint64_t turn = 0; ///< how often it was written
    std::uint64_t value = 0;
  };

  watermark(std::filesystem::path file, char* page) : file_(std::move(file)), page_(page) {}

  bool read(counter& into) const noexcept;
  void write(counter& what, std::uint64_t value) noexcept;

  std::filesystem::path file_;
  char* page_;
  counter commits_{0};
  counter epoch_{2048};
};

} // namespace dormouse
