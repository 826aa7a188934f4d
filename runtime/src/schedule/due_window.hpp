#pragma once

/// The part of the schedules that is in memory: those that are due and with their objects, at most so many,
/// and of all others only when the next one is due. The rows on disk are in the order of their due times, so
/// a walk over what is due ends where the future begins.
///
/// A firing that waits, for its object is not ready or it is to be tried again, takes none of the places: its
/// row is kept in mind, so that it is not handed over again, and the owner bounds how many wait.
///
/// A row leaves when its firing is over. By then it is erased, or has moved to a later place and was told of
/// anew; or it was left for the next start, and then it is behind the walk. Rows whose class is not defined
/// are passed over; the window remembers, per binding, the first of them, and the walk goes back there when
/// the class comes.
///
/// Belongs to the scheduler.

#include "ports/storage_engine.hpp"
#include "store/keys.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>

namespace dormouse {

class due_window {
public:
  static constexpr std::int64_t never = std::numeric_limits<std::int64_t>::max();
  static constexpr std::size_t rows_per_read = 10'000;

  struct callbacks {
    std::function<std::unique_ptr<row_cursor>(std::string_view from, std::string_view to)>
        scan; ///< passes over what is damaged
    std::function<bool(const keys::due_parts& row, keys::schedule_parts of)>
        hand_over; ///< false: its class is not defined
    std::function<void(const row_cursor& row, const std::string& why)> bury;
    std::function<void(const error& why)> unreadable;
  };

  due_window(std::size_t most, callbacks owner) : most_(most), owner_(std::move(owner)) {}

  /// A row that is durable now.
  void written(const keys::due_parts& row);

  /// A firing waits: its place is free.
  void aside(const keys::due_parts& row);

  /// A firing is over. False if it was none of the window's.
  bool over(const keys::due_parts& row);

  /// Rows at or behind this key can be read, which could not when the window came by.
  /// One that is not due yet, to whoever looks after it. False: there is no room now.
  bool hand_over_early(const keys::due_parts& row, keys::schedule_parts of);

  void read_again(const std::string& from);

  /// What was passed over for this class is wanted now.
  void defined(const std::string& binding);

  /// Hands over what is due, if there is much room, and looks at `rows_per_read` rows at most. Whether there
  /// are more to look at.
  bool read(std::int64_t now_ms);

  /// When to look again, at the latest.
  std::int64_t next_ms() const noexcept { return next_ms_; }

  std::size_t out() const noexcept { return out_.size(); }

private:
  const std::size_t most_;
  const callbacks owner_;
  std::set<keys::due_parts> out_;   ///< with their objects
  std::set<keys::due_parts> aside_; ///< the same, and they wait there
  bool more_due_ = true;            ///< due rows may be on disk at `from_` or behind it
  std::string from_ = "W";          ///< every row before this key is out, or passed over, or was left
  std::int64_t next_ms_ = never;
  std::map<std::string, std::string> passed_over_; ///< binding -> the first of its rows that were
};

} // namespace dormouse
