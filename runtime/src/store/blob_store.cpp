#include "store/blob_store.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

namespace dormouse {
namespace {

/// As `store::next_id`: the epoch is above the count.
constexpr unsigned epoch_shift = 40;

constexpr std::size_t read_bytes = std::size_t{128} << 10U;

/// Of one batch: the first in it waits for the last.
constexpr std::uint64_t most_bytes_per_sync = std::uint64_t{64} << 20U;

/// Files removed or looked up between two looks at what is to be removed.
constexpr std::size_t files_at_once = 64;

std::string message_of(int number) { return std::generic_category().message(number); }

/// The entry of a new file or folder is on the disk only when its folder is.
int sync_directory(const std::filesystem::path& directory) {
  const int descriptor = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return errno;
  const int failed = ::fsync(descriptor) == 0 ? 0 : errno;
  ::close(descriptor);
  return failed;
}

} // namespace

expected<std::shared_ptr<blob_store>> blob_store::open(const std::filesystem::path& directory,
                                                       std::uint64_t epoch, std::size_t memory_bytes) {
  const auto folder = directory / "blobs";
  std::error_code made;
  const bool is_new = std::filesystem::create_directories(folder, made);
  if (std::error_code unseen; made || !std::filesystem::is_directory(folder, unseen))
    return fail(errc::directory_unusable, fmt::format("folder '{}' cannot be created: {}", folder.string(),
                                                      made ? made.message() : "it is not a directory"));
  if (::access(folder.c_str(), R_OK | W_OK | X_OK) != 0)
    return fail(errc::directory_unusable,
                fmt::format("folder '{}' is not readable and writable for this process", folder.string()));
  if (const int failed = is_new ? sync_directory(directory) : 0)
    return fail(errc::directory_unusable,
                fmt::format("folder '{}' cannot be synced: {}", directory.string(), message_of(failed)));
  return std::shared_ptr<blob_store>(new blob_store(folder, epoch, memory_bytes));
}

blob_store::blob_store(std::filesystem::path folder, std::uint64_t epoch, std::size_t memory_bytes)
    : folder_(std::move(folder)),
      epoch_(epoch),
      memory_(std::make_shared<body_memory>(memory_bytes)),
      next_number_((epoch << epoch_shift) | 1) {
  try {
    syncs_ = std::thread([this] { run_syncs(); });
    removals_ = std::thread([this] { run_removals(); });
  } catch (...) {
    close();
    throw;
  }
}

blob_store::~blob_store() { close(); }

blob_writer_ptr blob_store::create(std::uint64_t fetch_id, blob_side side) {
  const blob_ref name{fetch_id, side, next_number_.fetch_add(1, std::memory_order_relaxed), 0, 0};
  return std::make_shared<blob_writer>(shared_from_this(), name, path_of(name));
}

blob_writer_ptr blob_store::link(blob_writer& body, std::uint64_t fetch_id, blob_side side) {
  if (!body.write_out()) return nullptr;
  const blob_ref name{fetch_id, side, next_number_.fetch_add(1, std::memory_order_relaxed), body.ref().bytes,
                      body.ref().crc};
  if (::link(path_of(body.ref()).c_str(), path_of(name).c_str()) != 0) return nullptr;
  return std::make_shared<blob_writer>(shared_from_this(), name, path_of(name));
}

blob_reader blob_store::read(const blob_ref& what) { return {shared_from_this(), what, path_of(what)}; }

expected<std::string> blob_store::load(const blob_ref& what) {
  if (auto kept = memory_->take(what.number)) return std::move(*kept);
  auto file = read(what);
  if (auto begun = file.begin(); !begun) return unexpected<error>(begun.error());
  // In pieces: each is checked and copied while it is in the processor's cache, and nothing is zeroed first.
  std::string whole;
  whole.reserve(what.bytes); // as many as the file has: `begin` has compared
  std::vector<char> piece(std::min<std::size_t>(read_bytes, what.bytes));
  for (;;) {
    auto got = file.read(piece);
    if (!got) return unexpected<error>(got.error());
    if (*got == 0) return whole;
    whole.append(piece.data(), *got);
  }
}

void blob_store::sync(std::vector<blob_writer_ptr> files, std::function<void(const expected<void>&)> done) {
  std::lock_guard guard(mutex_);
  jobs_.push_back({std::move(files), std::move(done)});
  arrived_.notify_one();
}

void blob_store::write_ahead(blob_writer_ptr file, std::size_t upto) {
  std::lock_guard guard(mutex_);
  if (stopping_) return;
  ahead_.emplace_back(std::move(file), upto);
  arrived_.notify_one();
}

void blob_store::remove(const blob_ref& what) noexcept {
  {
    std::lock_guard guard(mutex_);
    if (!stopping_) {
      unwanted_.push_back(what);
      to_remove_.notify_one();
      return;
    }
  }
  remove_now(what);
}

void blob_store::remove_after_a_commit(const blob_ref& what) noexcept {
  std::lock_guard guard(mutex_);
  doubtful_.push_back(what);
  any_doubtful_.store(true, std::memory_order_relaxed);
}

void blob_store::commit_succeeded() noexcept {
  if (!any_doubtful_.load(std::memory_order_relaxed)) return;
  std::lock_guard guard(mutex_);
  unwanted_.insert(unwanted_.end(), doubtful_.begin(), doubtful_.end());
  doubtful_.clear();
  any_doubtful_.store(false, std::memory_order_relaxed);
  to_remove_.notify_one();
}

void blob_store::remove_orphans(claim is_named) {
  std::lock_guard guard(mutex_);
  is_named_ = std::move(is_named);
  to_remove_.notify_one();
}

void blob_store::close() {
  {
    std::lock_guard guard(mutex_);
    stopping_ = true;
  }
  arrived_.notify_one();
  to_remove_.notify_one();
  for (auto* thread : {&syncs_, &removals_})
    if (thread->joinable()) thread->join();
  closed_.store(true, std::memory_order_relaxed);
}

// --- the threads -------------------------------------------------------------------------------------------

void blob_store::run_syncs() {
  ::pthread_setname_np(::pthread_self(), "dormouse.files");
  for (;;) {
    std::deque<std::pair<blob_writer_ptr, std::size_t>> ahead;
    std::vector<sync_job> jobs;
    {
      std::unique_lock lock(mutex_);
      arrived_.wait(lock, [this] { return stopping_ || !jobs_.empty() || !ahead_.empty(); });
      ahead.swap(ahead_);
      jobs = take_jobs();
    }
    if (jobs.empty() && ahead.empty()) return;
    for (const auto& [file, upto] : ahead)
      file->write_ahead(upto);
    ahead.clear(); // one that nobody else has any more goes
    sync_jobs(jobs);
  }
}

void blob_store::run_removals() {
  ::pthread_setname_np(::pthread_self(), "dormouse.unlink");
  for (;;) {
    std::vector<blob_ref> unwanted;
    bool walks = false;
    {
      std::unique_lock lock(mutex_);
      to_remove_.wait(lock, [this] { return stopping_ || !unwanted_.empty() || is_named_; });
      for (; !unwanted_.empty() && unwanted.size() < files_at_once; unwanted_.pop_front())
        unwanted.push_back(unwanted_.front());
      walks = is_named_ && !stopping_;
    }
    if (unwanted.empty() && !walks) break;
    for (const auto& what : unwanted)
      remove_now(what);
    if (walks) remove_some_orphans();
  }
  walk_.reset();
  is_named_ = nullptr;
}

std::vector<blob_store::sync_job> blob_store::take_jobs() {
  std::vector<sync_job> taken;
  for (std::uint64_t bytes = 0; !jobs_.empty() && bytes < most_bytes_per_sync; jobs_.pop_front()) {
    for (const auto& file : jobs_.front().files)
      bytes += file->ref().bytes;
    taken.push_back(std::move(jobs_.front()));
  }
  return taken;
}

void blob_store::sync_jobs(std::vector<sync_job>& jobs) {
  if (jobs.empty()) return;
  for (const auto& job : jobs)
    for (const auto& file : job.files)
      file->begin_sync();
  std::vector<expected<void>> outcomes(jobs.size());
  for (std::size_t i = 0; i < jobs.size(); ++i)
    for (const auto& file : jobs[i].files)
      if (auto synced = file->sync(); !synced && outcomes[i]) outcomes[i] = synced;
  const auto folder = sync_folder();
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    if (outcomes[i]) outcomes[i] = folder;
    if (outcomes[i])
      for (const auto& file : jobs[i].files)
        file->note_durable();
    jobs[i].done(outcomes[i]);
  }
}

expected<void> blob_store::sync_folder() const {
  if (const int failed = sync_directory(folder_))
    return fail(errc::storage_error,
                fmt::format("folder '{}' cannot be synced: {}", folder_.string(), message_of(failed)));
  return {};
}

void blob_store::remove_now(const blob_ref& what) const noexcept {
  (void)memory_->take(what.number);
  ::unlink(path_of(what).c_str()); // should it fail, the next start finds a file without a row
}

void blob_store::remove_some_orphans() {
  claim is_named;
  {
    std::lock_guard guard(mutex_);
    is_named = is_named_;
  }
  std::error_code failed;
  if (!walk_) walk_.emplace(folder_, failed);
  for (std::size_t seen = 0;
       seen < files_at_once && !failed && *walk_ != std::filesystem::directory_iterator();
       walk_->increment(failed), ++seen) {
    const auto name = parse_blob_name((*walk_)->path().filename().native());
    if (!name || name->number >> epoch_shift >= epoch_) continue;
    if (auto named = is_named(*name); named && !*named) remove_now(*name);
  }
  if (!failed && *walk_ != std::filesystem::directory_iterator()) return;
  walk_.reset();
  std::lock_guard guard(mutex_);
  is_named_ = nullptr;
}

} // namespace dormouse
