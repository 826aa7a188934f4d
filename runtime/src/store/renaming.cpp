#include "store/renaming.hpp"

#include "store/awaited_commit.hpp"
#include "store/object_rows.hpp"

#include <fmt/format.h>

#include <future>
#include <memory>
#include <string>
#include <utility>

namespace dormouse {
namespace {

constexpr std::size_t rename_batch_bytes = std::size_t{1} << 20U;

/// Writes collect here until they are a batch.
class batch {
public:
  explicit batch(store& in) : store_(in) {}

  void add(write_op op) {
    bytes_ += op.key.size() + (op.value ? op.value->size() : 0);
    commit_->writes.push_back(std::move(op));
  }
  expected<void> write_if_full() { return bytes_ < rename_batch_bytes ? expected<void>() : write(); }
  expected<void> write() {
    if (commit_->writes.empty()) return {};
    auto durable = commit_->durable();
    store_.submit(std::exchange(commit_, std::make_unique<awaited_commit>()));
    bytes_ = 0;
    return durable.get();
  }

private:
  store& store_;
  std::unique_ptr<awaited_commit> commit_ = std::make_unique<awaited_commit>();
  std::size_t bytes_ = 0;
};

/// What the keys of such rows begin with.
std::string beginning(char kind, std::string_view binding) {
  std::string out(1, kind);
  out += binding;
  out += '\0';
  return out;
}

keys::range rows_of(char kind, std::string_view binding) {
  auto from = beginning(kind, binding);
  auto to = from;
  ++to.back();
  return {std::move(from), std::move(to)};
}

expected<void> move_kind(store& in, batch& writes, char kind, std::string_view old,
                         std::string_view present) {
  const auto from = rows_of(kind, old);
  const auto to = beginning(kind, present);
  auto row = in.scan(from);
  for (; row->valid(); row->next()) {
    std::string key(row->key());
    writes.add({to + key.substr(from.first.size()), std::string(row->value())});
    writes.add({std::move(key), std::nullopt});
    if (auto written = writes.write_if_full(); !written) return written;
  }
  return row->status();
}

/// Rows that others point to with their values, each in one commit with the row that points to it: what
/// points nowhere would be erased.
expected<void> move_with_pointers(store& in, batch& writes, char pointing_kind, char kind,
                                  std::string_view old, std::string_view present) {
  const auto from = beginning(kind, old);
  const auto to = beginning(kind, present);
  auto row = in.scan(keys::all(pointing_kind));
  for (; row->valid(); row->next()) {
    if (!row->value().starts_with(from)) continue;
    std::string old_key(row->value());
    auto target = in.get(old_key);
    if (!target) return unexpected<error>(target.error());
    auto new_key = to + old_key.substr(from.size());
    writes.add({std::string(row->key()), new_key});
    if (*target) {
      writes.add({std::move(new_key), std::move(*target)});
      writes.add({std::move(old_key), std::nullopt});
    }
    if (auto written = writes.write_if_full(); !written) return written;
  }
  return row->status();
}

} // namespace

expected<void> check_renaming(store& in, std::string_view old, std::string_view present) {
  const auto old_rows = rows_of('O', old);
  const auto present_rows = rows_of('O', present);
  auto a = in.scan(old_rows);
  auto b = in.scan(present_rows);
  while (a->valid() && b->valid()) {
    const auto id = a->key().substr(old_rows.first.size());
    const auto order = id.compare(b->key().substr(present_rows.first.size()));
    if (order == 0) {
      const auto where = keys::parse_object(a->key());
      return fail(errc::invalid_binding,
                  fmt::format("binding '{}' cannot be renamed to '{}': object {} is there under both names",
                              old, present,
                              where ? to_string(*where) : std::string("with an unreadable id")));
    }
    (order < 0 ? a : b)->next();
  }
  if (auto ended = a->status(); !ended) return ended;
  return b->status();
}

expected<void> move_objects(store& in, std::string_view old, std::string_view present) {
  batch writes(in);
  auto schedules = in.scan(rows_of('H', old));
  if (auto read = schedules->status(); !schedules->valid() && !read) return read;
  if (schedules->valid()) // then their due times, among which there may be many of others
    if (auto moved = move_with_pointers(in, writes, 'W', 'H', old, present); !moved) return moved;
  if (auto written = writes.write(); !written) // the walk below must see that they have gone
    return written;
  std::string kinds("I");
  kinds += object_row_kinds;
  kinds += 'O';
  for (const char kind : kinds)
    if (auto moved = move_kind(in, writes, kind, old, present); !moved) return moved;
  return writes.write();
}

} // namespace dormouse
