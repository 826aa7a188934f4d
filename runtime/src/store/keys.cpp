#include "store/keys.hpp"


namespace dormouse::keys {
namespace {

void put_u64(std::string& out, std::uint64_t value) {
  for (int shift = 56; shift >= 0; shift -= 8)
    out += static_cast<char>((value >> static_cast<unsigned>(shift)) & 0xffU);
}

std::uint64_t get_u64(std::string_view in) {
  std::uint64_t value = 0;
  for (char c : in.substr(0, 8))
    value = (value << 8U) | static_cast<unsigned char>(c);
  return value;
}

/// Binding, NUL, instance id with NUL written as NUL FF, then NUL 01: keeps the order, and no address is a prefix of another.
void put_address(std::string& out, const address& where) {
  out += where.binding;
  out += '\0';
  for (char c : where.instance_id) {
    out += c;
    if (c == '\0')
      out += '\xff';
  }
  out += '\0';
  out += '\x01';
}

std::optional<address> get_address(std::string_view& in) {
  address where;
  auto end = in.find('\0');
  if (end == std::string_view::npos)
    return std::nullopt;
  where.binding = in.substr(0, end);
  in.remove_prefix(end + 1);
  for (std::size_t i = 0; i < in.size(); ++i) {
    if (in[i] != '\0') {
      where.instance_id += in[i];
      continue;
    }
    if (i + 1 >= in.size())
      return std::nullopt;
    if (in[i + 1] == '\x01') {
      in.remove_prefix(i + 2);
      return where;
    }
    if (in[i + 1] != '\xff')
      return std::nullopt;
    where.instance_id += '\0';
    ++i;
  }
  return std::nullopt;
}

std::string with_id(char kind, std::uint64_t id) {
  std::string out(1, kind);
  put_u64(out, id);
  return out;
}

/// Times before 1970 do not occur; a negative one would break the order.
std::uint64_t time_bits(std::int64_t ms) {
  return ms < 0 ? 0 : static_cast<std::uint64_t>(ms);
}

constexpr std::size_t queue_key_bytes = 1 + 1 + 8 + 8;

} // namespace

std::string store_info() {
  return "Minfo";
}

std::string object(const address& where) {
  std::string out("O");
  out.reserve(where.binding.size() + where.instance_id.size() + 4);
  put_address(out, where);
  return out;
}

std::string inbox(const address& where, std::uint64_t id) {
  std::string out("I");
  out.reserve(where.binding.size() + where.instance_id.size() + 12);
  put_address(out, where);
  put_u64(out, id);
  return out;
}

std::string queue(fetch_priority priority, std::int64_t due_ms, std::uint64_t id) {
  std::string out("Q");
  out.reserve(queue_key_bytes);
  out += static_cast<char>(priority);
  put_u64(out, time_bits(due_ms));
  put_u64(out, id);
  return out;
}

std::string deadline(std::int64_t deadline_ms, std::uint64_t id) {
  std::string out("E");
  put_u64(out, time_bits(deadline_ms));
  put_u64(out, id);
  return out;
}

std::string attempt(std::uint64_t id) {
  return with_id('A', id);
}

std::string blob(std::uint64_t id, char side) {
  return with_id('B', id) + side;
}

std::string dead_letter(std::uint64_t id) {
  return with_id('D', id);
}

range all(char kind) {
  return {std::string(1, kind), std::string(1, static_cast<char>(kind + 1))};
}

range inbox_of(std::string_view binding) {
  std::string from("I");
  from += binding;
  auto to = from;
  from += '\0';
  to += '\x01';
  return {from, to};
}

range queue_of(fetch_priority priority) {
  return {std::string("Q") + static_cast<char>(priority), std::string("Q") + static_cast<char>(static_cast<int>(priority) + 1)};
}

std::optional<queue_parts> parse_queue(std::string_view key) {
  if (key.size() != queue_key_bytes || key[0] != 'Q' || static_cast<unsigned char>(key[1]) > 2)
    return std::nullopt;
  return queue_parts{static_cast<fetch_priority>(key[1]), static_cast<std::int64_t>(get_u64(key.substr(2))), get_u64(key.substr(10))};
}

std::optional<inbox_parts> parse_inbox(std::string_view key) {
  if (key.empty() || key[0] != 'I')
    return std::nullopt;
  key.remove_prefix(1);
  auto where = get_address(key);
  if (!where || key.size() != 8)
    return std::nullopt;
  return inbox_parts{std::move(*where), get_u64(key)};
}

std::optional<deadline_parts> parse_deadline(std::string_view key) {
  if (key.size() != 17 || key[0] != 'E')
    return std::nullopt;
  return deadline_parts{static_cast<std::int64_t>(get_u64(key.substr(1))), get_u64(key.substr(9))};
}

std::optional<std::uint64_t> parse_attempt(std::string_view key) {
  if (key.size() != 9 || key[0] != 'A')
    return std::nullopt;
  return get_u64(key.substr(1));
}

} // namespace dormouse::keys
