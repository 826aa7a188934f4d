#pragma once

/// The storage of one object as one turn sees it: what it has written itself, over what is in flight, over
/// the store. Checks the limits as the handler writes, so that past one there is an error at the call (R12).
/// What is refused has changed nothing.

#include "host/layered_walk.hpp"
#include "host/storage_overlay.hpp"
#include "store/store.hpp"

#include <dormouse/actors/object_host.hpp>

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dormouse {

class turn_rows {
public:
  /// `max_bytes`: of all that the turn writes, and of all that one `list` gives.
  turn_rows(store& from, const address& of, storage_overlay& in_flight, std::size_t max_bytes)
      : store_(from), of_(of), in_flight_(in_flight), max_bytes_(max_bytes) {}

  // As in `turn_host`.
  expected<std::optional<std::string>> get(std::string_view key);
  expected<void> put(std::vector<storage_row>&& rows);
  expected<std::size_t> erase(const std::vector<std::string>& keys);
  expected<std::vector<storage_row>> list(const storage_list_options& which);
  expected<void> erase_all();

  bool empty() const noexcept { return own_.empty(); }

  // What is written from `save` on can be taken back, until `keep`. It costs what was written.
  void save();
  void keep() noexcept;
  void go_back();

  row_layer take() noexcept { return std::exchange(own_, {}); }
  void clear() noexcept { own_.clear(); }

private:
  expected<void> check_key(std::string_view key) const;
  expected<void> write(row_layer&& rows);
  void note(const std::string& key);
  std::array<const row_layer*, 2> layers() { return {&own_, &in_flight_.rows()}; }
  const row_layer::row* find_written(std::string_view key, bool& hidden);
  expected<bool> has(std::string_view key);

  store& store_;
  const address& of_;
  storage_overlay& in_flight_;
  std::size_t max_bytes_;
  row_layer own_;

  struct change {
    std::string key;
    std::optional<row_layer::row> before; ///< nothing: the turn had not written it
  };
  bool is_saved_ = false;
  std::vector<change> changes_;           ///< since then, up to the first `erase_all`
  std::optional<row_layer> before_erase_; ///< what that one has replaced
};

} // namespace dormouse
