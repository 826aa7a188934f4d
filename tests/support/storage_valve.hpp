#pragma once

/// Storage that does what the test says: holds writes back, fails them, and tells that it did.
///
///   auto valve = std::make_shared<test::storage_valve>();
///   runtime runtime(options, {.wrap_engine = valve->wrap()});
///   gate::closing held(valve->writes);   // from now on every write waits
///   valve->fail_writes();                // and fails when it is let through
///
/// A write that fails leaves nothing behind, as a write must.

#include "gate.hpp"
#include "ports/ports.hpp"

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

namespace dormouse::test {

class storage_valve : public std::enable_shared_from_this<storage_valve> {
public:
  using filter = std::function<bool(const write_op&)>;
  using watcher = std::function<void(const write_set&)>;

  gate writes; ///< every write that `hold_writes` selects passes it, and then learns whether it fails; all of
               ///< them if it selects none
  gate scans;  ///< every scan that `hold_scans` selects passes it

  /// From now on a batch fails if it holds a row that `which` is true for.
  void fail_writes(filter which = [](const write_op&) { return true; }) {
    std::lock_guard guard(mutex_);
    failing_ = std::move(which);
  }

  /// From now on `who` sees each set that is written: what one commit has, whichever other ones are written
  /// together with it.
  void watch_sets(watcher who) {
    std::lock_guard guard(mutex_);
    watcher_ = std::move(who);
  }

  /// From now on reading single rows of this kind fails.
  void fail_reads(char kind) { unreadable_kind_ = kind; }

  /// Of the scans that begin with this part of a key `good` are as they should be, and the next `times` fail
  /// behind their first `after` rows.
  void fail_scans(std::string from, std::size_t times, std::size_t after = 0, std::size_t good = 0) {
    std::lock_guard guard(mutex_);
    failing_scans_ = std::move(from);
    good_scans_ = good;
    scans_to_fail_ = times;
    rows_before_ = after;
  }

  /// All works again.
  void heal() {
    std::lock_guard guard(mutex_);
    failing_ = nullptr;
    scans_to_fail_ = 0;
    unreadable_kind_ = 0;
  }

  /// Only batches that hold a row that `which` is true for pass `writes`.
  void hold_writes(filter which) {
    std::lock_guard guard(mutex_);
    held_ = std::move(which);
  }

  /// Only scans that begin with this kind of row, or with this part of a key, pass `scans`.
  void hold_scans(char kind) { hold_scans(std::string(1, kind)); }
  void hold_scans(std::string from) {
    std::lock_guard guard(mutex_);
    held_scans_ = std::move(from);
  }

  std::size_t written() const { return written_; }
  std::size_t failed() const { return failed_; }
  std::size_t failed_reads() const { return failed_reads_; }

  auto wrap() {
    return [self = shared_from_this()](
               std::unique_ptr<storage_engine> inner) -> std::unique_ptr<storage_engine> {
      return std::make_unique<engine>(self, std::move(inner));
    };
  }

private:
  /// Fails behind so many rows.
  class failing_cursor final : public row_cursor {
  public:
    failing_cursor(std::unique_ptr<row_cursor> inner, std::size_t rows)
        : inner_(std::move(inner)), left_(rows) {}
    bool valid() const override { return left_ != 0 && inner_->valid(); }
    std::string_view key() const override { return inner_->key(); }
    std::string_view value() const override { return inner_->value(); }
    void next() override {
      --left_;
      inner_->next();
    }
    expected<void> status() const override {
      if (left_ == 0) return fail(errc::storage_error, "the test's storage cannot be read");
      return inner_->status();
    }

  private:
    std::unique_ptr<row_cursor> inner_;
    std::size_t left_;
  };

  class engine final : public storage_engine {
  public:
    engine(std::shared_ptr<storage_valve> valve, std::unique_ptr<storage_engine> inner)
        : valve_(std::move(valve)), inner_(std::move(inner)) {}

    expected<std::optional<std::string>> get(std::string_view key) override {
      if (!key.empty() && key.front() == valve_->unreadable_kind_) {
        ++valve_->failed_reads_;
        return fail(errc::storage_error, "the test's storage cannot be read");
      }
      return inner_->get(key);
    }

    expected<void> write(std::span<const write_set* const> sets) override {
      if (valve_->selects(valve_->held_, sets, true)) valve_->writes.pass();
      if (valve_->selects(valve_->failing_, sets, false)) {
        ++valve_->failed_;
        return fail(errc::storage_error, "the test's storage fails");
      }
      valve_->show(sets);
      auto outcome = inner_->write(sets);
      ++valve_->written_;
      return outcome;
    }

    std::unique_ptr<row_cursor> scan(std::string_view from, std::string_view to) override {
      valve_->meet_scan(from);
      return valve_->fail_some(from, inner_->scan(from, to));
    }

    std::unique_ptr<row_cursor> scan_back(std::string_view from, std::string_view to) override {
      valve_->meet_scan(from);
      return valve_->fail_some(from, inner_->scan_back(from, to));
    }

  private:
    std::shared_ptr<storage_valve> valve_;
    std::unique_ptr<storage_engine> inner_;
  };

  bool selects(const filter& which, std::span<const write_set* const> sets, bool if_none) {
    std::lock_guard guard(mutex_);
    if (!which) return if_none;
    for (const auto* set : sets)
      for (const auto& op : *set)
        if (which(op)) return true;
    return false;
  }

  void show(std::span<const write_set* const> sets) {
    std::lock_guard guard(mutex_);
    if (!watcher_) return;
    for (const auto* set : sets)
      watcher_(*set);
  }

  void meet_scan(std::string_view from) {
    std::unique_lock lock(mutex_);
    const bool meant = !held_scans_.empty() && from.starts_with(held_scans_);
    lock.unlock();
    if (meant) scans.pass();
  }

  std::unique_ptr<row_cursor> fail_some(std::string_view from, std::unique_ptr<row_cursor> scan) {
    std::lock_guard guard(mutex_);
    if (scans_to_fail_ == 0 || !from.starts_with(failing_scans_)) return scan;
    if (good_scans_ > 0) {
      --good_scans_;
      return scan;
    }
    --scans_to_fail_;
    ++failed_reads_;
    return std::make_unique<failing_cursor>(std::move(scan), rows_before_);
  }

  std::mutex mutex_;
  filter held_;
  filter failing_;
  watcher watcher_;
  std::string held_scans_;
  std::string failing_scans_;
  std::size_t good_scans_ = 0;
  std::size_t scans_to_fail_ = 0;
  std::size_t rows_before_ = 0;
  std::atomic<char> unreadable_kind_{0};
  std::atomic<std::size_t> written_{0};
  std::atomic<std::size_t> failed_{0};
  std::atomic<std::size_t> failed_reads_{0};
};

} // namespace dormouse::test
