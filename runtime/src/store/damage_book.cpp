#include "store/damage_book.hpp"

#include "store/keys.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <iterator>

namespace dormouse {
namespace {

std::string_view kind_of(char letter) {
  switch (letter) {
  case 'A':
    return "the mark of fetch";
  case 'B':
    return "the body of fetch";
  case 'C':
    return "a cookie jar of object";
  case 'D':
    return "dead letter";
  case 'E':
    return "a deadline";
  case 'G':
    return "an abort signal";
  case 'H':
    return "a schedule of object";
  case 'I':
    return "the inbox of object";
  case 'J':
    return "a task's journal of object";
  case 'K':
    return "a row of the storage of object";
  case 'L':
    return "the list of what was lost";
  case 'M':
    return "the format row";
  case 'N':
  case 'Q':
    return "the queue";
  case 'O':
    return "object";
  case 'S':
    return "an abort";
  case 'T':
    return "a task of object";
  case 'U':
    return "a stuck task of object";
  case 'W':
    return "the due time of a schedule";
  case 'Y':
    return "a remembered call of object";
  default:
    return "row";
  }
}

std::string describe_key(std::string_view key) {
  if (key.empty()) return "the first row";
  const auto kind = kind_of(key.front());
  if (key.size() == 1 && (key[0] < 'A' || key[0] > 'Z')) return "the end of the store";
  if (key.size() == 1) return fmt::format("the rows '{}' ({})", key, kind);
  if (auto where = keys::address_in(key)) return fmt::format("{} {}", kind, to_string(*where));
  while (key.size() > 9 && key.back() == '\0' && key.size() % 2 == 0) // what comes right behind a key
    key.remove_suffix(1);
  if (auto queued = keys::parse_queue(key))
    return fmt::format("{}{}{} fetch {} due {} ms", kind, queued->queue.empty() ? "" : " ", queued->queue,
                       queued->id, queued->due_ms);
  if (auto due = keys::parse_due(key))
    return fmt::format("{} (schedule {} due {} ms)", kind, due->number, due->due_ms);
  if (auto end = keys::parse_deadline(key)) return fmt::format("{} of fetch {}", kind, end->id);
  if (auto fetch = keys::parse_attempt(key)) return fmt::format("{} {}", kind, *fetch);
  if (auto letter = keys::parse_dead_letter(key)) return fmt::format("{} {}", kind, *letter);
  std::string hex;
  for (const char c : key.substr(0, 48))
    hex += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return fmt::format("{} (key {})", kind, hex);
}

} // namespace

std::string describe_rows(const key_range& rows) {
  if (rows.from.empty() && rows.to.empty()) return "rows that are not known";
  if (rows.to == rows.from + '\0') return describe_key(rows.from);
  return fmt::format("from {} to {}", describe_key(rows.from), describe_key(rows.to));
}

void damage_book::note(const key_range& rows, const error& why) {
  std::function<void(const entry&)> who;
  entry fresh{rows, why.message};
  {
    std::lock_guard guard(mutex_);
    if (is_within_known(rows) || !seen_.insert(std::hash<std::string>()(rows.from)).second) return;
    if (seen_.size() > most_remembered) seen_.erase(seen_.begin());
    ++count_;
    if (known_.size() < most_listed) {
      known_.emplace(rows.from, fresh);
      if (!file_.empty())
        std::ofstream(file_, std::ios::app) << describe_rows(rows) << ": " << why.message << '\n';
    }
    who = who_;
  }
  if (who) who(fresh);
}

/// Under the lock. A walk that begins within damage finds a part of what is known.
bool damage_book::is_within_known(const key_range& rows) const {
  auto behind = known_.upper_bound(rows.from);
  if (behind == known_.begin()) return false;
  const auto& [from, known] = *std::prev(behind);
  return from == rows.from || rows.to <= known.rows.to;
}

std::vector<damage_book::entry> damage_book::entries() const {
  std::lock_guard guard(mutex_);
  std::vector<entry> all;
  for (const auto& [from, each] : known_)
    all.push_back(each);
  return all;
}

std::uint64_t damage_book::count() const {
  std::lock_guard guard(mutex_);
  return count_;
}

void damage_book::write_down_in(std::filesystem::path file) {
  std::lock_guard guard(mutex_);
  file_ = std::move(file);
}

void damage_book::tell(std::function<void(const entry&)> who) {
  {
    std::lock_guard guard(mutex_);
    who_ = who;
  }
  if (!who) return;
  for (const auto& each : entries())
    who(each);
}

} // namespace dormouse
