#pragma once

/// Group commit: one thread takes everything that is waiting, writes it as one batch with one sync, and then
/// each commit is settled in the order they came. This is where the output gate opens (R4): whatever a turn
/// wants the world to see hangs on `settle`.
///
/// Under load a second thread settles a batch while the first writes the next one: settling is as much work
/// as writing, and the writer should not keep the disk waiting for it. With nothing else waiting the writer
/// settles by itself, which saves a change of threads.
///
/// Whoever submits never waits. What is submitted and not settled is counted in bytes, so that those who make
/// commits can hold back while the disk is behind (`runtime_core::is_disk_behind`).
///
/// A gate ties the commits of one activation together. When one of them fails, those behind it were computed
/// from state that never became durable, so they fail too, without being written.
///
/// A commit that names new body files waits until those are on the disk, and so do the commits of its gate
/// behind it, for their state was computed from its own. All others go on.

#include "ports/storage_engine.hpp"
#include "store/blob_store.hpp"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <unordered_map>
#include <vector>

namespace dormouse {

struct commit_gate;

class pending_commit {
public:
  virtual ~pending_commit() = default;

  /// Called exactly once, on a thread of the committer, in order and never two at a time: ok when durable.
  /// Must not block or throw.
  virtual void settle(const expected<void>& outcome) noexcept = 0;

  write_set writes; ///< may be empty: then it is a barrier, settled when everything before it is durable
  std::shared_ptr<commit_gate> gate; ///< may be null
  std::vector<blob_writer_ptr>
      new_blobs; ///< files that rows in `writes` name: on the disk before, kept when durable
  std::vector<blob_ref> old_blobs; ///< files whose rows `writes` erases: removed when durable

  bool behind_files = false;  ///< waits for the commits before it whose files are still being synced, too
  std::size_t more_bytes = 0; ///< that it keeps in memory besides `writes`, until it is settled

private:
  friend class group_committer;

  std::optional<error> unwritable_; ///< why a new file is not on the disk
  std::uint64_t number_ = 0;        ///< in the order in which they were submitted
  std::size_t bytes_ = 0;           ///< as they were counted
};

struct commit_gate {
  std::atomic<std::uint32_t> in_flight{0};
  std::atomic<bool> failed{false};
  std::atomic<bool> notify_when_idle{false}; ///< the activation wants to hear when `in_flight` becomes zero
  std::atomic<std::uint32_t> given_back{
      0}; ///< messages whose commits failed and that are on their way back to the activation
  std::atomic<std::uint64_t> settled_rows{0}; ///< how many commits with rows of the object's storage can be
                                              ///< read from the store (storage_overlay.hpp)

private:
  friend class group_committer;

  // Under the committer's lock.
  bool held_ = false;                                   ///< a commit waits for its files
  std::vector<std::unique_ptr<pending_commit>> behind_; ///< it; empty, it takes no memory
};

class group_committer {
public:
  /// `blobs` may be null if no commit has files.
  explicit group_committer(storage_engine& engine, std::shared_ptr<blob_store> blobs = nullptr);

  /// `drain()`.
  ~group_committer();

  /// Thread-safe. After `drain` the commit is settled at once with `stopped`.
  void submit(std::unique_ptr<pending_commit> commit);

  /// Writes what is waiting and ends the thread.
  void drain();

  /// The same, but waits no longer than that: false if something still waits for the disk, or for code of the
  /// program's that settles. To be called again, or never.
  bool drain_until(std::chrono::steady_clock::time_point deadline);

  /// What the commits that are not settled yet keep in memory, about.
  std::size_t bytes() const noexcept { return bytes_.load(std::memory_order_relaxed); }

  std::uint64_t commits() const noexcept { return commits_.load(std::memory_order_relaxed); }
  std::uint64_t syncs() const noexcept { return syncs_.load(std::memory_order_relaxed); }

private:
  using batch = std::vector<std::unique_ptr<pending_commit>>;

  /// What was written as one, and how that ended.
  struct written {
    batch commits;
    std::vector<bool> tainted; ///< by an earlier failure of their gate
    expected<void> outcome;
  };

  void take(std::unique_ptr<pending_commit> commit);
  void release_barriers();
  bool is_held_before(const pending_commit& barrier) const;
  void files_synced(pending_commit* of, const expected<void>& outcome);
  void run();
  void run_settler();
  void write(batch& taken);
  written write_slice(batch slice);
  void pass_on(written next);
  void settle_blobs(const pending_commit& commit, const expected<void>& outcome);
  void settle(written& done);

  storage_engine& engine_;
  std::shared_ptr<blob_store> blobs_;
  std::mutex mutex_;
  std::condition_variable arrived_;
  batch waiting_;
  std::unordered_map<pending_commit*, std::unique_ptr<pending_commit>>
      held_;           ///< their files are being synced
  batch behind_files_; ///< wait until those held that were submitted before them are gone; in order
  std::uint64_t last_number_ = 0;
  bool stopping_ = false;
  std::atomic<std::uint64_t> commits_{0};
  std::atomic<std::uint64_t> syncs_{0};
  std::atomic<std::size_t> bytes_{0};
  std::vector<const write_set*> sets_;

  std::mutex settle_mutex_;
  std::condition_variable settle_changed_;
  std::optional<written>
      to_settle_; ///< the settler has it until it is empty again: the writer is at most one batch ahead
  bool settler_stopping_ = false;

  bool writer_ended_ = true;  ///< under `mutex_`
  bool settler_ended_ = true; ///< under `settle_mutex_`
  std::condition_variable ended_;
  std::thread writer_;
  std::thread settler_;
};

} // namespace dormouse
