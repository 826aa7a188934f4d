#pragma once

/// The rows of an object's storage that were written and cannot be read from the store yet.
///
/// Turns do not wait for commits (R4), so a turn may run while what earlier turns wrote is still on its way
/// to the disk. Reads therefore go through layers: what the turn has written itself, over what is in flight,
/// over the store. A row in flight has the number of the commit that wrote it last. Commits of one gate
/// become readable in order, so the gate's count of them says which rows can be dropped: from then on the
/// store says the same.
///
/// If a commit fails, or a turn is undone, the whole object is thrown away, and loaded again when nothing of
/// it is in flight: then there is nothing to lay over the store either.
///
/// Threads: the activation's. Only the gate's count comes from another.

#include "store/committer.hpp"

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace dormouse {

/// Rows over others.
struct row_layer {
  struct row {
    std::optional<std::string> value; ///< none: erased
    std::uint64_t commit = 0;         ///< in the overlay: by which it was written
  };
  using row_map = std::map<std::string, row, std::less<>>;

  row_map rows;
  bool hides_below = false; ///< all rows were erased before these were written
  std::size_t bytes = 0;    ///< of keys and values

  bool empty() const noexcept { return rows.empty() && !hides_below; }
  row_map::iterator set(std::string key, row what);
  void remove(row_map::iterator at);
  void clear() noexcept;
};

class storage_overlay {
public:
  storage_overlay() = default;
  storage_overlay(const storage_overlay&) = delete;
  storage_overlay& operator=(const storage_overlay&) = delete;

  /// Begins anew, with nothing, over the commits of this gate. To be called before the first `add`.
  void follow(std::shared_ptr<const commit_gate> gate);

  /// What the next commit of the gate that has rows writes.
  void add(row_layer&& written);

  /// What is in flight now. Valid until the next call.
  const row_layer& rows();

  void clear() noexcept;

private:
  std::shared_ptr<const commit_gate> gate_;
  row_layer layer_;
  std::uint64_t commits_ = 0;
  std::uint64_t erased_by_ = 0; ///< the commit because of which the layer hides what is below
  /// In order; a row may have been written again since. A list, as everywhere in what each awake object has:
  /// an empty deque has half a KiB.
  std::list<std::pair<std::uint64_t, std::vector<row_layer::row_map::iterator>>> written_by_;
};

} // namespace dormouse
