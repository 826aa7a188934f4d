#pragma once

/// The store: what the runtime's values are on disk. Effects become bytes here and nowhere else.
///
/// Three kinds of commit make up the life of a fetch, each one atomic write:
///   the turn      object row, queue rows of its fetches, erasure of the inbox row that caused it
///   the response  inbox row put, queue row erased: from then on the request is never sent again (R8)
///   the retry     queue row moved to its next due time
/// The continuation is not a row of its own: it travels on the message's return path, from queue row to inbox row, so there is nothing
/// that could be out of step with it.

#include "store/committer.hpp"
#include "store/keys.hpp"

#include <dormouse/serialization/messages.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace dormouse {

inline constexpr std::uint32_t store_format = 1;

/// Why a message was given up on, with the bytes it had.
struct dead_letter {
  std::string key;    ///< of the row it was
  std::string value;
  std::string reason;
  std::int64_t time_ms = 0;

  template <class Archive>
  void serialize(Archive& ar) {
    ar(key, value, reason, time_ms);
  }
};

class store {
public:
  /// Checks the format and takes a new epoch. Errors: `newer_format`, `corrupt`, `storage_error`.
  static expected<std::unique_ptr<store>> open(std::unique_ptr<storage_engine> engine, std::size_t max_inline_bytes);

  /// Unique in this directory for ever: 24 bits of epoch, 40 bits of count.
  std::uint64_t next_id() noexcept { return (epoch_ << 40U) | next_count_.fetch_add(1, std::memory_order_relaxed); }

  /// The state of an object, nothing if it has none. Errors: `corrupt` naming the object, `storage_error`.
  expected<std::optional<std::string>> load_object(const address& where);

  void put_object(write_set& writes, const address& where, const std::string& state) const;

  /// The queue row of a fetch that is due at `due_ms`, and its deadline row. A large body becomes a blob and is moved out of the message.
  void put_fetch(write_set& writes, fetch_message& fetch, std::int64_t due_ms) const;

  /// Everything a queued fetch has on disk but its result.
  void erase_fetch(write_set& writes, const fetch_message& fetch, std::int64_t due_ms) const;

  /// Moves a fetch to its next due time.
  void move_fetch(write_set& writes, const fetch_message& fetch, std::int64_t old_due_ms, std::int64_t new_due_ms) const;

  /// The inbox row of a result at the top of its return path. The result itself stays whole.
  void put_result(write_set& writes, result_message& result) const;

  void put_post(write_set& writes, const address& to, std::uint64_t id, const post_message& post) const;

  /// An inbox row that has been handled, and the blob that may belong to it.
  void erase_inbox(write_set& writes, const address& where, std::uint64_t id, bool has_blob) const;

  /// Moves a row to the dead letters.
  void bury(write_set& writes, std::string key, std::string value, std::string reason, std::int64_t now_ms);

  expected<fetch_message> read_fetch(std::string_view row) const;
  expected<result_message> read_result(std::string_view row); ///< with its blob put back
  expected<post_message> read_post(std::string_view row) const;
  expected<std::string> read_request_body(const fetch_message& fetch);

  expected<std::optional<std::string>> get(std::string_view key) { return engine_->get(key); }
  std::unique_ptr<row_cursor> scan(const keys::range& rows) { return engine_->scan(rows.first, rows.second); }
  std::unique_ptr<row_cursor> scan(std::string_view from, std::string_view to) { return engine_->scan(from, to); }

  void submit(std::unique_ptr<pending_commit> commit) { committer_.submit(std::move(commit)); }
  group_committer& committer() noexcept { return committer_; }
  std::uint64_t epoch() const noexcept { return epoch_; }

private:
  store(std::unique_ptr<storage_engine> engine, std::uint64_t epoch, std::size_t max_inline_bytes);

  expected<std::string> read_blob(std::uint64_t id, char side);

  std::unique_ptr<storage_engine> engine_;
  std::uint64_t epoch_;
  std::size_t max_inline_bytes_;
  std::atomic<std::uint64_t> next_count_{1};
  group_committer committer_; ///< last: its thread uses the engine
};

} // namespace dormouse
