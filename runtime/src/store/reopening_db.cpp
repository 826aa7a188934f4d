#include "store/reopening_db.hpp"

#include "store/rocksdb_log.hpp"
#include "store/rocksdb_slice.hpp"

#include <fmt/format.h>
#include <pthread.h>
#include <rocksdb/write_batch.h>
#include <spdlog/logger.h>

#include <algorithm>
#include <limits>
#include <utility>

namespace dormouse {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds first_pause{50};
constexpr milliseconds longest_pause{1'000};
constexpr std::chrono::seconds ballast_pause{1};

/// Opened anew for longer than this, the next error is a new one, to be mended at once.
constexpr std::chrono::seconds lasting{5};

/// A disk that stays full is named again after so long.
constexpr std::chrono::minutes refusals_told_again{1};

/// Instead of the last row that was acknowledged: all that is found counts.
constexpr auto first_opening = std::numeric_limits<rocksdb::SequenceNumber>::max();

rocksdb::Status open_database(const rocksdb::Options& options, const std::string& directory,
                              std::unique_ptr<rocksdb::DB>& out) {
  rocksdb::DB* opened = nullptr;
  auto status = rocksdb::DB::Open(options, directory, &opened);
  out.reset(opened);
  return status;
}

/// Leaves out what is in the log and was never acknowledged.
class acknowledged_only final : public rocksdb::WalFilter {
public:
  explicit acknowledged_only(rocksdb::SequenceNumber last) : last_(last) {}
  const char* Name() const override { return "dormouse.acknowledged_only"; }
  WalProcessingOption LogRecordFound(unsigned long long, const std::string&, const rocksdb::WriteBatch& batch,
                                     rocksdb::WriteBatch*, bool*) override {
    // A batch begins with the sequence number of its first row, little endian.
    rocksdb::SequenceNumber first = 0;
    const auto& bytes = batch.Data();
    for (std::size_t i = std::min(sizeof first, bytes.size()); i-- > 0;)
      first = (first << 8U) | static_cast<unsigned char>(bytes[i]);
    return first > last_ ? WalProcessingOption::kIgnoreCurrentRecord
                         : WalProcessingOption::kContinueProcessing;
  }

private:
  const rocksdb::SequenceNumber last_;
};

} // namespace

/// What RocksDB meets while it flushes and compacts, and the write that fails. It must not recover by itself.
class reopening_db::background_errors final : public rocksdb::EventListener {
public:
  explicit background_errors(reopening_db& owner) : owner_(owner) {}
  void OnBackgroundError(rocksdb::BackgroundErrorReason, rocksdb::Status* why) override {
    if (why != nullptr && !why->ok()) owner_.met(this, *why);
  }
  void OnErrorRecoveryBegin(rocksdb::BackgroundErrorReason, rocksdb::Status why, bool* recovers) override {
    why.PermitUncheckedError();
    if (recovers != nullptr) *recovers = false;
  }

private:
  reopening_db& owner_;
};

reopening_db::reopening_db(database_setup how)
    : how_(std::move(how)),
      env_(how_.files ? rocksdb::NewCompositeEnv(how_.files) : nullptr),
      room_(how_.files ? how_.files : rocksdb::FileSystem::Default(), how_.directory) {}

rocksdb::Status reopening_db::open(database_setup how, std::unique_ptr<reopening_db>& out,
                                   const opener& first) {
  how.options.info_log = make_rocksdb_log(how.log);
  how.options.max_bgerror_resume_count = 0;
  std::unique_ptr<reopening_db> made(new reopening_db(std::move(how)));
  made->acknowledged_ = first_opening;
  auto status = made->open_anew(made->db_, first);
  if (!status.ok()) return status;
  made->db_->with([&](rocksdb::DB& db) { made->acknowledged_ = db.GetLatestSequenceNumber(); });
  made->mender_ = std::thread([db = made.get()] { db->run(); });
  out = std::move(made);
  return status;
}

reopening_db::~reopening_db() {
  {
    std::lock_guard guard(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (mender_.joinable()) mender_.join();
  if (db_) db_->close();
}

// --- opening -----------------------------------------------------------------------------------------------

/// While none is open: RocksDB refers to the filter as long as it lives.
rocksdb::Options reopening_db::options_for(rocksdb::SequenceNumber last) {
  auto options = how_.options;
  if (env_) options.env = env_.get();
  if (last == first_opening) return options;
  filter_ = std::make_unique<acknowledged_only>(last);
  options.wal_filter = filter_.get();
  options.avoid_flush_during_recovery = false; // what is left out of a log must not be found in it again
  options.create_if_missing = false;           // a disk that is gone must not be taken for an empty store
  return options;
}

rocksdb::Status reopening_db::open_anew(std::shared_ptr<db_generation>& out, const opener& by) {
  auto listener = std::make_shared<background_errors>(*this);
  {
    std::lock_guard guard(mutex_);
    listener_ = listener;
    relapsed_ = false;
  }
  const auto last = acknowledged_.load();
  auto options = options_for(last);
  options.listeners.push_back(listener);
  std::unique_ptr<rocksdb::DB> db;
  auto status = by ? by(options, db) : open_database(options, how_.directory, db);
  if (!status.ok()) return status;
  const auto found = db->GetLatestSequenceNumber();
  if (last != first_opening && found < last) {
    db->Close().PermitUncheckedError();
    return rocksdb::Status::Corruption(fmt::format(
        "{} rows that were acknowledged are missing after the store was opened anew", last - found));
  }
  out = std::make_shared<db_generation>(std::move(db));
  return status;
}

std::shared_ptr<db_generation> reopening_db::open_for_reading() {
  rocksdb::DB* opened = nullptr;
  if (!rocksdb::DB::OpenForReadOnly(options_for(acknowledged_.load()), how_.directory, &opened).ok())
    return nullptr;
  return std::make_shared<db_generation>(std::unique_ptr<rocksdb::DB>(opened));
}

// --- reading and writing -----------------------------------------------------------------------------------

std::shared_ptr<db_generation> reopening_db::present() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !replacing_; });
  return db_;
}

expected<std::optional<std::string>> reopening_db::get(std::string_view key) {
  std::string value;
  rocksdb::Status status;
  auto at = present();
  while (at &&
         !at->with([&](rocksdb::DB& db) { status = db.Get(rocksdb::ReadOptions(), slice(key), &value); }))
    at = present(); // it was closed since; each turn of this is one of the mender's
  if (!at) return unexpected<error>(why_not_now());
  if (status.IsNotFound()) return std::nullopt;
  if (!status.ok()) return storage_failure(status);
  return value;
}

namespace {

/// A walk that could not begin.
class failed_cursor final : public row_cursor {
public:
  explicit failed_cursor(error why) : why_(std::move(why)) {}
  bool valid() const override { return false; }
  std::string_view key() const override { return {}; }
  std::string_view value() const override { return {}; }
  void next() override {}
  expected<void> status() const override { return unexpected<error>(why_); }

private:
  const error why_;
};

} // namespace

std::unique_ptr<row_cursor> reopening_db::scan(std::string_view from, std::string_view to, scan_order order) {
  for (auto at = present(); at; at = present())
    if (auto cursor = at->scan(from, to, order)) return cursor;
  return std::make_unique<failed_cursor>(why_not_now());
}

expected<void> reopening_db::write(rocksdb::WriteBatch& batch) {
  auto at = present();
  {
    std::lock_guard guard(mutex_);
    if (outage_ || !at) return unexpected<error>(why_not());
  }
  if (auto room = room_.admit(batch.GetDataSize()); !room) {
    refused(room.error());
    return room;
  }
  rocksdb::WriteOptions options;
  options.sync = true;
  rocksdb::Status status;
  const bool was_open = at->with([&](rocksdb::DB& db) {
    status = db.Write(options, &batch);
    if (status.ok()) acknowledged_.store(db.GetLatestSequenceNumber());
  });
  if (was_open && status.ok()) {
    wrote();
    return {};
  }
  if (!was_open) return unexpected<error>(why_not_now());
  begin_outage(*at, status);
  auto failure = storage_failure(status).value();
  if (failure.code != errc::corrupt) failure.message += "; it goes on by itself when that is over";
  return unexpected<error>(std::move(failure));
}

/// The log was not touched. One line when it begins, however many batches are refused.
void reopening_db::refused(const error& why) {
  const auto now = steady_clock::now();
  if (how_.log && (!is_refusing_ || now - refusal_told_ >= refusals_told_again)) {
    how_.log->error(fmt::format("{}; what has no room is not written until there is", why.message));
    refusal_told_ = now;
  }
  is_refusing_ = true;
}

void reopening_db::wrote() {
  if (!std::exchange(is_refusing_, false) || !how_.log) return;
  how_.log->warn(fmt::format("the store in '{}' writes again: its disk has room", how_.directory));
}

error reopening_db::why_not() const {
  if (!outage_)
    return {errc::storage_error, "the store was opened anew after a failure; nothing was written, try again"};
  if (!outage_->is_mendable) return outage_->why;
  const auto since = std::chrono::duration_cast<std::chrono::seconds>(steady_clock::now() - outage_->since);
  return {outage_->why.code,
          fmt::format("{}; since {} s nothing can be written, and it goes on by itself when that is over",
                      outage_->why.message, since.count())};
}

error reopening_db::why_not_now() {
  std::lock_guard guard(mutex_);
  return why_not();
}

// --- outages -----------------------------------------------------------------------------------------------

void reopening_db::begin_outage(const db_generation& in, const rocksdb::Status& why) {
  std::lock_guard guard(mutex_);
  if (db_.get() == &in) note(why);
}

/// On a thread of RocksDB, or within a write.
void reopening_db::met(const background_errors* by, const rocksdb::Status& why) {
  std::lock_guard guard(mutex_);
  if (listener_.get() == by) note(why);
}

/// Under the lock.
void reopening_db::note(const rocksdb::Status& why) {
  if (replacing_) relapsed_ = true;
  if (outage_) return; // the first cause is what counts
  if (steady_clock::now() - mended_ >= lasting) attempts_ = relapses_ = 0;
  outage_ = outage{storage_failure(why).value(), why.IsNoSpace(), !why.IsCorruption(), relapses_ == 0,
                   steady_clock::now()};
  changed_.notify_all();
}

std::chrono::milliseconds reopening_db::pause() const {
  return std::min(longest_pause, first_pause * (1U << std::min(attempts_, 5U)));
}

void reopening_db::run() {
  ::pthread_setname_np(::pthread_self(), "dormouse.mend");
  std::unique_lock lock(mutex_);
  const auto is_down = [this] { return outage_ && outage_->is_mendable; };
  while (!stopping_) {
    if (is_down()) {
      if (attempts_ != 0) changed_.wait_for(lock, pause(), [this] { return stopping_; });
      if (!stopping_) mend(lock);
    } else if (room_.has_ballast()) {
      changed_.wait(lock, [&] { return stopping_ || is_down(); });
    } else {
      lock.unlock();
      room_.restore_ballast();
      lock.lock();
      if (!room_.has_ballast())
        changed_.wait_for(lock, ballast_pause, [&] { return stopping_ || is_down(); });
    }
  }
}

/// With an outage, under the lock, which is free meanwhile.
void reopening_db::mend(std::unique_lock<std::mutex>& lock) {
  const auto begun = attempts_++ == 0 && outage_->is_told ? std::optional(outage_->why) : std::nullopt;
  const bool is_full = outage_->is_full;
  lock.unlock();
  if (begun && how_.log)
    how_.log->error(fmt::format("{}; nothing is written until that is over", begun->message));
  if (is_full) room_.give_up_ballast();
  const bool takes_files = room_.probe().has_value();
  lock.lock();
  if (takes_files && !stopping_) replace(lock);
}

void reopening_db::replace(std::unique_lock<std::mutex>& lock) {
  replacing_ = true;
  auto old = std::exchange(db_, nullptr);
  lock.unlock();
  if (old) old->close();
  old.reset();
  std::shared_ptr<db_generation> next;
  const auto status = open_anew(next, {});
  if (!next && !status.IsCorruption()) next = open_for_reading();
  lock.lock();
  db_ = std::move(next);
  replacing_ = false;
  std::optional<milliseconds> lasted;
  if (status.ok() && !relapsed_) {
    mended_ = steady_clock::now();
    attempts_ = ++relapses_; // should it not last, the next attempts come later and later
    if (outage_->is_told) lasted = std::chrono::duration_cast<milliseconds>(mended_ - outage_->since);
    outage_.reset();
  } else if (status.IsCorruption()) {
    outage_->why = storage_failure(status).value();
    outage_->is_mendable = false;
  }
  changed_.notify_all();
  if (!how_.log) return;
  lock.unlock();
  if (lasted)
    how_.log->warn(
        fmt::format("the store in '{}' writes again after {} ms", how_.directory, lasted->count()));
  else if (status.IsCorruption())
    how_.log->error(
        fmt::format("the store in '{}' cannot be opened anew: {}", how_.directory, status.ToString()));
  lock.lock();
}

} // namespace dormouse
