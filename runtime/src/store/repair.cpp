#include "store/repair.hpp"

#include "store/commit_number.hpp"
#include "store/damage_book.hpp"
#include "store/damage_skip.hpp"
#include "store/directory_lock.hpp"
#include "store/exchange.hpp"
#include "store/keys.hpp"
#include "store/rocksdb_options.hpp"
#include "store/salvage.hpp"
#include "store/wal_check.hpp"
#include "store/watermark.hpp"

#include <fmt/format.h>
#include <rocksdb/db.h>

#include <memory>
#include <system_error>
#include <utility>

namespace dormouse {
namespace {

namespace fs = std::filesystem;

unexpected<error> failed(const fs::path& what, const std::error_code& why) {
  return fail(errc::storage_error,
              fmt::format("the repair of the store: '{}': {}", what.string(), why.message()));
}

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
    if (bad) return failed(file, bad);
  }
  if (bad) return failed(from, bad);
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
};

expected<opened_copy> open_copy(rocksdb::Options options, const fs::path& directory) {
  options.create_if_missing = false;
  options.disable_auto_compactions = true; // which would meet the damage
  opened_copy out;
  out.check = std::make_unique<wal_check>(directory);
  options.wal_filter = out.check.get();
  rocksdb::DB* db = nullptr;
  auto status = rocksdb::DB::Open(options, directory.string(), &db);
  if (status.ok() && out.check->problem()) { // a hole that RocksDB passes over
    delete db;
    db = nullptr;
    status = rocksdb::Status::Corruption(*out.check->problem());
  }
  if (status.IsCorruption()) { // of the log, perhaps: what is in front of the damage is whole
    out.check = std::make_unique<wal_check>(directory);
    options.wal_filter = out.check.get();
    options.wal_recovery_mode = rocksdb::WALRecoveryMode::kPointInTimeRecovery;
    options.track_and_verify_wals_in_manifest = false;
    out.log_was_cut = true;
    status = rocksdb::DB::Open(options, directory.string(), &db);
  }
  if (!status.ok())
    return fail(status.IsCorruption() ? errc::corrupt : errc::storage_error,
                fmt::format("the damaged store cannot be opened: {}", status.ToString()));
  out.db.reset(db);
  // What is in memory only, as a table: each table is looked through.
  if (status = db->Flush({}); !status.ok())
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
    const auto options = rocksdb_options(settings);
    auto damaged = open_copy(options, work);
    if (!damaged) return unexpected<error>(damaged.error());
    const auto old_mark = watermark::open(work); // damaged itself, it tells nothing
    report.log_was_cut = damaged->log_was_cut ||
                         (old_mark && commit_number::read(*damaged->db).value_or(0) < old_mark->commits());
    if (report.log_was_cut && lost == missing_commits::refuse)
      return fail(
          errc::corrupt,
          "the log of the store is damaged, and a repair would give up the commits behind the damage; "
          "`dormouse repair` does so");
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
    if (old_mark && old_mark->epoch() > mark->epoch())
      if (auto noted = mark->note_epoch(old_mark->epoch()); !noted) return unexpected<error>(noted.error());
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
  if (!is_exchange_open(directory)) return {};
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
