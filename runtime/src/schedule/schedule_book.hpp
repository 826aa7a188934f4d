#pragma once

/// The schedules of one activation's object as its turns see them: those on disk, and over them what its
/// turns have done to them and is not known to be durable. Of that it holds no more than what commits in
/// flight carry, for a turn does not wait for the commit of the one before.
///
/// Thrown away together with the object when a turn is undone; nothing is in flight when it is filled again.

#include "schedule/schedule_changes.hpp"

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace dormouse {

class schedule_book {
public:
  schedule_book(runtime_core& core, const address& of) : core_(core), of_(of) {}

  /// Checked and taken, in place of the one with its name. Errors: `invalid_request`, `too_large`,
  /// `queue_full`, `storage_error`.
  expected<schedule_id> add(schedule_message&& what);

  /// The same for one of the runtime's own, which has no name and no limit but its arguments'.
  expected<schedule_id> add_unlimited(schedule_message&& what);

  /// Whether there was one. Errors: `corrupt`, `storage_error`.
  expected<bool> cancel(const schedule_id& id);

  /// Of one that this turn has made; nothing if it has cancelled it since.
  void set_arguments(const schedule_id& id, std::string arguments);

  /// Nothing if there is none. A number of 0: whichever has the name. Errors: as above.
  expected<std::optional<schedule_message>> find(const schedule_id& id);

  /// The next one first; those of the runtime itself left out. Errors: as above.
  expected<std::vector<schedule_message>> all(std::size_t limit);

  /// Cancels all of them: for the end of the object.
  expected<void> erase_all();

  /// What the success of a firing does to its row, before the handler runs, which may cancel or replace it.
  /// Error: as `next_tick`.
  expected<void> fire(const schedule_message& row);

  /// The same for one that is not over yet: it moves to a later time.
  void postpone(const schedule_message& row, std::int64_t until_ms);

  /// A firing of `row` came to nothing.
  void failed(const schedule_message& row, failed_firing&& outcome);

  /// Whether what it knows of this schedule is not from the disk.
  bool is_recent(const schedule_id& id) const { return now_.recent.contains(keys::schedule(of_, id)); }

  bool changed() const noexcept { return !now_.changed.empty(); }

  /// What the turns since the last commit did. `commit`: its place among the commits of the activation.
  schedule_changes take_changes(std::uint64_t commit);

  // What is changed from `save` on can be taken back, until `keep`, within the same turn. It costs what was
  // changed.
  void save();
  void keep() noexcept;
  void go_back();

  /// So many commits of the activation are settled.
  void forget(std::uint64_t commits);

  void clear() noexcept;

private:
  using row = std::optional<schedule_message>; ///< nothing: there is none

  struct recent_row {
    row now;
    std::uint64_t commit = 0; ///< that carries it; 0: none yet
  };

  struct figures {
    std::uint64_t made = 0;
    std::uint64_t fired = 0;
    std::uint64_t fired_late = 0;
    std::uint64_t failed = 0;
    std::uint64_t buried = 0;
    write_set letters;
  };

  /// In the course of turns.
  struct contents : figures {
    std::map<std::string, recent_row> recent; ///< by key
    std::map<std::string, row> changed;       ///< since the last commit: what was there before
    std::list<std::pair<std::uint64_t, std::string>> in_flight; ///< commit and key, in order
  };

  /// One that can be taken back.
  struct change_made {
    std::string key;
    std::optional<recent_row> recent; ///< as it was before; nothing: it was not there
    bool is_first;                    ///< since the last commit
  };

  expected<void> check(const schedule_message& what) const;
  void change(const schedule_id& id, row before, row after);
  schedule_id take(schedule_message&& what, row before);

  runtime_core& core_;
  const address& of_;
  contents now_;
  bool is_saved_ = false;
  std::vector<change_made> changes_; ///< since then
  figures figures_then_;
};

} // namespace dormouse
