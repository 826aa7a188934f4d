#include "store/committer.hpp"

#include "host/own_threads.hpp"

#include <pthread.h>

#include <algorithm>

namespace dormouse {
namespace {

/// One batch is held in memory and in the log whole; a bound keeps a burst of large bodies from becoming one
/// of gigabytes.
constexpr std::size_t max_batch_bytes = std::size_t{8} << 20U;

/// Of a commit, whatever it writes.
constexpr std::size_t commit_bytes = 512;

std::size_t bytes_of(const write_set& writes) {
  std::size_t bytes = 0;
  for (const auto& op : writes)
    bytes += op.key.size() + (op.value ? op.value->size() : 0) + (op.end ? op.end->size() : 0);
  return bytes;
}

} // namespace

group_committer::group_committer(storage_engine& engine, std::shared_ptr<blob_store> blobs)
    : engine_(engine), blobs_(std::move(blobs)) {
  try {
    writer_ended_ = settler_ended_ = false;
    try {
      writer_ = std::thread([this] { run(); });
    } catch (...) {
      writer_ended_ = settler_ended_ = true;
      throw;
    }
    try {
      settler_ = std::thread([this] { run_settler(); });
    } catch (...) {
      settler_ended_ = true;
      throw;
    }
  } catch (...) {
    drain();
    throw;
  }
}

group_committer::~group_committer() { drain(); }

void group_committer::submit(std::unique_ptr<pending_commit> commit) {
  commit->bytes_ = commit_bytes + bytes_of(commit->writes) + commit->more_bytes;
  bytes_.fetch_add(commit->bytes_, std::memory_order_relaxed);
  {
    std::lock_guard guard(mutex_);
    if (!stopping_) return take(std::move(commit));
  }
  bytes_.fetch_sub(commit->bytes_, std::memory_order_relaxed);
  commit->settle(fail(errc::stopped, "the runtime has stopped; nothing was committed"));
}

/// Under the lock.
void group_committer::take(std::unique_ptr<pending_commit> commit) {
  if (commit->number_ == 0) commit->number_ = ++last_number_;
  auto* gate = commit->gate.get();
  if (gate != nullptr && gate->held_) {
    gate->behind_.push_back(std::move(commit));
    return;
  }
  if (commit->behind_files && is_held_before(*commit)) {
    behind_files_.push_back(std::move(commit));
    return;
  }
  const auto is_durable = [](const blob_writer_ptr& file) { return file->is_durable(); };
  if (!std::all_of(commit->new_blobs.begin(), commit->new_blobs.end(), is_durable)) {
    if (gate != nullptr) gate->held_ = true;
    auto* of = commit.get();
    held_.emplace(of, std::move(commit));
    return blobs_->sync(of->new_blobs,
                        [this, of](const expected<void>& outcome) { files_synced(of, outcome); });
  }
  waiting_.push_back(std::move(commit));
  if (waiting_.size() == 1) arrived_.notify_one();
}

/// On the thread of the files.
void group_committer::files_synced(pending_commit* of, const expected<void>& outcome) {
  std::lock_guard guard(mutex_);
  auto commit = std::move(held_.extract(of).mapped());
  if (!outcome) commit->unwritable_ = outcome.error();
  const auto gate = commit->gate;
  waiting_.push_back(std::move(commit));
  if (gate) {
    gate->held_ = false;
    for (auto& behind : std::exchange(gate->behind_, {}))
      take(std::move(behind)); // behind another one that is held, it waits again
  }
  release_barriers();
  arrived_.notify_one();
}

bool group_committer::is_held_before(const pending_commit& barrier) const {
  return std::any_of(held_.begin(), held_.end(),
                     [&barrier](const auto& each) { return each.second->number_ < barrier.number_; });
}

/// Not what was submitted behind a barrier: while large bodies keep coming there is always something held.
void group_committer::release_barriers() {
  auto first = behind_files_.begin();
  for (; first != behind_files_.end() && !is_held_before(**first); ++first)
    waiting_.push_back(std::move(*first));
  behind_files_.erase(behind_files_.begin(), first);
}

void group_committer::drain() {
  while (!drain_until(std::chrono::steady_clock::now() + std::chrono::hours(1))) {
  }
}

bool group_committer::drain_until(std::chrono::steady_clock::time_point deadline) {
  {
    std::unique_lock lock(mutex_);
    stopping_ = true;
    arrived_.notify_one();
    if (!ended_.wait_until(lock, deadline, [this] { return writer_ended_; })) return false;
  }
  {
    std::unique_lock lock(settle_mutex_);
    settler_stopping_ = true;
    settle_changed_.notify_all();
    if (!settle_changed_.wait_until(lock, deadline, [this] { return settler_ended_; })) return false;
  }
  if (writer_.joinable()) writer_.join();
  if (settler_.joinable()) settler_.join();
  return true;
}

void group_committer::run() {
  mark_own_thread();
  ::pthread_setname_np(::pthread_self(), "dormouse.commit");
  for (;;) {
    batch taken;
    {
      std::unique_lock lock(mutex_);
      arrived_.wait(lock, [this] { return !waiting_.empty() || (stopping_ && held_.empty()); });
      if (waiting_.empty()) {
        writer_ended_ = true;
        ended_.notify_all();
        return;
      }
      taken.swap(waiting_);
    }
    write(taken);
  }
}

void group_committer::write(batch& taken) {
  auto next = taken.begin();
  while (next != taken.end()) {
    auto end = next;
    std::size_t bytes = 0;
    while (end != taken.end() && (end == next || bytes < max_batch_bytes))
      bytes += bytes_of((*end++)->writes);
    const bool all = next == taken.begin() && end == taken.end();
    pass_on(write_slice(all ? std::move(taken)
                            : batch(std::make_move_iterator(next), std::make_move_iterator(end))));
    if (all) return;
    next = end;
  }
}

group_committer::written group_committer::write_slice(batch slice) {
  sets_.clear();
  written done{std::move(slice), {}, {}};
  done.tainted.resize(done.commits.size());
  for (std::size_t i = 0; i < done.commits.size(); ++i) {
    const auto& commit = *done.commits[i];
    if (commit.unwritable_ && commit.gate)
      commit.gate->failed.store(true, std::memory_order_release); // before those behind it are looked at
    if (commit.unwritable_ || (commit.gate && commit.gate->failed.load(std::memory_order_acquire)))
      done.tainted[i] = true;
    else if (!commit.writes.empty())
      sets_.push_back(&commit.writes);
  }
  if (!sets_.empty()) {
    done.outcome = engine_.write(sets_);
    syncs_.fetch_add(1, std::memory_order_relaxed);
    if (done.outcome) commits_.fetch_add(sets_.size(), std::memory_order_relaxed);
  }
  for (std::size_t i = 0; i < done.commits.size(); ++i)
    if (!done.tainted[i]) settle_blobs(*done.commits[i], done.outcome);
  if (done.outcome && !sets_.empty() && blobs_) blobs_->commit_succeeded();
  if (done.outcome) return done;
  // Before anything is settled: what is submitted from now on by an activation that has failed must already
  // see it.
  for (const auto& commit : done.commits)
    if (commit->gate && !commit->writes.empty()) commit->gate->failed.store(true, std::memory_order_release);
  // A barrier in a failed batch saw what the batch did not make durable, if it has a gate.
  for (std::size_t i = 0; i < done.commits.size(); ++i)
    if (const auto& commit = *done.commits[i];
        commit.writes.empty() && commit.gate && commit.gate->failed.load(std::memory_order_acquire))
      done.tainted[i] = true;
  return done;
}

void group_committer::pass_on(written next) {
  bool more = false;
  {
    std::lock_guard guard(mutex_);
    more = !waiting_.empty();
  }
  std::unique_lock lock(settle_mutex_);
  if (!more && !to_settle_) {
    lock.unlock();
    return settle(next);
  }
  settle_changed_.wait(lock, [this] { return !to_settle_; });
  to_settle_ = std::move(next);
  lock.unlock();
  settle_changed_.notify_all();
}

void group_committer::run_settler() {
  mark_own_thread();
  ::pthread_setname_np(::pthread_self(), "dormouse.settle");
  std::unique_lock lock(settle_mutex_);
  for (;;) {
    settle_changed_.wait(lock, [this] { return settler_stopping_ || to_settle_; });
    if (!to_settle_) {
      settler_ended_ = true;
      settle_changed_.notify_all();
      return;
    }
    lock.unlock();
    settle(*to_settle_); // the writer leaves it alone until it is empty
    lock.lock();
    to_settle_.reset();
    settle_changed_.notify_all();
  }
}

void group_committer::settle(written& done) {
  const expected<void> tainted =
      fail(errc::storage_error,
           "an earlier commit of this object failed; its state went back to the last durable one");
  const expected<void> nothing_written;
  for (std::size_t i = 0; i < done.commits.size(); ++i) {
    auto& commit = done.commits[i];
    bytes_.fetch_sub(commit->bytes_, std::memory_order_relaxed); // before anybody hears of it
    if (commit->unwritable_)
      commit->settle(unexpected<error>(*commit->unwritable_));
    else
      commit->settle(done.tainted[i] ? tainted : commit->writes.empty() ? nothing_written : done.outcome);
    commit.reset();
  }
}

void group_committer::settle_blobs(const pending_commit& commit, const expected<void>& outcome) {
  for (const auto& file : commit.new_blobs) {
    if (outcome)
      file->keep();
    else
      file->doubt();
  }
  if (outcome)
    for (const auto& file : commit.old_blobs)
      blobs_->remove(file);
}

} // namespace dormouse
