#include "store/repair.hpp"

#include "store/bad_sectors.hpp"
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
#include <rocksdb/env.h>
#include <rocksdb/metadata.h>
#include <rocksdb/sst_file_reader.h>
#include <rocksdb/table.h>

#include <algorithm>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

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

/// The newest MANIFEST of a database, or nothing.
std::string newest_manifest(const fs::path& in) {
  constexpr std::string_view prefix = "MANIFEST-";
  std::string newest;
  std::error_code bad;
  for (fs::directory_iterator at(in, bad), end; !bad && at != end; at.increment(bad)) {
    auto name = at->path().filename().string();
    if (!name.starts_with(prefix)) continue;
    if (std::pair(name.size(), std::string_view(name)) > std::pair(newest.size(), std::string_view(newest)))
      newest = std::move(name); // the number has at least six digits
  }
  return newest;
}

/// The file CURRENT says in one line which MANIFEST is in use. Should it be gone, or say nothing of use, that
/// is the newest one: an older one is removed when another is made.
expected<void> name_manifest(const fs::path& in) {
  std::string named;
  std::getline(std::ifstream(in / "CURRENT"), named);
  std::error_code unseen;
  if (!named.empty() && fs::exists(in / named, unseen)) return {};
  const auto newest = newest_manifest(in);
  if (newest.empty()) return {}; // that cannot be mended
  std::ofstream to(in / "CURRENT", std::ios::trunc);
  if (to << newest << '\n' << std::flush) return {};
  return fail(errc::storage_error, fmt::format("'{}' cannot be written", (in / "CURRENT").string()));
}

/// A damaged filter makes the table that it is in unreadable. Without filters the table can be read; but
/// they also say which rows are not in a damaged block, so that older ones in other tables are the newest.
std::shared_ptr<rocksdb::TableFactory> without_filters(const rocksdb::Options& options) {
  auto table = *options.table_factory->GetOptions<rocksdb::BlockBasedTableOptions>();
  table.filter_policy.reset();
  table.partition_filters = false;
  return std::shared_ptr<rocksdb::TableFactory>(rocksdb::NewBlockBasedTableFactory(table));
}

bool has_damaged_filter(rocksdb::DB& db, const rocksdb::Options& options) {
  auto bare = options;
  bare.table_factory = without_filters(options);
  std::vector<rocksdb::LiveFileMetaData> live;
  db.GetLiveFilesMetaData(&live);
  return std::any_of(live.begin(), live.end(), [&](const auto& each) {
    const auto path = each.db_path + each.name;
    return !rocksdb::SstFileReader(options).Open(path).ok() && rocksdb::SstFileReader(bare).Open(path).ok();
  });
}

std::string why_not_given_up(const fs::path& directory, const repair_report& what) {
  if (!what.missing_commits)
    return fmt::format("the watermark of the store in '{}' is damaged: whether commits are missing cannot be "
                       "told. `dormouse repair` keeps what is there",
                       directory.string());
  if (*what.missing_commits == 0)
    return fmt::format("the log of the store in '{}' is damaged; `dormouse repair` gives up what is behind "
                       "the damage",
                       directory.string());
  return fmt::format(
      "the log of the store in '{}' is damaged, and {} acknowledged commits are missing at its "
      "end; `dormouse repair` gives them up",
      directory.string(), *what.missing_commits);
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
  std::string lacks_tables = {}; ///< why: one is gone, or cannot be opened; empty: none is
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
  if (is_damage(status)) { // a table is gone, perhaps, or was cut
    const auto why_not = status.ToString();
    options.paranoid_checks = false; // does not ask for each at once; passes over damage of the log, too
    status = open_copy(options, directory, damaged_log::stop, out);
    out.lacks_tables = why_not;
    out.log_was_cut = out.check->problem().has_value();
  }
  if (!status.ok())
    return fail(is_damage(status) ? errc::corrupt : errc::storage_error,
                fmt::format("the store in '{}' cannot be opened, and not be repaired; a backup is what can "
                            "bring it back: {}",
                            directory.parent_path().string(), status.ToString()));
  if (const auto& before = out.check->commits_before()) // before the log becomes a table
    if (auto whole = commit_number::check_tables(*out.db, *before); !whole)
      return fail(errc::corrupt, fmt::format("the store in '{}' cannot be repaired; a backup is what can "
                                             "bring it back: {}",
                                             directory.parent_path().string(), whole.error().message));
  // What is in memory only, as a table: each table is looked through.
  if (status = out.db->Flush({}); !status.ok())
    return fail(errc::storage_error, "the repair of the store: " + status.ToString());
  return out;
}

} // namespace

bool holds_database(const fs::path& directory) {
  std::error_code bad;
  for (fs::directory_iterator at(directory, bad), end; !bad && at != end; at.increment(bad)) {
    const auto& file = at->path();
    const auto stem = file.stem().string();
    const bool has_number = stem.find_first_not_of("0123456789") == std::string::npos;
    if (file.filename() == "CURRENT" || file.filename().string().starts_with("MANIFEST-") ||
        (has_number && (file.extension() == ".sst" || file.extension() == ".log")))
      return true;
  }
  return false;
}

expected<repair_report> repair_store(const rocksdb_settings& settings, std::int64_t now_ms,
                                     missing_commits lost) {
  const auto& directory = settings.directory;
  if (std::error_code unseen; !fs::is_directory(directory, unseen))
    return fail(errc::directory_unusable, fmt::format("there is no directory '{}'", directory.string()));
  if (!is_exchange_open(directory) && !holds_database(directory))
    return fail(errc::directory_unusable, fmt::format("there is no store in '{}'", directory.string()));
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
    if (auto named = name_manifest(work); !named) return unexpected<error>(named.error());
    const auto env = rocksdb::NewCompositeEnv(with_bad_sectors(settings.files, std::chrono::milliseconds(0)));
    auto options = rocksdb_options(settings);
    options.env = env.get();
    options.info_log = make_rocksdb_log(settings.log); // RocksDB's own aborts the process on a full disk
    auto damaged = open_copy(options, work);
    if (damaged && has_damaged_filter(*damaged->db, options)) {
      damaged->db.reset();
      options.table_factory = without_filters(options);
      damaged = open_copy(options, work);
    }
    if (!damaged) return unexpected<error>(damaged.error());
    const auto old_mark = watermark::open(work); // damaged itself, it tells nothing
    const auto last = commit_number::read(*damaged->db).value_or(0);
    if (old_mark) report.missing_commits = old_mark->commits() - std::min(last, old_mark->commits());
    report.log_was_cut = damaged->log_was_cut || report.missing_commits.value_or(1) != 0;
    if (report.log_was_cut && lost == missing_commits::refuse)
      return fail(errc::corrupt, why_not_given_up(directory, report));
    if (!damaged->lacks_tables.empty() && lost == missing_commits::refuse)
      return fail(errc::corrupt, fmt::format("a table of the store in '{}' is missing or cannot be opened "
                                             "({}); `dormouse repair` gives up what was in it",
                                             directory.string(), damaged->lacks_tables));
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
