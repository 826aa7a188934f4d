#pragma once

/// The keys of the store, ordered so that every scan is a range. One letter says what a row is; numbers are big-endian, so that their
/// order is the order of their bytes; addresses are escaped so that one is never a prefix of another. The grammar is in
/// docs/on-disk-format.md.

#include <dormouse/serialization/address.hpp>
#include <dormouse/serialization/request.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace dormouse::keys {

std::string store_info();                                       ///< M info
std::string object(const address& where);                       ///< O address
std::string inbox(const address& where, std::uint64_t id);      ///< I address id
std::string queue(fetch_priority priority, std::int64_t due_ms, std::uint64_t id); ///< Q priority due id
std::string deadline(std::int64_t deadline_ms, std::uint64_t id); ///< E deadline id -> key of the queue row
std::string attempt(std::uint64_t id);                          ///< A id -> key of the queue row
std::string blob(std::uint64_t id, char side);                  ///< B id side ('q' request, 'r' response)
std::string dead_letter(std::uint64_t id);                      ///< D id

using range = std::pair<std::string, std::string>; ///< [first, second)

range all(char kind);
range inbox_of(std::string_view binding);
range queue_of(fetch_priority priority);

struct queue_parts {
  fetch_priority priority;
  std::int64_t due_ms;
  std::uint64_t id;
};
std::optional<queue_parts> parse_queue(std::string_view key);

struct inbox_parts {
  address where;
  std::uint64_t id;
};
std::optional<inbox_parts> parse_inbox(std::string_view key);

struct deadline_parts {
  std::int64_t deadline_ms;
  std::uint64_t id;
};
std::optional<deadline_parts> parse_deadline(std::string_view key);

std::optional<std::uint64_t> parse_attempt(std::string_view key);

} // namespace dormouse::keys
