#include "store/salvage.hpp"

#include "store/damage_skip.hpp"
#include "store/store_info.hpp"

#include <dormouse/serialization/codec.hpp>
#include <dormouse/serialization/messages.hpp>
#include <dormouse/serialization/task_journal.hpp>

#include <fmt/format.h>
#include <rocksdb/sst_file_reader.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace dormouse {
namespace {

constexpr std::size_t rescue_batch_bytes = std::size_t{1} << 20U;

/// Behind all keys.
const std::string last_key(1, '\xff');

class row_writer {
public:
  explicit row_writer(storage_engine& to) : to_(to) {}

  expected<void> put(std::string key, std::string value) {
    bytes_ += key.size() + value.size();
    note_epoch(key, value);
    writes_.push_back({std::move(key), std::move(value)});
    return bytes_ < rescue_batch_bytes ? expected<void>() : flush();
  }
  expected<void> flush() {
    if (writes_.empty()) return {};
    const write_set* sets[] = {&writes_};
    auto written = to_.write(sets);
    writes_.clear();
    bytes_ = 0;
    return written;
  }
  std::uint64_t last_epoch() const noexcept { return last_epoch_; }

private:
  /// Ids begin with the epoch in which they were given out.
  void note_epoch(std::string_view key, std::string_view value) {
    std::uint64_t id = 0;
    if (key == keys::store_info())
      if (auto info = unseal_value<store_info>(frame_type::store_info, value))
        last_epoch_ = std::max(last_epoch_, info->epoch);
    if (auto queued = keys::parse_queue(key))
      id = queued->id;
    else if (auto letter = keys::parse_dead_letter(key))
      id = *letter;
    else if (auto inbox = keys::parse_inbox(key))
      id = inbox->id;
    else if (auto due = keys::parse_due(key))
      id = due->number;
    last_epoch_ = std::max(last_epoch_, id >> 40U);
  }

  storage_engine& to_;
  write_set writes_;
  std::size_t bytes_ = 0;
  std::uint64_t last_epoch_ = 0;
};

using row_seen = std::function<expected<void>(rocksdb::Iterator& at)>;
using part_lost = std::function<void(const key_range& rows, const rocksdb::Status& why)>;

/// All rows in [from, end) that can be read. Error: of `row`, or the database fails otherwise than by damage.
expected<void> walk(const iterator_maker& make, std::string from, const std::string& end, const row_seen& row,
                    const part_lost& lost) {
  auto rows = make();
  for (rows->Seek(from);;) {
    for (; rows->Valid(); rows->Next()) {
      from.assign(rows->key().data(), rows->key().size());
      from += '\0';
      if (auto taken = row(*rows); !taken) return taken;
    }
    const auto status = rows->status();
    if (status.ok()) return {};
    if (!is_damage(status)) return fail(errc::storage_error, "the repair of the store: " + status.ToString());
    auto passed = pass_damage(make, rows, from, end);
    if (!passed) return unexpected<error>(passed.error());
    if (!passed->lost.is_empty()) lost(passed->lost, status);
    if (passed->is_at_end) return {};
  }
}

/// The parts of `rows` that are in one of `parts` too.
std::vector<lost_range> cut(const lost_range& rows, const std::vector<key_range>& parts) {
  std::vector<lost_range> out;
  for (const auto& part : parts) {
    lost_range both{std::max(rows.from, part.from), std::min(rows.to, part.to), rows.reason, rows.time_ms};
    if (both.from < both.to) out.push_back(std::move(both));
  }
  return out;
}

void merge(std::vector<lost_range>& ranges) {
  std::sort(ranges.begin(), ranges.end(), [](const auto& a, const auto& b) { return a.from < b.from; });
  std::vector<lost_range> out;
  for (auto& each : ranges) {
    if (!out.empty() && each.from <= out.back().to)
      out.back().to = std::max(out.back().to, each.to);
    else
      out.push_back(std::move(each));
  }
  ranges = std::move(out);
}

class rescue {
public:
  rescue(rocksdb::DB& from, const rocksdb::Options& options, const std::filesystem::path& directory,
         storage_engine& to, std::int64_t now_ms)
      : from_(from), options_(options), directory_(directory), to_(to), writer_(to), now_ms_(now_ms) {}

  expected<salvaged> run() {
    return walk_all()
        .and_then([this] { return look_through_tables(); })
        .and_then([this] { return writer_.flush(); })
        .and_then([this] { return point_again(); })
        .and_then([this] { return list_losses(); })
        .and_then([this] { return writer_.flush(); })
        .map([this] {
          out_.last_epoch = writer_.last_epoch();
          return std::move(out_);
        });
  }

private:
  expected<void> walk_all() {
    const rocksdb::Slice upper(last_key);
    rocksdb::ReadOptions read;
    read.iterate_upper_bound = &upper;
    read.fill_cache = false;
    const auto make = [&] { return std::unique_ptr<rocksdb::Iterator>(from_.NewIterator(read)); };
    return walk(
        make, {}, last_key,
        [this](rocksdb::Iterator& at) {
          ++out_.rows;
          return writer_.put(at.key().ToString(), at.value().ToString());
        },
        [this](const key_range& lost, const rocksdb::Status& why) {
          out_.lost.push_back({lost.from, lost.to, why.ToString(), now_ms_});
        });
  }

  /// In what could not be walked over: which part of it is damaged indeed, and what there is beside that.
  expected<void> look_through_tables() {
    if (out_.lost.empty()) return {};
    std::vector<rocksdb::LiveFileMetaData> tables;
    from_.GetLiveFilesMetaData(&tables);
    std::vector<lost_range> narrower;
    for (const auto& lost : std::exchange(out_.lost, {})) {
      std::vector<key_range> damaged;
      for (const auto& table : tables)
        if (auto looked = look_through(table, lost, damaged); !looked) return looked;
      auto parts = cut(lost, damaged);
      if (parts.empty()) parts.push_back(lost);
      narrower.insert(narrower.end(), parts.begin(), parts.end());
    }
    narrower.insert(narrower.end(), out_.lost.begin(), out_.lost.end()); // single rows
    merge(narrower);
    out_.lost = std::move(narrower);
    return {};
  }

  expected<void> look_through(const rocksdb::LiveFileMetaData& table, const lost_range& lost,
                              std::vector<key_range>& damaged) {
    const auto from = std::max(lost.from, table.smallestkey);
    const auto to = std::min(lost.to, table.largestkey + '\0');
    if (from >= to) return {};
    const rocksdb::Slice lower(from);
    const rocksdb::Slice upper(to);
    rocksdb::ReadOptions read;
    read.iterate_lower_bound = &lower;
    read.iterate_upper_bound = &upper;
    rocksdb::SstFileReader reader(options_);
    if (!reader.Open((directory_ / table.name.substr(1)).string()).ok()) {
      damaged.push_back({from, to});
      return {};
    }
    const auto make = [&] { return std::unique_ptr<rocksdb::Iterator>(reader.NewIterator(read)); };
    return walk(
        make, from, to, [this](rocksdb::Iterator& at) { return save(at.key().ToString()); },
        [&damaged](const key_range& part, const rocksdb::Status&) { damaged.push_back(part); });
  }

  /// The newest version of a row that some table has.
  expected<void> save(std::string key) {
    std::string value;
    const auto status = from_.Get(rocksdb::ReadOptions(), key, &value);
    if (status.IsNotFound()) return {};
    if (status.ok()) {
      ++out_.rows;
      return writer_.put(std::move(key), std::move(value));
    }
    if (!is_damage(status)) return fail(errc::storage_error, "the repair of the store: " + status.ToString());
    out_.lost.push_back({key, key + '\0', status.ToString(), now_ms_});
    return {};
  }

  bool is_lost(const std::string& key) const {
    return std::any_of(out_.lost.begin(), out_.lost.end(),
                       [&key](const auto& each) { return each.from <= key && key < each.to; });
  }
  bool has_lost(char kind) const {
    const auto all = keys::all(kind);
    return std::any_of(out_.lost.begin(), out_.lost.end(),
                       [&all](const auto& each) { return each.from < all.second && all.first < each.to; });
  }
  expected<void> put_if_lost(std::string key, std::string value) {
    return is_lost(key) ? writer_.put(std::move(key), std::move(value)) : expected<void>();
  }

  expected<void> each_row(char kind, const std::function<expected<void>(const row_cursor& row)>& what) {
    const auto all = keys::all(kind);
    auto row = to_.scan(all.first, all.second);
    for (; row->valid(); row->next())
      if (auto done = what(*row); !done) return done;
    return row->status();
  }

  /// Rows that lead to others.
  expected<void> point_again() {
    expected<void> done;
    if (has_lost('W')) done = each_row('H', [this](const row_cursor& row) { return point_to_schedule(row); });
    if (has_lost('E') || has_lost('G') || has_lost('A'))
      for (const char kind : {'Q', 'N'})
        done = done.and_then([this, kind] {
          return each_row(kind, [this](const row_cursor& row) { return point_to_fetch(row); });
        });
    if (has_lost('U'))
      done = done.and_then(
          [this] { return each_row('T', [this](const row_cursor& row) { return point_to_task(row); }); });
    return done;
  }

  expected<void> point_to_schedule(const row_cursor& row) {
    auto what = unseal_value<schedule_message>(frame_type::schedule, row.value());
    if (!what) return {}; // damaged by itself
    return put_if_lost(keys::due(what->due_ms, what->id.number), std::string(row.key()));
  }

  /// Whether what must not be repeated was going out is not known any more: it may have been.
  expected<void> point_to_fetch(const row_cursor& row) {
    auto fetch = unseal_value<fetch_message>(frame_type::fetch, row.value());
    if (!fetch) return {};
    const std::string key(row.key());
    expected<void> done;
    if (const auto end = fetch->end_ms(); end != 0) done = put_if_lost(keys::deadline(end, fetch->id), key);
    for (const auto& source : fetch->extra.signal.sources())
      done = done.and_then([&] { return put_if_lost(keys::signal(source, fetch->id), key); });
    if (!fetch->is_repeatable())
      done = done.and_then([&] { return put_if_lost(keys::attempt(fetch->id), key); });
    return done;
  }

  expected<void> point_to_task(const row_cursor& row) {
    auto record = unseal_value<task_record>(frame_type::task, row.value());
    auto id = keys::parse_task(row.key());
    if (!record || !id || record->state != task_state::stuck) return {};
    return put_if_lost(keys::stuck_task(*id), {});
  }

  expected<void> list_losses() {
    auto number = static_cast<std::uint64_t>(now_ms_) * 1'000;
    for (const auto& each : out_.lost) {
      auto row = put_lost(number++, each);
      if (auto put = writer_.put(std::move(row.key), std::move(*row.value)); !put) return put;
    }
    if (!is_lost(keys::store_info())) return {};
    auto known = to_.get(keys::store_info());
    if (!known) return unexpected<error>(known.error());
    if (*known) return {};
    // No id that was given out may be given out again, and the last may be in what was lost.
    store_info info;
    info.identity = static_cast<std::uint64_t>(now_ms_);
    info.epoch = writer_.last_epoch() + most_epochs_lost;
    return writer_.put(keys::store_info(), seal_value(frame_type::store_info, info));
  }

  rocksdb::DB& from_;
  const rocksdb::Options& options_;
  const std::filesystem::path& directory_;
  storage_engine& to_;
  row_writer writer_;
  const std::int64_t now_ms_;
  salvaged out_;
};

} // namespace

expected<salvaged> salvage(rocksdb::DB& from, const rocksdb::Options& options,
                           const std::filesystem::path& directory, storage_engine& to, std::int64_t now_ms) {
  return rescue(from, options, directory, to, now_ms).run();
}

} // namespace dormouse
