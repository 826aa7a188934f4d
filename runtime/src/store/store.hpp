#pragma once

/// The store: what the runtime's values are on disk. Effects become bytes here and nowhere else.
///
/// Three kinds of commit make up the life of a fetch, each one atomic write:
///   the turn      object row, queue rows of its fetches, erasure of the inbox row that caused it
///   the response  inbox row put, queue row erased: from then on the request is never sent again (R8)
///   the retry     queue row moved to its next due time
/// The continuation is not a row of its own: it travels on the message's return path, from queue row to inbox
/// row, so there is nothing that could be out of step with it.
///
/// A body over `max_inline_bytes` is a file (blob_store.hpp) and a 'B' row that names it, which comes and
/// goes with the row of its message.

#include "store/blob_store.hpp"
#include "store/committer.hpp"
#include "store/damage_book.hpp"
#include "store/dead_letter.hpp"
#include "store/keys.hpp"
#include "store/lost_rows.hpp"
#include "store/noting_cursor.hpp"
#include "store/object_record.hpp"
#include "store/readable_cursor.hpp"
#include "store/store_info.hpp"

#include <dormouse/serialization/messages.hpp>
#include <dormouse/serialization/remembered_call.hpp>
#include <dormouse/serialization/schedule.hpp>
#include <dormouse/serialization/task_id.hpp>
#include <dormouse/serialization/task_journal.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace dormouse {

/// Where a body is: in a file, or, as earlier versions wrote it, in its row.
struct stored_body {
  std::optional<blob_ref> file;
  std::string bytes; ///< if there is no file
};

class store {
public:
  /// Checks the format and takes a new epoch; large bodies go to the folder `blobs` in `directory`. Errors:
  /// `newer_format`, `corrupt`, `storage_error`, `directory_unusable`.
  static expected<std::unique_ptr<store>> open(std::unique_ptr<storage_engine> engine,
                                               const std::filesystem::path& directory,
                                               std::size_t max_inline_bytes,
                                               std::size_t body_memory_bytes = 0);

  store(const store&) = delete;
  store& operator=(const store&) = delete;
  ~store();

  /// Unique in this directory for ever: 24 bits of epoch, 40 bits of count.
  std::uint64_t next_id() noexcept {
    return (epoch_ << 40U) | next_count_.fetch_add(1, std::memory_order_relaxed);
  }
  bool is_of_earlier_process(std::uint64_t id) const noexcept { return id >> 40U != epoch_; }

  /// The state of an object and what is known of it, nothing if there is none. Errors: `corrupt` naming the
  /// object, `storage_error`.
  expected<std::optional<stored_object>> load_object(const address& where);

  void put_object(write_set& writes, const address& where, const object_facts& facts,
                  std::string_view state) const;

  /// Moves a large body out of the message into a file, which belongs to the commit with the fetch's row;
  /// null if the body is not large. Writes to the kernel, not to the disk, on the caller's thread. Error:
  /// `storage_error`; the message is then as it was.
  expected<blob_writer_ptr> spill(fetch_message& fetch) const;

  /// The queue row of a fetch that is due at `due_ms`, its deadline row, and the row of its body if that is
  /// in a file.
  void put_fetch(pending_commit& commit, const fetch_message& fetch, std::int64_t due_ms,
                 blob_writer_ptr body = nullptr) const;

  /// Everything a queued fetch has on disk but its result.
  void erase_fetch(pending_commit& commit, const fetch_message& fetch, std::int64_t due_ms) const;

  /// Moves a fetch to its next due time.
  void move_fetch(pending_commit& commit, const fetch_message& fetch, std::int64_t old_due_ms,
                  std::int64_t new_due_ms) const;

  /// The inbox row of a result at the top of its return path, and the row of its body if that is in a file.
  void put_result(pending_commit& commit, result_message& result, blob_writer_ptr body) const;

  /// An abort, so that fetches that are only on disk, or are made later, find it.
  void put_abort(write_set& writes, const abort_id& id, const abort_mark& mark) const;
  expected<std::optional<abort_mark>> load_abort(const abort_id& id);

  /// A cookie jar, encoded; empty if there is none. `bytes` empty: the row is erased.
  expected<std::string> load_jar(const address& of, std::string_view name);
  void put_jar(write_set& writes, const address& of, std::string_view name, const std::string& bytes) const;

  /// A row of an object's storage. Errors: `corrupt` naming object and key, `storage_error`.
  expected<std::optional<std::string>> load_row(const address& of, std::string_view key);
  expected<std::string> read_row(const address& of, std::string_view key,
                                 std::string_view frame) const; ///< one that a scan has found
  void put_row(write_set& writes, const address& of, std::string_view key, const std::string& value) const;
  void erase_row(write_set& writes, const address& of, std::string_view key) const;
  void erase_rows(write_set& writes, const address& of) const; ///< all of them, as one range
  // Durable tasks.
  expected<std::optional<task_record>> load_task(const task_id& id);
  expected<std::vector<journal_step>>
  load_journal(const task_id& id, std::uint64_t first_step); ///< `corrupt` if a step is missing
  void put_task(write_set& writes, const task_id& id, const task_record& record) const;
  void put_step(write_set& writes, const task_id& id, std::uint64_t number, const journal_step& step) const;

  /// What a call with an idempotency key came to. Errors: `corrupt` naming object and key, `storage_error`.
  expected<std::optional<remembered_call>> load_remembered(const address& of, std::string_view key);
  void put_remembered(write_set& writes, const address& of, std::string_view key,
                      const remembered_call& what) const;

  void put_post(write_set& writes, const address& to, std::uint64_t id, const post_message& post) const;

  void put_call(write_set& writes, const address& to, const call_message& call) const;
  void put_reply(write_set& writes,
                 const reply_message& reply) const; ///< for the object at the top of its path

  /// A schedule of an object: its row and the row of its due time, which leads to it.
  void put_schedule(write_set& writes, const address& of, const schedule_message& what) const;
  void erase_schedule(write_set& writes, const address& of, const schedule_message& what) const;

  /// Nothing if there is none with this number, or, if that is 0, with this name. Errors: `corrupt`,
  /// `storage_error`.
  expected<std::optional<schedule_message>> load_schedule(const address& of, const schedule_id& id);

  /// An inbox row that has been handled, and the body that may belong to it.
  void erase_inbox(pending_commit& commit, const address& where, std::uint64_t id, bool has_blob) const;

  /// The bodies that a fetch may have, whichever they are.
  void erase_bodies(pending_commit& commit, std::uint64_t fetch_id) const;

  /// Moves a row to the dead letters. A large body stays where it is.
  void bury(write_set& writes, std::string key, std::string value, std::string reason, std::int64_t now_ms,
            std::vector<dead_letter_try> history = {});

  expected<fetch_message> read_fetch(std::string_view row) const;
  expected<result_message> read_result(std::string_view row) const; ///< without a large body
  expected<post_message> read_post(std::string_view row) const;
  expected<call_message> read_call(std::string_view row) const;
  expected<reply_message> read_reply(std::string_view row) const;
  expected<schedule_message> read_schedule(std::string_view row) const;
  expected<task_record> read_task(std::string_view row) const;

  /// What the 'B' row says. Errors: `corrupt` if there is none or it is damaged, `storage_error`.
  expected<stored_body> find_body(std::uint64_t id, blob_side side) const;

  /// The large body of a result, whole. Errors: as `find_body`, and `corrupt` naming the file that is missing
  /// or not what was written.
  expected<std::string> load_response_body(std::uint64_t id) const;

  /// Error: `corrupt`, also if there is none but a repair could not tell; `storage_error`.
  expected<std::optional<std::string>> get(std::string_view key) const;
  std::unique_ptr<row_cursor> scan(const keys::range& rows) { return scan(rows.first, rows.second); }
  std::unique_ptr<row_cursor> scan(std::string_view from, std::string_view to) {
    return std::make_unique<noting_cursor>(engine_->scan(from, to),
                                           key_range{std::string(from), std::string(to)}, damage_);
  }
  /// A walk that passes over what cannot be read, notes it in the damage book, and tells `skipped`.
  std::unique_ptr<row_cursor> scan_readable(const keys::range& rows, readable_cursor::skipped skipped = {}) {
    return std::make_unique<readable_cursor>(engine_->scan(rows.first, rows.second), damage_,
                                             std::move(skipped));
  }
  damage_book& damage() noexcept { return damage_; }
  const lost_rows& lost() const noexcept { return lost_; } ///< in repairs of this store

  std::unique_ptr<row_cursor> scan_back(std::string_view from, std::string_view to) {
    return std::make_unique<noting_cursor>(engine_->scan_back(from, to),
                                           key_range{std::string(from), std::string(to)}, damage_);
  }

  void submit(std::unique_ptr<pending_commit> commit) { committer_.submit(std::move(commit)); }
  group_committer& committer() noexcept { return committer_; }
  const std::shared_ptr<blob_store>& blobs() const noexcept { return blobs_; }
  std::uint64_t epoch() const noexcept { return epoch_; }

private:
  store(std::unique_ptr<storage_engine> engine, std::shared_ptr<blob_store> blobs, lost_rows lost,
        const std::filesystem::path& directory, std::uint64_t epoch, std::size_t max_inline_bytes);

  void put_body(pending_commit& commit, blob_writer_ptr body) const;
  void erase_body(pending_commit& commit, std::uint64_t id, blob_side side) const;

  damage_book damage_; ///< first: threads of all below note into it
  std::unique_ptr<storage_engine> engine_;
  std::shared_ptr<blob_store> blobs_;
  const lost_rows lost_;
  std::uint64_t epoch_;
  std::size_t max_inline_bytes_;
  std::atomic<std::uint64_t> next_count_{1};
  group_committer committer_; ///< last: its thread uses the engine
};

} // namespace dormouse
