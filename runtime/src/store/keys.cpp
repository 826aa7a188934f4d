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

void put_instance_id(std::string& out, std::string_view id) {
  for (char c : id) {
    out += c;
    if (c == '\0') out += '\xff';
  }
}

/// Binding, NUL, instance id with NUL written as NUL FF, then NUL 01: keeps the order, and no address is a
/// prefix of another.
void put_address(std::string& out, const address& where) {
  out += where.binding;
  out += '\0';
  put_instance_id(out, where.instance_id);
  out += '\0';
  out += '\x01';
}

std::optional<address> get_address(std::string_view& in) {
  address where;
  auto end = in.find('\0');
  if (end == std::string_view::npos) return std::nullopt;
  where.binding = in.substr(0, end);
  in.remove_prefix(end + 1);
  for (std::size_t i = 0; i < in.size(); ++i) {
    if (in[i] != '\0') {
      where.instance_id += in[i];
      continue;
    }
    if (i + 1 >= in.size()) return std::nullopt;
    if (in[i + 1] == '\x01') {
      in.remove_prefix(i + 2);
      return where;
    }
    if (in[i + 1] != '\xff') return std::nullopt;
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

std::optional<std::uint64_t> parse_with_id(char kind, std::string_view key) {
  if (key.size() != 9 || key[0] != kind) return std::nullopt;
  return get_u64(key.substr(1));
}

/// Times before 1970 do not occur; a negative one would break the order.
std::uint64_t time_bits(std::int64_t ms) { return ms < 0 ? 0 : static_cast<std::uint64_t>(ms); }

/// So a key with one is damaged. Taken as it is, it would lead to another key, and the row could not be
/// erased.
std::optional<std::int64_t> get_time(std::string_view in) {
  const auto ms = static_cast<std::int64_t>(get_u64(in));
  return ms < 0 ? std::nullopt : std::optional(ms);
}

std::string queue_prefix(std::string_view name, fetch_priority priority) {
  std::string out(1, name.empty() ? 'Q' : 'N');
  out.reserve(name.size() + 20);
  out += name;
  if (!name.empty()) out += '\0';
  out += static_cast<char>(priority);
  return out;
}

std::string with_task(char kind, const task_id& id) {
  std::string out(1, kind);
  out.reserve(id.object.binding.size() + id.object.instance_id.size() + 16);
  put_address(out, id.object);
  put_u64(out, id.number);
  return out;
}

/// All rows of a kind whose key goes on with the address of an object of that binding.
range with_binding(char kind, std::string_view binding) {
  std::string from(1, kind);
  from += binding;
  auto to = from;
  from += '\0';
  to += '\x01';
  return {std::move(from), std::move(to)};
}

void put_abort_id(std::string& out, const abort_id& id) {
  put_u64(out, id.high);
  put_u64(out, id.low);
}

} // namespace

std::string store_info() { return "Minfo"; }

std::string last_commit() {
  return "\xff\xff"
         "commit";
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

std::string queue(std::string_view name, fetch_priority priority, std::int64_t due_ms, std::uint64_t id) {
  auto out = queue_prefix(name, priority);
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

std::string attempt(std::uint64_t id) { return with_id('A', id); }

std::string blob(std::uint64_t id, char side) { return with_id('B', id) + side; }

std::string dead_letter(std::uint64_t id) { return with_id('D', id); }

std::string lost_range(std::uint64_t number) { return with_id('L', number); }

std::string abort_mark(const abort_id& id) {
  std::string out("S");
  put_abort_id(out, id);
  return out;
}

std::string signal(const abort_id& id, std::uint64_t fetch_id) {
  std::string out("G");
  put_abort_id(out, id);
  put_u64(out, fetch_id);
  return out;
}

std::string jar(const address& where, std::string_view name) {
  std::string out("C");
  put_address(out, where);
  out += name;
  return out;
}

std::string storage_row(const address& where, std::string_view key) {
  std::string out("K");
  out.reserve(where.binding.size() + where.instance_id.size() + key.size() + 4);
  put_address(out, where);
  out += key;
  return out;
}

std::string remembered_call(const address& where, std::string_view key) {
  std::string out("Y");
  out.reserve(where.binding.size() + where.instance_id.size() + key.size() + 4);
  put_address(out, where);
  out += key;
  return out;
}

std::string death_record(const address& where, std::uint8_t kind, std::uint64_t number) {
  std::string out("X");
  out.reserve(where.binding.size() + where.instance_id.size() + 16);
  put_address(out, where);
  out += static_cast<char>(kind);
  put_u64(out, number);
  return out;
}

std::string first_own_death_record(const address& where) {
  std::string out("X");
  put_address(out, where);
  out += '\x02'; // note_kind: those of messages are before it
  return out;
}

std::string schedule(const address& where, const schedule_id& id) {
  std::string out("H");
  out.reserve(where.binding.size() + where.instance_id.size() + id.name.size() + 16);
  put_address(out, where);
  out += id.name.empty() ? '\x00' : '\x01';
  if (id.name.empty()) put_u64(out, id.number);
  out += id.name;
  return out;
}

std::string due(std::int64_t due_ms, std::uint64_t number) {
  std::string out("W");
  put_u64(out, time_bits(due_ms));
  put_u64(out, number);
  return out;
}

std::string task(const task_id& id) { return with_task('T', id); }

std::string task_step(const task_id& id, std::uint64_t step) {
  auto out = with_task('J', id);
  put_u64(out, step);
  return out;
}

std::string stuck_task(const task_id& id) { return with_task('U', id); }

range all(char kind) { return {std::string(1, kind), std::string(1, static_cast<char>(kind + 1))}; }

range inbox_of(std::string_view binding) { return with_binding('I', binding); }

range queue_of(std::string_view name, fetch_priority priority) {
  auto to = queue_prefix(name, priority);
  auto from = to;
  ++to.back();
  return {std::move(from), std::move(to)};
}

range signal_of(const abort_id& id) {
  std::string from("G");
  put_abort_id(from, id);
  auto to = from;
  to.append(9, '\xff'); // longer than any fetch id
  return {std::move(from), std::move(to)};
}

range storage_of(const address& where) { return rows_of('K', where); }

range rows_of(char kind, const address& where) {
  std::string from(1, kind);
  put_address(from, where);
  auto to = from;
  ++to.back(); // the address ends in 01, and no other begins with the same bytes and 02
  return {std::move(from), std::move(to)};
}

range objects_of(std::string_view binding, std::string_view prefix) {
  std::string from("O");
  from += binding;
  from += '\0';
  put_instance_id(from, prefix);
  auto to = from;
  to += '\xff'; // an instance id is UTF-8, which has no such byte: what begins with the prefix and goes on is
                // below
  return {std::move(from), std::move(to)};
}

range schedules_of(const address& where) { return rows_of('H', where); }

range tasks_of(std::string_view binding) { return with_binding('T', binding); }

range tasks_of(const address& where) {
  std::string from("T");
  put_address(from, where);
  auto to = from;
  to.append(9, '\xff'); // longer than any number
  return {std::move(from), std::move(to)};
}

range steps_of(const task_id& id) {
  auto from = with_task('J', id);
  auto to = from;
  to.append(9, '\xff'); // longer than any step
  return {std::move(from), std::move(to)};
}

range stuck_tasks_of(std::string_view binding) { return with_binding('U', binding); }

std::optional<std::string> queue_name(std::string_view key) {
  const auto end = key.find('\0');
  if (key.empty() || key[0] != 'N' || end == std::string_view::npos ||
      !is_valid_binding(key.substr(1, end - 1)))
    return std::nullopt;
  return std::string(key.substr(1, end - 1));
}

std::string behind_queue(std::string_view name) {
  std::string out("N");
  out += name;
  out += '\x01';
  return out;
}

std::optional<queue_parts> parse_queue(std::string_view key) {
  constexpr std::size_t bytes = 1 + 8 + 8; // priority, due time, id
  queue_parts out;
  if (key.empty()) return std::nullopt;
  if (key[0] == 'N') {
    auto name = queue_name(key);
    if (!name) return std::nullopt;
    key.remove_prefix(name->size() + 2);
    out.queue = std::move(*name);
  } else if (key[0] == 'Q') {
    key.remove_prefix(1);
  } else {
    return std::nullopt;
  }
  if (key.size() != bytes || static_cast<unsigned char>(key[0]) > 2) return std::nullopt;
  const auto due = get_time(key.substr(1));
  if (!due) return std::nullopt;
  out.priority = static_cast<fetch_priority>(key[0]);
  out.due_ms = *due;
  out.id = get_u64(key.substr(9));
  return out;
}

std::optional<address> address_in(std::string_view key) {
  constexpr std::string_view kinds("OIKCHTJUYX");
  if (key.empty() || kinds.find(key.front()) == std::string_view::npos) return std::nullopt;
  key.remove_prefix(1);
  return get_address(key);
}

std::optional<address> parse_object(std::string_view key) {
  if (key.empty() || key[0] != 'O') return std::nullopt;
  key.remove_prefix(1);
  auto where = get_address(key);
  return key.empty() ? where : std::nullopt;
}

std::optional<inbox_parts> parse_inbox(std::string_view key) {
  if (key.empty() || key[0] != 'I') return std::nullopt;
  key.remove_prefix(1);
  auto where = get_address(key);
  if (!where || key.size() != 8) return std::nullopt;
  return inbox_parts{std::move(*where), get_u64(key)};
}

std::optional<deadline_parts> parse_deadline(std::string_view key) {
  if (key.size() != 17 || key[0] != 'E') return std::nullopt;
  const auto at = get_time(key.substr(1));
  return at ? std::optional(deadline_parts{*at, get_u64(key.substr(9))}) : std::nullopt;
}

std::optional<task_id> parse_task(std::string_view key) {
  if (key.empty() || (key[0] != 'T' && key[0] != 'U')) return std::nullopt;
  key.remove_prefix(1);
  auto where = get_address(key);
  if (!where || key.size() != 8) return std::nullopt;
  return task_id{std::move(*where), get_u64(key)};
}

std::optional<death_parts> parse_death_record(std::string_view key) {
  if (key.empty() || key[0] != 'X') return std::nullopt;
  key.remove_prefix(1);
  auto where = get_address(key);
  if (!where || key.size() != 9) return std::nullopt;
  return death_parts{std::move(*where), static_cast<std::uint8_t>(key[0]), get_u64(key.substr(1))};
}

std::optional<std::uint64_t> parse_attempt(std::string_view key) { return parse_with_id('A', key); }

std::optional<std::uint64_t> parse_dead_letter(std::string_view key) { return parse_with_id('D', key); }

std::optional<std::uint64_t> parse_signal(std::string_view key) {
  if (key.size() != 25 || key[0] != 'G') return std::nullopt;
  return get_u64(key.substr(17));
}

std::optional<schedule_parts> parse_schedule(std::string_view key) {
  if (key.empty() || key[0] != 'H') return std::nullopt;
  key.remove_prefix(1);
  auto where = get_address(key);
  if (!where || key.size() < 2) return std::nullopt;
  schedule_parts out{std::move(*where), {}};
  const auto kind = key[0];
  key.remove_prefix(1);
  if (kind == '\x00' && key.size() == 8)
    out.id.number = get_u64(key);
  else if (kind == '\x01')
    out.id.name = key;
  else
    return std::nullopt;
  return out;
}

std::optional<due_parts> parse_due(std::string_view key) {
  if (key.size() != 17 || key[0] != 'W') return std::nullopt;
  const auto at = get_time(key.substr(1));
  return at ? std::optional(due_parts{*at, get_u64(key.substr(9))}) : std::nullopt;
}

} // namespace dormouse::keys
