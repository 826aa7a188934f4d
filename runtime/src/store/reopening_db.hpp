#pragma once

/// The RocksDB database under a runtime that does not end with an error of its disk (R25).
///
/// After a failed write RocksDB's log is of no use any more: what goes on with it loses data or ends the
/// process. So from the first error on nothing is written; a thread of its own, the mender, waits until the
/// disk takes a small file again, closes the database and opens it anew. Whatever was acknowledged is in the
/// log or in the tables; the rest of the log, which nobody was told of as done, is left out: nothing comes
/// back that the program was told had failed.
///
///   works      reads and writes
///   outage     writes fail with the first cause. Reads go on with the generation (db_generation.hpp) that
///              was open, or with one that is only read. The mender tries again several times a second.
///   anew       a moment: reads and writes wait for the outcome
///
/// The same for errors that RocksDB meets in the background, while it flushes and compacts: its own ways out
/// of them go on with the old log, and are turned off. Damage is not mended by opening anew; it stays.

#include "store/db_generation.hpp"
#include "store/disk_room.hpp"

#include <rocksdb/env.h>
#include <rocksdb/listener.h>
#include <rocksdb/options.h>
#include <rocksdb/wal_filter.h>
#include <spdlog/fwd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

namespace dormouse {

struct database_setup {
  std::string directory;
  rocksdb::Options options;
  std::shared_ptr<rocksdb::FileSystem> files; ///< null: the system's
  std::shared_ptr<spdlog::logger> log;        ///< null: nobody is told
};

class reopening_db {
public:
  /// Opens with these options, and may look at what it finds.
  using opener = std::function<rocksdb::Status(const rocksdb::Options&, std::unique_ptr<rocksdb::DB>&)>;

  /// RocksDB's status of the first opening, by `first` if there is one; `out` is null unless that is ok.
  static rocksdb::Status open(database_setup how, std::unique_ptr<reopening_db>& out,
                              const opener& first = {});

  reopening_db(const reopening_db&) = delete;
  reopening_db& operator=(const reopening_db&) = delete;
  ~reopening_db();

  // As of storage_engine.
  expected<std::optional<std::string>> get(std::string_view key);
  expected<void> write(rocksdb::WriteBatch& batch);
  std::unique_ptr<row_cursor> scan(std::string_view from, std::string_view to, scan_order order);

private:
  class background_errors;

  struct outage {
    error why;
    bool is_full = false;     ///< of the disk
    bool is_mendable = false; ///< by opening anew
    bool is_told = false;     ///< to the log: not one after the other if they come one after the other
    std::chrono::steady_clock::time_point since;
  };

  explicit reopening_db(database_setup how);

  void refused(const error& why);
  void wrote();
  rocksdb::Options options_for(rocksdb::SequenceNumber last);
  rocksdb::Status open_anew(std::shared_ptr<db_generation>& out, const opener& by);
  std::shared_ptr<db_generation> open_for_reading();
  std::shared_ptr<db_generation> present(); ///< null while not even reading is possible
  error why_not() const;                    ///< under the lock
  error why_not_now();
  void begin_outage(const db_generation& in, const rocksdb::Status& why);
  void met(const background_errors* by, const rocksdb::Status& why);
  void note(const rocksdb::Status& why);
  void run();
  void mend(std::unique_lock<std::mutex>& lock);
  void replace(std::unique_lock<std::mutex>& lock);
  std::chrono::milliseconds pause() const;

  const database_setup how_;
  const std::unique_ptr<rocksdb::Env> env_;    ///< null: the system's
  std::unique_ptr<rocksdb::WalFilter> filter_; ///< of the present generation
  disk_room room_;
  std::atomic<rocksdb::SequenceNumber> acknowledged_{0}; ///< the last one that was written and synced

  // Of the one thread that writes: the last batch was refused for want of room; when the log was told.
  bool is_refusing_ = false;
  std::chrono::steady_clock::time_point refusal_told_{};

  std::mutex mutex_;
  std::condition_variable changed_;
  std::shared_ptr<background_errors> listener_; ///< of the present generation
  std::shared_ptr<db_generation> db_;
  std::optional<outage> outage_;
  bool relapsed_ = false;  ///< another error while it was opened anew
  bool replacing_ = false; ///< `db_` is about to change
  bool stopping_ = false;
  unsigned attempts_ = 0; ///< in this outage
  unsigned relapses_ = 0; ///< outages that began soon after another
  std::chrono::steady_clock::time_point mended_{};

  std::thread mender_; ///< last: it uses all of this
};

} // namespace dormouse
