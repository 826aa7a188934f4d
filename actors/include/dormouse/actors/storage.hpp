#pragma once

/// Key-value rows of an object, beside its state.
///
///   void buy(std::string item, int price) {
///     storage().put("item/" + item, price);
///     total_ += price;                                             // one commit, or neither
///   }
///   std::size_t cheap() const { return storage().list<int>({.prefix = "item/", .limit = 100}).size(); }
///
/// The state of an object is read and written as a whole. What is too much for that, or is seldom needed,
/// goes into rows: a turn reads those it asks for and writes those it changes. Rows belong to one object;
/// they change with the commit of the turn (R3), and a turn sees what it has written itself and what earlier
/// turns wrote, durable or still in flight. What could have seen them leaves when they are durable (R4).
///
/// A key is 1..2,048 bytes, any bytes, ordered as unsigned numbers. A value is whatever can be part of a
/// state (`storable`), at most 2 MiB encoded. What one turn writes, keys and values together, is at most
/// `options::max_state_bytes`; what one `list` reads too. There is no limit to the rows of an object.
///
/// All throw `failure`: `invalid_request` for an empty key or a limit of rows out of range; `too_large` past
/// the limits above; `corrupt`, naming object and key, for a row that is damaged or does not decode as a `V`;
/// `newer_format` for a value of a class version that is not known here; `storage_error`. What is refused has
/// changed nothing, of several keys not one.
///
/// Reads go to the disk and block the turn for as long as that takes. A storage is for the thread of the turn
/// and ends with it.

#include <dormouse/actors/object_host.hpp>
#include <dormouse/serialization/codec.hpp>

#include <concepts>
#include <cstddef>
#include <initializer_list>
#include <map>
#include <optional>
#include <ranges>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace dormouse {

inline constexpr std::size_t max_storage_key_bytes = 2048;
inline constexpr std::size_t max_storage_value_bytes = std::size_t{2} << 20U;
inline constexpr std::size_t max_storage_list_rows = 10'000;

/// For error texts: the row and whose it is, with what cannot be printed as `\xff`, long keys cut.
std::string name_of_row(const address& of, std::string_view key);

/// Several keys.
template <class T>
concept storage_keys = std::ranges::input_range<const T&> &&
    std::convertible_to<std::ranges::range_reference_t<const T&>, std::string_view>;

/// What a row can hold. Text of any kind is stored as a `std::string`.
template <class T>
concept storage_value = std::convertible_to<const T&, std::string_view> || storable<T>;

/// Several keys with their values, as in a `std::map<std::string, V>`.
template <class T>
concept storage_rows = std::ranges::input_range<const T&> &&
    requires(const std::ranges::range_value_t<T>& row) {
  { row.first } -> std::convertible_to<std::string_view>;
  requires storage_value<std::remove_cvref_t<decltype(row.second)>>;
};

/// What a const method sees.
class storage_view {
public:
  explicit storage_view(turn_host& host) : host_(&host) {}

  /// Nothing if there is no such row.
  template <storable V> std::optional<V> get(std::string_view key) const {
    auto bytes = value_or_throw(host_->get_row(key));
    if (!bytes) return std::nullopt;
    return decode_row<V>(key, *bytes);
  }

  /// Those that there are.
  template <storable V, storage_keys Keys> std::map<std::string, V> get(const Keys& keys) const {
    std::map<std::string, V> found;
    for (std::string_view key : keys)
      if (auto value = get<V>(key)) found.insert_or_assign(std::string(key), std::move(*value));
    return found;
  }
  template <storable V> std::map<std::string, V> get(std::initializer_list<std::string_view> keys) const {
    return get<V, std::initializer_list<std::string_view>>(keys);
  }

  /// The rows of a range, in the order of their keys or against it.
  template <storable V>
  std::vector<std::pair<std::string, V>> list(const storage_list_options& which = {}) const {
    auto rows = value_or_throw(host_->list_rows(which));
    std::vector<std::pair<std::string, V>> out;
    out.reserve(rows.size());
    for (auto& row : rows) {
      auto value = decode_row<V>(row.key, row.value);
      out.emplace_back(std::move(row.key), std::move(value));
    }
    return out;
  }

  // Here only to be refused: `storage` has the real ones.
  template <class... Never> void put(const Never&...) const { refuse<Never...>(); }
  template <class... Never> void erase(const Never&...) const { refuse<Never...>(); }
  template <class... Never> void erase_all(const Never&...) const { refuse<Never...>(); }

protected:
  turn_host& host() const noexcept { return *host_; }

private:
  template <class V> V decode_row(std::string_view key, std::string_view bytes) const {
    auto value = decode<V>(bytes);
    if (!value)
      throw failure(
          {value.error().code, name_of_row(host_->self(), key) +
                                   " does not decode as what was asked for: " + value.error().message});
    return std::move(*value);
  }

  template <class... Never> static void refuse() {
    static_assert(!std::is_same_v<std::tuple<Never...>, std::tuple<Never...>>,
                  "dormouse: a const method is a read-only turn; it cannot change its storage");
  }

  turn_host* host_;
};

/// What a committing method sees.
class storage : public storage_view {
public:
  explicit storage(turn_host& host) : storage_view(host) {}

  template <storage_value V> void put(std::string_view key, const V& value) {
    std::vector<storage_row> rows;
    rows.push_back({std::string(key), encode_row(value)});
    value_or_throw(host().put_rows(std::move(rows)));
  }

  /// All of them or, if one is refused, none.
  template <storage_rows Rows> void put(const Rows& rows) {
    std::vector<storage_row> encoded;
    for (const auto& [key, value] : rows)
      encoded.push_back({std::string(std::string_view(key)), encode_row(value)});
    value_or_throw(host().put_rows(std::move(encoded)));
  }

  /// Whether there was such a row. Also erases a damaged one.
  bool erase(std::string_view key);

  /// How many of them there were.
  template <storage_keys Keys> std::size_t erase(const Keys& keys) {
    std::vector<std::string> texts;
    for (std::string_view key : keys)
      texts.emplace_back(key);
    return erase_keys(texts);
  }
  std::size_t erase(std::initializer_list<std::string_view> keys) {
    return erase<std::initializer_list<std::string_view>>(keys);
  }

  /// Every row, damaged ones too, those that this turn has put included. The state stays.
  void erase_all();

private:
  std::size_t erase_keys(const std::vector<std::string>& keys);

  template <class V> static std::string encode_row(const V& value) {
    if constexpr (std::is_same_v<V, std::string> || !std::convertible_to<const V&, std::string_view>)
      return encode(value);
    else
      return encode(std::string(std::string_view(value)));
  }
};

} // namespace dormouse
