#pragma once

/// Port: an ordered map of bytes on disk whose writes are atomic and durable. RocksDB in production; tests
/// put an engine around it that delays and fails. The seam is narrow on purpose: a replicated log could stand
/// here.

#include <dormouse/serialization/error.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace dormouse {

/// Puts `value` under `key`, or erases the key if there is none; with an `end`, erases all keys in [key,
/// end).
struct write_op {
  std::string key;
  std::optional<std::string> value;
  std::optional<std::string> end = {}; ///< for many rows: it costs as much as one, but slows reads near it
                                       ///< until the store has compacted it away
};

using write_set = std::vector<write_op>;

/// Keys in [from, to).
struct key_range {
  std::string from;
  std::string to;

  bool is_empty() const noexcept { return to <= from; }
  friend bool operator==(const key_range&, const key_range&) = default;
};

/// A walk over the keys of a range, over the store as it was when the walk began.
class row_cursor {
public:
  virtual ~row_cursor() = default;
  virtual bool valid() const = 0;             ///< false at the end, or after an error
  virtual std::string_view key() const = 0;   ///< until the next call
  virtual std::string_view value() const = 0; ///< until the next call
  virtual void next() = 0;
  virtual expected<void> status() const = 0; ///< what ended the walk

  /// When damage has ended the walk (`status` says `corrupt`): goes on with the first row behind it that can
  /// be read, or ends well if there is none. Returns the keys that were passed over, of which nothing is
  /// known: whether there is a row, and what it says. Error: what it is that cannot be passed.
  virtual expected<key_range> skip_damage() {
    auto ended = status();
    if (!ended) return unexpected<error>(ended.error());
    return key_range{};
  }
};

class storage_engine {
public:
  virtual ~storage_engine() = default;

  /// Thread-safe.
  virtual expected<std::optional<std::string>> get(std::string_view key) = 0;

  /// All sets or none, on stable storage on return. One thread. Error: `storage_error`; whether the sets are
  /// there after a restart is then unknown until a later write has succeeded, but readers of this process do
  /// not see them.
  virtual expected<void> write(std::span<const write_set* const> sets) = 0;

  /// Keys in [from, to), the first one first. Thread-safe.
  virtual std::unique_ptr<row_cursor> scan(std::string_view from, std::string_view to) = 0;

  /// The same, the last one first.
  virtual std::unique_ptr<row_cursor> scan_back(std::string_view from, std::string_view to) = 0;
};

} // namespace dormouse
