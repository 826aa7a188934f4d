#pragma once

/// The folder of the large bodies, `blobs/` in the store's directory: one file each (blob_file.hpp).
///
/// The truth is in the rows. A file counts only while a 'B' row names it:
///   put       the file is whole and on the disk, and so is its entry in the folder, before the commit with
///   its row is written erased    the file is removed when the commit that erases its row is durable, never
///   before crash     what was between the two is a file without a row; the next start removes it
///
/// What waits for the disk, and the writing of what is in memory, is done by a thread of its own: an fsync of
/// a large file takes as long as hundreds of commits, and neither a turn nor a worker's loop nor the
/// committer should stand still for it. It syncs in batches: the writing out of all files is begun before the
/// first one is waited for, and the folder is synced once. A second thread removes, because to unlink a large
/// file may wait for the disk as well, and nobody waits for that.

#include "store/blob_file.hpp"

#include <atomic>
#include <condition_variable>
#include <deque>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace dormouse {

class blob_store : public std::enable_shared_from_this<blob_store> {
public:
  /// Makes the folder if there is none. `epoch`: that of the store; names of this epoch are new.
  /// `memory_bytes`: of `memory()`. Error: `directory_unusable` naming the folder.
  static expected<std::shared_ptr<blob_store>> open(const std::filesystem::path& directory,
                                                    std::uint64_t epoch, std::size_t memory_bytes = 0);

  blob_store(const blob_store&) = delete;
  blob_store& operator=(const blob_store&) = delete;

  /// `close()`.
  ~blob_store();

  /// A body to be written. The file is there from the first byte on.
  blob_writer_ptr create(std::uint64_t fetch_id, blob_side side);

  /// The same body under another fetch's name: one file on the disk with two names; one that is only held is
  /// written out. Null if the file system refuses.
  blob_writer_ptr link(blob_writer& body, std::uint64_t fetch_id, blob_side side);

  /// A body to be read piece by piece; opened by `begin`.
  blob_reader read(const blob_ref& what);

  /// The whole body, allocated once, checked; or as it was kept in memory, once. Errors: `corrupt` naming the
  /// file, `storage_error`.
  expected<std::string> load(const blob_ref& what);

  /// Calls `done` on the thread of the files when the files and the folder are on the disk, or with the first
  /// `storage_error`.
  void sync(std::vector<blob_writer_ptr> files, std::function<void(const expected<void>&)> done);

  /// Has the thread of the files write out what the file holds, up to there, soon. After `close` nothing.
  void write_ahead(blob_writer_ptr file, std::size_t upto);

  /// Has a file removed, soon. After `close` at once.
  void remove(const blob_ref& what) noexcept;

  /// The file of a commit that failed: removed when another one has succeeded, for from then on the failed
  /// one is gone for good; or by the next start.
  void remove_after_a_commit(const blob_ref& what) noexcept;
  void commit_succeeded() noexcept;

  /// Whether a row names this file: looked up for each file of an earlier epoch. An error leaves the file
  /// where it is.
  using claim = std::function<expected<bool>(const blob_ref& name)>;

  /// Begins to remove what no row names, slice by slice. Neither the start nor the memory grows with the
  /// number of files: a file of this epoch cannot be an orphan, so the walk can go on while new ones come.
  void remove_orphans(claim is_named);

  /// Syncs and removes what is waiting and ends the threads. Files that are written still can no longer be
  /// opened.
  void close();

  const std::filesystem::path& folder() const noexcept { return folder_; }

  /// What of the bodies is in memory.
  const std::shared_ptr<body_memory>& memory() const noexcept { return memory_; }

  // For blob_descriptor.
  bool is_closed() const noexcept { return closed_.load(std::memory_order_relaxed); }
  void descriptor_opened() noexcept { descriptors_.fetch_add(1, std::memory_order_relaxed); }
  void descriptor_closed() noexcept { descriptors_.fetch_sub(1, std::memory_order_relaxed); }
  bool too_many_descriptors() const noexcept {
    return descriptors_.load(std::memory_order_relaxed) > most_descriptors;
  }

  /// Files that stay open between two uses.
  static constexpr int most_descriptors = 64;

private:
  struct sync_job {
    std::vector<blob_writer_ptr> files;
    std::function<void(const expected<void>&)> done;
  };

  blob_store(std::filesystem::path folder, std::uint64_t epoch, std::size_t memory_bytes);

  std::string path_of(const blob_ref& what) const { return (folder_ / what.file_name()).string(); }
  void run_syncs();
  void run_removals();
  std::vector<sync_job> take_jobs();
  void sync_jobs(std::vector<sync_job>& jobs);
  expected<void> sync_folder() const;
  void remove_now(const blob_ref& what) const noexcept;
  void remove_some_orphans();

  const std::filesystem::path folder_;
  const std::uint64_t epoch_;
  const std::shared_ptr<body_memory> memory_;
  std::atomic<std::uint64_t> next_number_;
  std::atomic<int> descriptors_{0};
  std::atomic<bool> closed_{false};

  std::mutex mutex_;
  std::condition_variable arrived_;
  std::condition_variable to_remove_;
  std::deque<sync_job> jobs_;
  std::deque<std::pair<blob_writer_ptr, std::size_t>> ahead_;
  std::deque<blob_ref> unwanted_;
  std::vector<blob_ref> doubtful_;
  std::atomic<bool> any_doubtful_{false};
  claim is_named_; ///< while the walk for orphans goes on
  bool stopping_ = false;

  std::optional<std::filesystem::directory_iterator> walk_; ///< of the thread that removes
  std::thread syncs_;
  std::thread removals_;
};

} // namespace dormouse
