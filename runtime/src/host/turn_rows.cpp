#include "host/turn_rows.hpp"

#include <dormouse/actors/storage.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace dormouse {
namespace {

/// Up to so many rows `erase_all` erases one by one: a range that is erased slows reads of its neighbours
/// until the store has compacted it away.
constexpr std::size_t most_rows_erased_singly = 100;

/// The first key behind all that begin with `prefix`, nothing if there is none.
std::optional<std::string> behind_prefix(std::string prefix) {
  while (!prefix.empty() && prefix.back() == '\xff')
    prefix.pop_back();
  if (prefix.empty()) return std::nullopt;
  prefix.back() = static_cast<char>(static_cast<unsigned char>(prefix.back()) + 1);
  return prefix;
}

row_range range_of(const storage_list_options& which) {
  row_range range{std::max(which.start, which.prefix), behind_prefix(which.prefix)};
  if (!which.end.empty()) range.to = range.to ? std::min(*range.to, which.end) : which.end;
  return range;
}

} // namespace

expected<void> turn_rows::check_key(std::string_view key) const {
  if (key.empty())
    return fail(errc::invalid_request,
                fmt::format("an empty key in the storage of object {}; a key has 1 to {} bytes",
                            to_string(of_), max_storage_key_bytes));
  if (key.size() > max_storage_key_bytes)
    return fail(errc::too_large, fmt::format("the key of {} has {} bytes; the limit is {}",
                                             name_of_row(of_, key), key.size(), max_storage_key_bytes));
  return {};
}

/// The row as the layers over the store have it; null if they do not, and then `hidden` says whether the
/// store is hidden.
const row_layer::row* turn_rows::find_written(std::string_view key, bool& hidden) {
  hidden = false;
  for (const auto* layer : layers()) {
    if (auto found = layer->rows.find(key); found != layer->rows.end()) return &found->second;
    if (layer->hides_below) {
      hidden = true;
      break;
    }
  }
  return nullptr;
}

expected<std::optional<std::string>> turn_rows::get(std::string_view key) {
  if (auto good = check_key(key); !good) return unexpected<error>(good.error());
  bool hidden = false;
  if (const auto* row = find_written(key, hidden)) return row->value;
  if (hidden) return std::nullopt;
  return store_.load_row(of_, key);
}

/// Whatever its value is.
expected<bool> turn_rows::has(std::string_view key) {
  bool hidden = false;
  if (const auto* row = find_written(key, hidden)) return row->value.has_value();
  if (hidden) return false;
  return store_.get(keys::storage_row(of_, key)).map([](const auto& row) { return row.has_value(); });
}

expected<void> turn_rows::put(std::vector<storage_row>&& rows) {
  row_layer written;
  for (auto& [key, value] : rows) {
    if (auto good = check_key(key); !good) return good;
    if (value.size() > max_storage_value_bytes)
      return fail(errc::too_large, fmt::format("the value of {} has {} bytes encoded; the limit is {}",
                                               name_of_row(of_, key), value.size(), max_storage_value_bytes));
    written.set(std::move(key), {std::move(value)});
  }
  return write(std::move(written));
}

expected<std::size_t> turn_rows::erase(const std::vector<std::string>& keys) {
  row_layer written;
  for (const auto& key : keys) {
    if (auto good = check_key(key); !good) return unexpected<error>(good.error());
    auto exists = has(key);
    if (!exists) return unexpected<error>(exists.error());
    if (*exists) written.set(key, {});
  }
  const auto count = written.rows.size();
  return write(std::move(written)).map([count] { return count; });
}

expected<void> turn_rows::write(row_layer&& rows) {
  auto bytes = own_.bytes + rows.bytes;
  for (const auto& [key, row] : rows.rows)
    if (auto before = own_.rows.find(key); before != own_.rows.end())
      bytes -= key.size() + (before->second.value ? before->second.value->size() : 0);
  if (bytes > max_bytes_)
    return fail(errc::too_large,
                fmt::format("this turn's writes to the storage of object {} have {} bytes, keys and values "
                            "together; the limit is options::max_state_bytes = {}",
                            to_string(of_), bytes, max_bytes_));
  while (!rows.rows.empty()) {
    auto node = rows.rows.extract(rows.rows.begin());
    note(node.key());
    own_.set(std::move(node.key()), std::move(node.mapped()));
  }
  return {};
}

expected<std::vector<storage_row>> turn_rows::list(const storage_list_options& which) {
  if (which.limit == 0 || which.limit > max_storage_list_rows)
    return fail(errc::invalid_request,
                fmt::format("list in the storage of object {} with a limit of {} rows; it is 1 to {}",
                            to_string(of_), which.limit, max_storage_list_rows));
  std::vector<storage_row> rows;
  const auto range = range_of(which);
  if (range.is_empty()) return rows;
  layered_walk walk(store_, of_, layers(), range, which.reverse ? walk_order::backward : walk_order::forward);
  std::size_t bytes = 0;
  while (rows.size() < which.limit) {
    auto next = walk.next();
    if (!next) return unexpected<error>(next.error());
    if (!*next) break;
    auto& [key, value, is_frame] = **next;
    if (is_frame) {
      auto sound = store_.read_row(of_, key, value);
      if (!sound) return unexpected<error>(sound.error());
      value = std::move(*sound);
    }
    bytes += key.size() + value.size();
    if (bytes > max_bytes_)
      return fail(errc::too_large,
                  fmt::format("list in the storage of object {} comes to more than options::max_state_bytes "
                              "= {} after {} rows; ask for fewer with `limit`",
                              to_string(of_), max_bytes_, rows.size()));
    rows.push_back({std::move(key), std::move(value)});
  }
  return rows;
}

expected<void> turn_rows::erase_all() {
  row_layer erased;
  erased.hides_below = own_.hides_below;
  if (!erased.hides_below) {
    layered_walk walk(store_, of_, std::array{&in_flight_.rows()}, {},
                      walk_order::forward); // what the turn wrote itself just goes
    for (;;) {
      auto next = walk.next();
      if (!next && next.error().code != errc::corrupt) return unexpected<error>(next.error());
      if (next && !*next) break;
      if (!next) { // what cannot be read goes too
        erased.clear();
        erased.hides_below = true;
        break;
      }
      erased.set(std::move((*next)->key), {});
      if (erased.rows.size() > most_rows_erased_singly || erased.bytes > max_bytes_) {
        erased.clear();
        erased.hides_below = true;
        break;
      }
    }
  }
  if (is_saved_ && !before_erase_) before_erase_ = std::move(own_);
  own_ = std::move(erased);
  return {};
}

void turn_rows::save() {
  keep();
  is_saved_ = true;
}

void turn_rows::keep() noexcept {
  is_saved_ = false;
  changes_.clear();
  before_erase_.reset();
}

void turn_rows::note(const std::string& key) {
  if (!is_saved_ || before_erase_) return;
  auto written = own_.rows.find(key);
  changes_.push_back({key, written == own_.rows.end() ? std::nullopt : std::optional(written->second)});
}

void turn_rows::go_back() {
  if (before_erase_) own_ = std::move(*before_erase_);
  for (auto each = changes_.rbegin(); each != changes_.rend(); ++each) {
    if (each->before)
      own_.set(each->key, std::move(*each->before));
    else
      own_.remove(own_.rows.find(each->key));
  }
  keep();
}

} // namespace dormouse
