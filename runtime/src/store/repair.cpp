#include "store/repair.hpp"

#include "store/commit_number.hpp"
#include "store/damage_book.hpp"
#include "store/damage_skip.hpp"
#include "store/directory_lock.hpp"
#include "store/exchange.hpp"
#include "store/keys.hpp"
#include "store/rocksdb_log.hpp"
#include "store/rocksdb_options.hpp"
#include "store/salvage.hpp"
#include "store/wal_check.hpp"
#include "store/watermark.hpp"

#include <fmt/format.h>
#include <rocksdb/db.h>

#include <algorithm>
#include <memory>
#include <system_error>
#include <utility>

namespace dormouse {
namespace {

namespace fs = std::filesystem;

/// Tables and blobs are never changed, so links to them will do; whatever else there is may be written to.
expected<void> copy_database(const fs::path& from, const fs::path& to) {
  std::error_code bad;
  fs::create_directories(to, bad);
  for (fs::directory_iterator at(from, bad), end; !bad && at != end; at.increment(bad)) {
    if (!at->is_regular_file()) continue;
    const auto& file = at->path();
    const auto kind = file.extension();
    if (file.filename() == "LOCK" || kind == ".lock") continue;
    std::error_code unlinked;
    if (kind == ".sst" || kind == ".blob") fs::create_hard_link(file, to / file.filename(), unlinked);
    if ((kind != ".sst" && kind != ".blob") || unlinked) fs::copy_file(file, to / file.filename(), bad);
    if (bad) return repair_failed(file, bad);
  }
  if (bad) return repair_failed(from, bad);
  return {};
}

/// What a repair works with goes with it, however it ends.
class work_folders {
public:
  explicit work_folders(const fs::path& directory) : directory_(directory) { remove(); }
  work_folders(const work_folders&) = delete;
  work_folders& operator=(const work_folders&) = delete;
  ~work_folders() { is_exchange_open(directory_) ? remove_one(repair_work) : remove(); }

private:
  void remove() {
    remove_one(repair_work);
    remove_one(repair_fresh);
  }
  void remove_one(std::string_view name) {
    std::error_code ignored;
    fs::remove_all(directory_ / name, ignored);
  }

  const fs::path& directory_;
};

struct opened_copy {
  std::unique_ptr<wal_check> check; ///< the options of the database refer to it
  std::unique_ptr<rocksdb::DB> db;
  bool log_was_cut = false;
  bool lacks_tables = false;
};

rocksdb::Status open_copy(rocksdb::Options& options, const fs::path& directory, damaged_log at_damage,
                          opened_copy& out) {
  out.check = std::make_unique<wal_check>(directory, at_damage);
  options.wal_filter = out.check.get();
  rocksdb::DB* db = nullptr;
  auto status = rocksdb::DB::Open(options, directory.string(), &db);
  out.db.reset(db);
  if (status.ok() && at_damage == damaged_log::refuse && out.check->problem()) { // RocksDB passes over it
    out.db.reset();
    status = rocksdb::Status::Corruption(*out.check->problem());
  }
  return status;
}

expected<opened_copy> open_copy(rocksdb::Options options, const fs::path& directory) {
  options.create_if_missing = false;
  options.disable_auto_compactions = true; // which would meet the damage
  opened_copy out;
  auto status = open_copy(options, directory, damaged_log::refuse, out);
  if (is_damage(status)) { // of the log, perhaps: what is in front of the damage is whole
    options.wal_recovery_mode = rocksdb::WALRecoveryMode::kPointInTimeRecovery;
    options.track_and_verify_wals_in_manifest = false;
    out.log_was_cut = true;
    status = open_copy(options, directory, damaged_log::stop, out);
  }
  if (is_damage(status)) {           // a table is gone, perhaps, or was cut
    options.paranoid_checks = false; // does not ask for each at once; passes over damage of the log, too
    status = open_copy(options, directory, damaged_log::stop, out);
    out.lacks_tables = true;
    out.log_was_cut = out.check->problem().has_value();
  }
  if (!status.ok())
    return fail(is_damage(status) ? errc::corrupt : errc::storage_error,
                fmt::format("the damaged store cannot be opened: {}", status.ToString()));
  // What is in memory only, as a table: each table is looked through.
  if (status = out.db->Flush({}); !status.ok())
    return fail(errc::storage_error, "the repair of the store: " + status.ToString());
  return out;
}

} // namespace

expected<repair_report> repair_store(const rocksdb_settings& settings, std::int64_t now_ms,
                                     missing_commits lost) {
  const auto& directory = settings.directory;
  if (std::error_code unseen; !fs::is_directory(directory, unseen))
    return fail(errc::directory_unusable, fmt::format("there is no directory '{}'", directory.string()));
  auto lock = directory_lock::take(directory, settings.lock_wait);
  if (!lock) return unexpected<error>(lock.error());
  auto held = hold_store(directory); // an earlier version knows that lock only
  if (!held) return unexpected<error>(held.error());
  if (auto finished = go_on_with_exchange(directory); !finished) return unexpected<error>(finished.error());
  const auto work = directory / repair_work;
  const auto fresh = directory / repair_fresh;
  const work_folders folders(directory);
  repair_report report;
  {
    if (auto copied = copy_database(directory, work); !copied) return unexpected<error>(copied.error());
    auto options = rocksdb_options(settings);
    options.info_log = make_rocksdb_log(settings.log); // RocksDB's own aborts the process on a full disk
    auto damaged = open_copy(options, work);
    if (!damaged) return unexpected<error>(damaged.error());
    const auto old_mark = watermark::open(work); // damaged itself, it tells nothing
    report.log_was_cut = damaged->log_was_cut || !old_mark ||
                         commit_number::read(*damaged->db).value_or(0) < old_mark->commits();
    if (report.log_was_cut && lost == missing_commits::refuse)
      return fail(errc::corrupt, "the log of the store is damaged, or its watermark, and a repair would give "
                                 "up the commits that are "
                                 "missing; "
                                 "`dormouse repair` does so");
    if (damaged->lacks_tables && lost == missing_commits::refuse)
      return fail(errc::corrupt,
                  "files of the store are missing; `dormouse repair` gives up what was in them");
    auto into = settings;
    into.directory = fresh;
    auto engine = open_rocksdb(into);
    if (!engine) return unexpected<error>(engine.error());
    auto saved = salvage(*damaged->db, options, work, **engine, now_ms);
    if (!saved) return unexpected<error>(saved.error());
    report.rows = saved->rows;
    report.lost = std::move(saved->lost);
    auto mark = watermark::open(fresh);
    if (!mark) return unexpected<error>(mark.error());
    const auto epoch = old_mark ? old_mark->epoch() : saved->last_epoch + most_epochs_lost;
    if (auto noted = mark->note_epoch(std::max(mark->epoch(), epoch)); !noted)
      return unexpected<error>(noted.error());
  }
  std::error_code bad;
  std::string kept = fmt::format("damaged-{}", now_ms);
  for (int i = 1; fs::exists(directory / kept, bad); ++i)
    kept = fmt::format("damaged-{}-{}", now_ms, i);
  report.kept = directory / kept;
  if (auto exchanged = exchange_files(directory, kept); !exchanged)
    return unexpected<error>(exchanged.error());
  return report;
}

expected<void> finish_repair(const fs::path& directory) {
  if (!is_exchange_open(directory)) {
    const work_folders left(directory); // by one that was killed
    return {};
  }
  auto held = hold_store(directory);
  if (!held) return unexpected<error>(held.error());
  return go_on_with_exchange(directory);
}

expected<std::uint64_t> accept_losses(const rocksdb_settings& settings) {
  if (std::error_code unseen; !fs::exists(settings.directory / "CURRENT", unseen))
    return fail(errc::directory_unusable,
                fmt::format("there is no store in '{}'", settings.directory.string()));
  auto engine = open_rocksdb(settings);
  if (!engine) return unexpected<error>(engine.error());
  write_set writes;
  const auto all = keys::all('L');
  auto row = (*engine)->scan(all.first, all.second);
  for (; row->valid(); row->next())
    writes.push_back({std::string(row->key()), std::nullopt});
  if (auto read = row->status(); !read) return unexpected<error>(read.error());
  const write_set* sets[] = {&writes};
  if (auto written = writes.empty() ? expected<void>() : (*engine)->write(sets); !written)
    return unexpected<error>(written.error());
  return writes.size();
}

} // namespace dormouse
