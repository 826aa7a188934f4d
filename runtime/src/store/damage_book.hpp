#pragma once

/// What of the store could not be read since it was opened: ranges of rows, each with the storage's own
/// words, which name the file. Known once, however often it is met.

#include "ports/storage_engine.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

namespace dormouse {

/// Such a range for people: kinds of rows, and the objects, fetches or times that their keys name.
std::string describe_rows(const key_range& rows);

/// In the directory of a store: somebody has met damage.
inline constexpr std::string_view damage_note = "DAMAGE";

class damage_book {
public:
  static constexpr std::size_t most_listed = 100;
  static constexpr std::size_t most_remembered = 100'000; ///< beyond it, a range may be counted again

  struct entry {
    key_range rows;
    std::string reason;
  };

  /// `rows` empty: damage that names no rows. Thread-safe.
  void note(const key_range& rows, const error& why);
  void note_row(std::string_view key, const error& why) {
    note({std::string(key), std::string(key) + '\0'}, why);
  }

  std::vector<entry> entries() const;
  std::uint64_t count() const; ///< those that are not listed too

  /// From now on what is new goes into this file too: a later start may want to repair the store
  /// (repair.hpp).
  void write_down_in(std::filesystem::path file);

  /// Called, outside of all locks, for each that is new; and at once for those that are known already.
  void tell(std::function<void(const entry&)> who);

private:
  bool is_within_known(const key_range& rows) const;

  mutable std::mutex mutex_;
  std::map<std::string, entry> known_;   ///< by the first key
  std::unordered_set<std::size_t> seen_; ///< hashes of all first keys
  std::uint64_t count_ = 0;
  std::function<void(const entry&)> who_;
  std::filesystem::path file_; ///< empty: none
};

} // namespace dormouse
