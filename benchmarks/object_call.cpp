/// Durable calls between objects: one calls another and is answered, each a turn that commits, against raw
/// RocksDB writing the same rows in batches of the same size.

#include "measure.hpp"
#include "row.hpp"
#include "store/keys.hpp"
#include "store/rocksdb_options.hpp"

#include <dormouse/dormouse.hpp>

#include <fmt/format.h>
#include <rocksdb/db.h>
#include <rocksdb/write_batch.h>

#include <atomic>
#include <cmath>
#include <memory>
#include <semaphore>

namespace dormouse::bench {
namespace {

constexpr std::size_t state_bytes = 1024;
constexpr int pair_count = 5'000;
constexpr std::ptrdiff_t outstanding = 4'096;
constexpr int turns_per_call =
    3; ///< that of the call from outside, that of the one that is called, and that of the answer
constexpr std::size_t message_bytes = 150; ///< of a call or an answer in the inbox, about

class account final : public durable_object {
public:
  std::uint64_t add(std::uint32_t amount) {
    if (bytes_.empty()) bytes_.assign(state_bytes, 'x');
    bytes_[amount % bytes_.size()] = static_cast<char>(amount);
    return total_ += amount;
  }
  later<std::uint64_t> ask(object_id<account> other, std::uint32_t amount) {
    add(amount);
    return call<&account::add>(other, amount).then<&account::on_sum>();
  }
  std::uint64_t on_sum(call_result<std::uint64_t> sum) { return add(1) + sum.value(); }

  template <class Archive> void serialize(Archive& ar) { ar(total_, bytes_); }
  using methods = dormouse::methods<"ACCOUNT", method<"add", &account::add>, method<"ask", &account::ask>,
                                    method<"on_sum", &account::on_sum>>;

private:
  std::uint64_t total_ = 0;
  std::string bytes_;
};

std::string caller_id(int i) { return fmt::format("caller-{:08}", i); }
std::string called_id(int i) { return fmt::format("called-{:08}", i); }

struct result {
  double calls_per_second;
  double turns_per_sync;
};

result run_ours(int calls) {
  scratch_directory directory;
  runtime host({.directory = directory.path(), .idle_after = std::chrono::hours(1)});
  host.define<account>();
  std::vector<object_ref<account>> callers;
  for (int i = 0; i < pair_count; ++i)
    callers.push_back(host.get<account>(caller_id(i)));
  std::counting_semaphore<> places(outstanding);
  std::atomic<int> failures{0};
  const auto run = [&](int count) {
    for (int i = 0; i < count; ++i) {
      places.acquire();
      callers[static_cast<std::size_t>(i % pair_count)].async_call<&account::ask>(
          [&](const expected<std::uint64_t>& sum) {
            if (!sum) failures.fetch_add(1);
            places.release();
          },
          object_id<account>(called_id(i % pair_count)), static_cast<std::uint32_t>(i));
    }
    for (std::ptrdiff_t i = 0; i < outstanding; ++i)
      places.acquire();
    places.release(outstanding);
  };
  run(pair_count); // everybody awake, with a full state
  const auto before = host.stats();
  const auto start = steady::now();
  run(calls);
  const auto took = seconds_since(start);
  const auto after = host.stats();
  if (failures != 0) throw std::runtime_error(fmt::format("object_call: {} calls failed", failures.load()));
  return {calls / took, static_cast<double>(after.commits - before.commits) /
                            static_cast<double>(after.syncs - before.syncs)};
}

/// In each batch as many of each of the three turns.
double run_raw(int calls, int turns_per_batch) {
  scratch_directory directory;
  const options defaults;
  rocksdb::DB* opened = nullptr;
  auto status = rocksdb::DB::Open(rocksdb_options({directory.path(), defaults.store_cache_bytes,
                                                   defaults.store_buffer_bytes, defaults.max_inline_bytes}),
                                  directory.path().string(), &opened);
  if (!status.ok()) throw std::runtime_error("object_call: " + status.ToString());
  std::unique_ptr<rocksdb::DB> db(opened);
  std::string state(frame_header_bytes + 16 + state_bytes, 'x');
  const std::string message(message_bytes, 'm');
  rocksdb::WriteOptions durable;
  durable.sync = true;
  rocksdb::WriteBatch batch;
  const auto per_batch = std::max(1, turns_per_batch / turns_per_call);
  std::uint64_t id = 1;
  const auto run = [&](int count) {
    for (int i = 0; i < count;) {
      batch.Clear();
      for (int k = 0; k < per_batch && i < count; ++k, ++i) {
        const address caller{"ACCOUNT", caller_id(i % pair_count)};
        const address called{"ACCOUNT", called_id(i % pair_count)};
        state[static_cast<std::size_t>(i) % state.size()] = static_cast<char>(i);
        const auto call = keys::inbox(called, id++);
        const auto answer = keys::inbox(caller, id++);
        batch.Put(keys::object(caller), state);
        batch.Put(call, message);
        batch.Put(keys::object(called), state);
        batch.Delete(call);
        batch.Put(answer, message);
        batch.Put(keys::object(caller), state);
        batch.Delete(answer);
      }
      if (!db->Write(durable, &batch).ok()) throw std::runtime_error("object_call: raw write failed");
    }
  };
  run(pair_count);
  const auto start = steady::now();
  run(calls);
  return calls / seconds_since(start);
}

} // namespace

std::vector<row> object_call(const settings& how) {
  const int calls = how.quick ? 60'000 : 200'000;
  std::vector<double> ours;
  std::vector<double> limit;
  double group = 0;
  for (int round = 0; round < 3; ++round) {
    const auto mine = run_ours(calls);
    group = mine.turns_per_sync;
    ours.push_back(mine.calls_per_second);
    limit.push_back(run_raw(calls, std::max(1, static_cast<int>(std::lround(group)))));
  }
  return {{"object_call",
           fmt::format("a call and its answer, {} turns that commit, states of 1 KB, {} pairs, fsync on, "
                       "{:.0f} turns per sync, against raw RocksDB in the same batches",
                       turns_per_call, pair_count, group),
           median(ours), median(limit), median(ours) / median(limit), "calls/s"}};
}

} // namespace dormouse::bench
