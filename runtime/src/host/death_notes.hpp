#pragma once

/// What is running at this moment, written where the death of the process cannot erase it (R22): a small file
/// in the store's directory that is mapped, so that a note costs a few stores and no system call. The page
/// belongs to the kernel: it survives the process, however that ends, but not the machine. So notes of an
/// earlier boot are not believed.
///
/// Each thread that runs user code takes a slot for the time. A note within a note covers the outer one: what
/// the process died in is the innermost. Whoever opens the file next finds the slots as the death left them.
/// All that were running are suspects, unless the process could still say itself which one it was
/// (crash_notes.hpp).
///
/// The same slots tell a living process which turn does not end (turn_watch.hpp).

#include <dormouse/serialization/address.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace dormouse {

/// Stored: the numbers never change.
enum class note_kind : std::uint8_t {
  message = 1,    ///< a row of an inbox; its number is the id
  task = 2,       ///< the number of the task
  schedule = 3,   ///< the number of the schedule
  waking = 4,     ///< constructor, `serialize`, `on_create`, `on_wake`
  destructor = 5, ///< of an object that leaves memory
  call = 6,       ///< from outside, or a read: there is no row
};

/// Something that was, or is, running.
struct death_note {
  note_kind kind{};
  std::uint64_t number = 0; ///< of what `kind` says
  address where;
  std::string method;
  int signal = 0;           ///< that the process died of in it; 0: not known
  std::int64_t died_ms = 0; ///< 0: not known
  std::string place = {};   ///< a backtrace, innermost first; empty: not known
};

/// In the mapped page: a signal handler of the dying process writes it, and the next process reads it.
struct note_slot {
  enum : std::uint32_t { free = 0, taken = 1, running = 2, covered = 3 };

  std::atomic<std::uint32_t> state;
  std::atomic<std::uint32_t> turn;    ///< counts the notes, for the watch: which one it has named
  std::atomic<std::int64_t> began_ms; ///< on the steady clock
  std::int64_t died_ms;
  std::uint64_t number;
  std::int32_t signal;
  std::uint16_t binding_bytes;
  std::uint16_t id_bytes;
  std::uint16_t method_bytes;
  std::uint16_t place_bytes;
  note_kind kind;
  char names[1'216]; ///< binding, instance id, method
  char place[768];
};
static_assert(sizeof(note_slot) <= 2'048);
static_assert(std::atomic<std::uint32_t>::is_always_lock_free &&
              std::atomic<std::int64_t>::is_always_lock_free);

/// The first page of the file.
struct note_page {
  char magic[8];
  std::uint32_t slot_bytes;
  std::uint32_t slots;
  char boot[40]; ///< of the machine
  std::atomic<std::int32_t>
      culprit; ///< the signal, if the process said itself what it died in; 0: it did not
  std::atomic<std::uint32_t> stopped; ///< 1: the program ended with turns that did not; nothing has died
};

class death_notes {
public:
  /// Reads what the process before has left, and begins anew. Without a file of its own (the disk is full,
  /// say) notes are kept in memory only, for the watch. Only with the directory locked. Throws
  /// `std::bad_alloc`.
  death_notes(const std::filesystem::path& directory, std::size_t slots);
  death_notes(const death_notes&) = delete;
  death_notes& operator=(const death_notes&) = delete;
  ~death_notes();

  /// What was running when the process before died.
  const std::vector<death_note>& left() const noexcept { return left_; }

  /// Whether this process's notes will be found.
  bool survive() const noexcept { return is_file_; }

  /// What has been running for longer.
  struct long_one {
    death_note what;
    std::chrono::milliseconds since{};
    std::size_t slot = 0;
    std::uint32_t turn = 0;
  };
  std::vector<long_one> running_for(std::chrono::milliseconds longer_than) const;

  /// This process is about to die, of this one.
  void blame(const long_one& which, int signal, std::string_view why) noexcept;

  note_page& page() noexcept { return *page_; }

  /// The program ends, and knows what is still running: that is no death, unless a signal comes after all.
  void stopped() noexcept { page_->stopped.store(1, std::memory_order_release); }

  /// A signal that the process lives on after, for a handler of the program's made it good, is no culprit.
  /// To be called now and then, by one thread.
  void forget_survived() noexcept;

private:
  friend class running_note;

  void read_left(const std::filesystem::path& file);
  note_slot* take() noexcept;
  note_slot& slot(std::size_t index) const noexcept;

  std::vector<death_note> left_;
  note_page* page_ = nullptr;
  std::size_t bytes_ = 0;
  std::size_t slots_;
  bool is_file_ = false;
  std::int32_t seen_culprit_ = 0; ///< when `forget_survived` came by last
};

/// Says what this thread runs, for as long as it lives. Ends on the thread where it began. If all slots are
/// taken it says nothing.
class running_note {
public:
  running_note(death_notes& in, note_kind kind, std::uint64_t number, const address& where,
               std::string_view method) noexcept;
  running_note(const running_note&) = delete;
  running_note& operator=(const running_note&) = delete;
  ~running_note();

  /// What this thread runs; null: nothing. Safe in a signal handler.
  static note_slot* current() noexcept;

private:
  note_slot* slot_;
  note_slot* outer_;
};

/// On the steady clock, as in the slots: cheap, and right to a few milliseconds.
std::int64_t coarse_now_ms() noexcept;

} // namespace dormouse
