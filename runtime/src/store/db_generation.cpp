#include "store/db_generation.hpp"

#include "store/damage_skip.hpp"
#include "store/rocksdb_slice.hpp"
#include "store/sound_rows.hpp"

#include <fmt/format.h>

#include <optional>
#include <string>

namespace dormouse {
/// What it stands on is its own, so that closing cannot take it away: the key is copied at each step, the
/// value when it is asked for, or when the cursor is cut off.
class generation_cursor final : public row_cursor {
public:
  generation_cursor(std::shared_ptr<db_generation> of, std::string_view from, std::string_view to,
                    scan_order order)
      : of_(std::move(of)),
        begin_(from),
        end_(to),
        begin_slice_(slice(begin_)),
        end_slice_(slice(end_)),
        order_(order) {}
  generation_cursor(const generation_cursor&) = delete;
  generation_cursor& operator=(const generation_cursor&) = delete;
  ~generation_cursor() override {
    {
      std::lock_guard guard(mutex_);
      sound_.reset();
      rows_.reset();
    }
    of_->forget(*this);
  }

  void begin(rocksdb::DB& db) {
    rows_ = iterator_over(db);
    if (order_ == scan_order::forward)
      rows_->SeekToFirst();
    else
      rows_->SeekToLast();
    take_key();
  }

  bool valid() const override { return valid_; }
  std::string_view key() const override { return key_; }
  std::string_view value() const override {
    std::lock_guard guard(mutex_);
    take_value();
    return value_;
  }

  void next() override {
    std::lock_guard guard(mutex_);
    value_taken_ = false;
    valid_ = false;
    if (!rows_) return;
    if (order_ == scan_order::forward) {
      last_ = key_;
      sound_ ? sound_->next() : rows_->Next();
    } else {
      rows_->Prev();
    }
    take_key();
  }

  expected<key_range> skip_damage() override {
    std::optional<expected<key_range>> skipped;
    of_->with([&](rocksdb::DB& db) { // before our lock: closing takes them in this order
      std::lock_guard guard(mutex_);
      if (rows_ && order_ == scan_order::forward && status_.IsCorruption()) skipped = skip(db);
    });
    return skipped ? std::move(*skipped) : row_cursor::skip_damage();
  }

  expected<void> status() const override {
    std::lock_guard guard(mutex_);
    if (!rows_ && !valid_ && !ended_)
      return fail(errc::storage_error,
                  "the store was opened anew after a failure while its rows were walked; walk again");
    if (!status_.ok()) return storage_failure(status_);
    return {};
  }

  /// The database closes.
  void cut() noexcept {
    std::lock_guard guard(mutex_);
    if (valid_) take_value();
    sound_.reset();
    rows_.reset();
  }

private:
  std::unique_ptr<rocksdb::Iterator> iterator_over(rocksdb::DB& db) const {
    rocksdb::ReadOptions options;
    options.iterate_lower_bound = &begin_slice_;
    options.iterate_upper_bound = &end_slice_;
    return std::unique_ptr<rocksdb::Iterator>(db.NewIterator(options));
  }

  expected<key_range> skip(rocksdb::DB& db) {
    auto passed =
        pass_damage([&] { return iterator_over(db); }, rows_, last_.empty() ? begin_ : last_ + '\0', end_);
    if (!passed) return unexpected<error>(passed.error());
    status_ = rocksdb::Status::OK();
    is_at_end_ = passed->is_at_end;
    if (!passed->lost.is_empty()) sound_ = std::make_unique<sound_rows>(db, of_->tables_, passed->lost);
    take_key();
    return std::move(passed->lost);
  }

  void take_key() {
    if (sound_ && sound_->valid()) {
      valid_ = value_taken_ = true;
      key_ = sound_->key();
      value_ = sound_->take_value();
      return;
    }
    sound_.reset();
    if (is_at_end_) {
      valid_ = false;
      ended_ = true;
      return;
    }
    valid_ = rows_->Valid();
    if (valid_) {
      const auto key = rows_->key();
      key_.assign(key.data(), key.size());
    } else {
      ended_ = true;
      status_ = rows_->status();
    }
  }

  void take_value() const {
    if (value_taken_ || !rows_) return;
    const auto value = rows_->value();
    value_.assign(value.data(), value.size());
    value_taken_ = true;
  }

  const std::shared_ptr<db_generation> of_;
  const std::string begin_;
  const std::string end_;
  const rocksdb::Slice begin_slice_;
  const rocksdb::Slice end_slice_;
  const scan_order order_;

  mutable std::mutex mutex_; ///< the walk, against closing
  std::unique_ptr<rocksdb::Iterator> rows_;
  std::unique_ptr<sound_rows> sound_; ///< of the damage that was passed last; before what `rows_` is at
  bool is_at_end_ = false;            ///< nothing behind that damage can be read
  bool valid_ = false;
  bool ended_ = false; ///< before it was cut off
  rocksdb::Status status_;
  std::string key_;
  std::string last_; ///< the row before this one, going forward: should the walk break off, that is known
  mutable std::string value_;
  mutable bool value_taken_ = false;
};

std::unique_ptr<row_cursor> db_generation::scan(std::string_view from, std::string_view to,
                                                scan_order order) {
  auto cursor = std::make_unique<generation_cursor>(shared_from_this(), from, to, order);
  const bool begun = with([&](rocksdb::DB& db) {
    cursor->begin(db);
    std::lock_guard guard(cursors_mutex_);
    cursors_.insert(cursor.get());
  });
  if (!begun) return nullptr;
  return cursor;
}

void db_generation::forget(generation_cursor& over) noexcept {
  std::lock_guard guard(cursors_mutex_);
  cursors_.erase(&over);
}

void db_generation::close() noexcept {
  std::unique_lock alone(in_use_);
  if (!db_) return;
  {
    std::lock_guard guard(cursors_mutex_);
    for (auto* cursor : cursors_)
      cursor->cut();
  }
  tables_.close();
  db_->Close().PermitUncheckedError();
  db_.reset();
}

} // namespace dormouse
