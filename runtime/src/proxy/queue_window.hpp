#pragma once

/// The part of the queue that is in memory: a bounded window of due fetches, refilled from disk by range
/// scans, so that a million queued fetches cost disk and not memory. For each named queue and priority it
/// knows up to where the rows on disk have been read.
///
/// Slow origins must not fill the window while others wait behind them on disk. So an origin gets at most a
/// quarter of what is left of it, besides what it may have in flight; its further rows are passed over, and
/// read from where the passing over began once enough of its fetches are gone.
///
/// Belongs to the dispatcher.

#include "host/runtime_core.hpp"
#include "store/unread_ranges.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>

namespace dormouse {

/// What limits per origin go by: scheme, host and port.
std::string origin_of(const fetch_message& fetch);

/// What a row of the queue holds, if it is what its key says and tells who asked. Error: `corrupt`.
expected<std::shared_ptr<fetch_message>>
read_queued(const store& from, const std::optional<keys::queue_parts>& parts, std::string_view row);

class queue_window {
public:
  static constexpr std::int64_t never = std::numeric_limits<std::int64_t>::max();

  struct callbacks {
    std::function<bool(std::uint64_t)> contains; ///< whether a fetch is in the window
    std::function<void(std::shared_ptr<fetch_message>, std::int64_t due_ms, std::string origin)> add;
  };

  queue_window(runtime_core& core, callbacks owner) : core_(core), owner_(std::move(owner)) {}

  /// A named queue that has rows or may get some.
  void open(const std::string& queue);

  /// From here on the disk is read: what an earlier process left there is counted.
  void begin() noexcept { has_begun_ = true; }
  bool has_begun() const noexcept { return has_begun_; }

  /// Whether a fetch that was just queued goes into the window; if not it is found on disk when its time
  /// comes.
  bool wants(const fetch_message& fetch, std::int64_t due_ms, const std::string& origin);

  /// The owner has put one into the window, or taken one out.
  void entered(const fetch_message& fetch, std::int64_t due_ms, const std::string& origin);
  void left(const fetch_message& fetch, const std::string& origin);

  /// A fetch has a new due time on disk and is not in the window any more.
  void moved(const fetch_message& fetch, std::int64_t due_ms);

  /// Reads on where there is much room: after each fetch that leaves.
  void refill() { read(std::max<std::size_t>(1, core_.settings.max_window / 2)); }

  /// Reads on where there is any room: now and then, for what is in the window may stay there for long.
  void top_up() { read(1); }

  /// What could not be read when the queue was counted.
  void add_uncounted(const key_range& rows) { uncounted_.add(rows, core_.clock->now_ms()); }

  /// A row of an earlier process that is counted now. False: it has been, or is not the first to tell of it.
  bool count(std::string_view key, std::uint64_t id);

  /// What could not be read before, and can be now, is counted and read: to be called now and then.
  void look_again();

  /// When a row on disk becomes due that is not in the window, or is to be looked at again.
  std::int64_t next_due_ms() const noexcept;

private:
  struct backlog {
    std::size_t in_window = 0;
    bool more_due = true; ///< due rows may be on disk that are not in the window
    std::string from;     ///< every due row before this key is in the window, but for those of parked origins
    std::int64_t next_due_ms = never;          ///< a row that becomes due later
    std::map<std::string, std::string> parked; ///< origin -> its first row that was passed over
    unread_ranges unread;                      ///< what cannot be read, and was passed over
  };
  using backlogs = std::map<std::pair<std::string, fetch_priority>, backlog>;

  backlog& behind(const fetch_message& fetch) { return backlogs_.at({fetch.extra.queue, fetch.priority}); }
  std::size_t held_by(const std::string& origin) const;
  std::size_t in_flight_of(const std::string& origin) const;
  std::size_t granted(const backlog& rest) const;
  bool has_its_share(const backlog& rest, const std::string& origin) const; ///< no more of it
  bool wants_more(const backlog& rest, const std::string& origin) const;    ///< half of what waited is gone
  void read(std::size_t least_room);
  static void park(backlog& rest, const std::string& origin, std::string key);
  void read_on(const backlogs::key_type& of, backlog& rest);
  void read_parked(const backlogs::key_type& of, backlog& rest, const std::string& origin);
  void bury(const row_cursor& row, const error& why);

  runtime_core& core_;
  const callbacks owner_;
  backlogs backlogs_;
  std::unordered_map<std::string, std::size_t> by_origin_; ///< in the window
  unread_ranges uncounted_;
  std::unordered_set<std::uint64_t> counted_; ///< of the rows in `uncounted_`, those that can be read
  bool has_begun_ = false;
};

} // namespace dormouse
