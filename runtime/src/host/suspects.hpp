#pragma once

/// What has killed the process, or has failed, and has not been handled since (R22): the death records of the
/// store, all of them in memory, for there are few.
///
/// A start counts a death for each note that the process before has left (death_notes.hpp). Until it has run
/// to its end, what was noted is a suspect: it is delivered behind everything else that was left, and one at
/// a time, so that the next death has one suspect and everybody else has been served. With
/// `options::max_deaths` it is not run any more.
///
/// Thread-safe. In a store without records each question costs one load.

#include "host/actor_messages.hpp"
#include "host/death_notes.hpp"
#include "store/death_record.hpp"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dormouse {

struct runtime_core;

/// The key of its record; empty for what has no row.
std::string key_of(const address& where, note_kind kind, std::uint64_t number);

/// The same of a message that is handled. Empty: it is a call from outside.
std::string key_of(const address& where, const envelope& what);

/// The task that it is about; 0: none. Of a firing, once its row is in it.
std::uint64_t task_of(const envelope& what);

class suspects {
public:
  /// What the store has, and the deaths that the notes tell of, which are written. Errors are logged: then
  /// something has one death less.
  void begin(runtime_core& core);

  /// The records of the store, once more: rows of objects have moved.
  void read(runtime_core& core);

  bool none() const noexcept { return count_.load(std::memory_order_acquire) == 0; }
  std::optional<death_record> find(const std::string& key) const;
  std::uint32_t deaths(const std::string& key) const;
  void put(const std::string& key, death_record what);
  void forget(const std::string& key);

  /// Of the object: whether one of its hooks or its destructor has killed the process too often.
  std::optional<error> quarantine_of(const runtime_core& core, const address& where) const;
  std::vector<address> quarantined_objects(std::uint32_t max_deaths) const;

  /// Whether it, its task or its object has killed the process and has not run to its end since.
  bool is_suspect(const address& where, const envelope& what) const;

  // What is delivered last, one at a time: suspects, and what is behind them in the inboxes of their objects,
  // for that must not overtake them (R1).

  struct one {
    address to;
    const class_descriptor* type = nullptr;
    std::string key;   ///< of its row in the inbox, read again when its turn comes; empty: none
    envelope_ptr what; ///< if there is no key
  };
  void hold(one what);
  void hold_first(one what); ///< one that was the next and could not be read

  /// Whether what comes for this object now is to wait too.
  bool holds_for(const address& where) const;

  bool holds_any() const noexcept { return held_count_.load(std::memory_order_acquire) != 0; }

  /// The next one, if none is under way, or the one that is does not end within `patience`: a turn that hangs
  /// keeps nobody from being served. Whoever has its place says `over` when it is done.
  std::optional<one> next(std::chrono::milliseconds patience);
  void over();

private:
  mutable std::mutex mutex_;
  std::map<std::string, death_record> records_;
  std::atomic<std::size_t> count_{0};
  std::deque<one> held_;
  std::map<address, std::size_t> held_for_; ///< how many of them, those under way among them
  std::atomic<bool> any_waits_{false};      ///< there is one
  std::deque<address> under_way_for_;       ///< one, or more if the first ones hang
  std::atomic<std::size_t> held_count_{0};
  bool under_way_ = false;
  std::chrono::steady_clock::time_point since_; ///< it is
};

/// As one sentence: how often, when, and what of.
error why_quarantined(const death_record& record, std::string_view what);

} // namespace dormouse
