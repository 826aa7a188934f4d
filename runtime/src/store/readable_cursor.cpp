#include "store/readable_cursor.hpp"

namespace dormouse {

readable_cursor::readable_cursor(std::unique_ptr<row_cursor> rows, damage_book& book, skipped tell)
    : rows_(std::move(rows)), book_(book), tell_(std::move(tell)) {
  pass_damage();
}

void readable_cursor::next() {
  rows_->next();
  pass_damage();
}

void readable_cursor::pass_damage() {
  while (!rows_->valid()) {
    const auto ended = rows_->status();
    if (ended || ended.error().code != errc::corrupt) return;
    const auto lost = rows_->skip_damage();
    if (!lost || lost->is_empty()) { // it cannot be passed, or has healed
      if (!lost) book_.note({}, lost.error());
      return;
    }
    book_.note(*lost, ended.error());
    if (tell_) tell_(*lost);
  }
}

} // namespace dormouse
