#pragma once

/// One opening of the RocksDB database. The store may have to close it under readers and cursors and open the
/// next one (reopening_db.hpp), and RocksDB wants nobody inside when it closes. So:
///   a read    runs with the generation held open; closing waits for it
///   a cursor  is cut off by closing: what it stands on stays valid, its next step ends the walk with a
///             `storage_error`, because the store as it was when the walk began is gone
/// Who holds a generation that has been closed finds it so and takes the next one.

#include "ports/storage_engine.hpp"
#include "store/commit_number.hpp"
#include "store/sound_rows.hpp"

#include <rocksdb/db.h>

#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string_view>
#include <unordered_set>

namespace dormouse {

enum class scan_order : std::uint8_t { forward, backward };

class db_generation : public std::enable_shared_from_this<db_generation> {
public:
  explicit db_generation(std::unique_ptr<rocksdb::DB> db) : db_(std::move(db)) {}
  db_generation(const db_generation&) = delete;
  db_generation& operator=(const db_generation&) = delete;
  ~db_generation() { close(); }

  /// Calls `use` with the database, unless it is closed; tells which.
  template <class Use> bool with(Use&& use) {
    std::shared_lock open(in_use_);
    if (!db_) return false;
    use(*db_);
    return true;
  }

  /// Null if it is closed.
  std::unique_ptr<row_cursor> scan(std::string_view from, std::string_view to, scan_order order);

  /// Cuts off all cursors, waits for the reads and closes. RocksDB's error is not told: after a failed write
  /// it always has one.
  void close() noexcept;

private:
  friend class generation_cursor;

  void forget(class generation_cursor& over) noexcept;

  std::shared_mutex in_use_; ///< shared: a read; exclusive: closing
  std::unique_ptr<rocksdb::DB> db_;
  opened_tables tables_;     ///< those that are damaged, and those beside them
  std::mutex cursors_mutex_; ///< taken before that of a cursor
  std::unordered_set<class generation_cursor*> cursors_;
};

} // namespace dormouse
