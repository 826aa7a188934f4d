#include "store/committer.hpp"

namespace dormouse {
namespace {

/// One batch is held in memory and in the log whole; a bound keeps a burst of large bodies from becoming one of gigabytes.
constexpr std::size_t max_batch_bytes = std::size_t{8} << 20U;

std::size_t bytes_of(const write_set& writes) {
  std::size_t bytes = 0;
  for (const auto& op : writes)
    bytes += op.key.size() + (op.value ? op.value->size() : 0);
  return bytes;
}

} // namespace

group_committer::group_committer(storage_engine& engine) : engine_(engine), thread_([this] { run(); }) {}

group_committer::~group_committer() {
  drain();
}

void group_committer::submit(std::unique_ptr<pending_commit> commit) {
  {
    std::lock_guard guard(mutex_);
    if (!stopping_) {
      waiting_.push_back(std::move(commit));
      if (waiting_.size() == 1)
        arrived_.notify_one();
      return;
    }
  }
  commit->settle(fail(errc::stopped, "the runtime has stopped; nothing was committed"));
}

void group_committer::drain() {
  {
    std::lock_guard guard(mutex_);
    stopping_ = true;
  }
  arrived_.notify_one();
  if (thread_.joinable())
    thread_.join();
}

void group_committer::run() {
  batch taken;
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      arrived_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
      if (waiting_.empty())
        return;
      taken.swap(waiting_);
    }
    write(taken);
    taken.clear();
  }
}

void group_committer::write(batch& taken) {
  std::span<std::unique_ptr<pending_commit>> rest(taken);
  while (!rest.empty()) {
    std::size_t count = 0;
    std::size_t bytes = 0;
    while (count < rest.size() && (count == 0 || bytes < max_batch_bytes))
      bytes += bytes_of(rest[count++]->writes);
    write_slice(rest.first(count));
    rest = rest.subspan(count);
  }
}

void group_committer::write_slice(std::span<std::unique_ptr<pending_commit>> slice) {
  sets_.clear();
  std::vector<bool> refused(slice.size());
  for (std::size_t i = 0; i < slice.size(); ++i) {
    const auto& commit = *slice[i];
    if (commit.gate && commit.gate->failed.load(std::memory_order_acquire))
      refused[i] = true;
    else if (!commit.writes.empty())
      sets_.push_back(&commit.writes);
  }
  expected<void> outcome;
  if (!sets_.empty()) {
    outcome = engine_.write(sets_);
    syncs_.fetch_add(1, std::memory_order_relaxed);
    if (outcome)
      commits_.fetch_add(sets_.size(), std::memory_order_relaxed);
  }
  // Before anything is settled: what is submitted from now on by an activation that has failed must already see it.
  if (!outcome)
    for (const auto& commit : slice)
      if (commit->gate && !commit->writes.empty())
        commit->gate->failed.store(true, std::memory_order_release);
  const expected<void> tainted = fail(errc::storage_error, "an earlier commit of this object failed; its state went back to the last durable one");
  for (std::size_t i = 0; i < slice.size(); ++i) {
    // A barrier in a failed batch saw what the batch did not make durable, if it has a gate.
    bool spoiled = refused[i] || (slice[i]->writes.empty() && slice[i]->gate && slice[i]->gate->failed.load(std::memory_order_acquire));
    slice[i]->settle(spoiled ? tainted : slice[i]->writes.empty() ? expected<void>{} : outcome);
    slice[i].reset();
  }
}

} // namespace dormouse
