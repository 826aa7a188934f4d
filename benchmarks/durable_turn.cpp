/// Committing turns, fsync on, against raw RocksDB writing the same rows in batches of the same size.

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
constexpr int object_count = 10'000;
constexpr std::ptrdiff_t outstanding = 4'096;

class ledger final : public durable_object {
public:
  void add(std::uint32_t amount) {
    if (bytes_.empty()) bytes_.assign(state_bytes, 'x');
    bytes_[amount % bytes_.size()] = static_cast<char>(amount);
    total_ += amount;
  }
  template <class Archive> void serialize(Archive& ar) { ar(total_, bytes_); }
  using methods = dormouse::methods<"LEDGER", method<"add", &ledger::add>>;

private:
  std::uint64_t total_ = 0;
  std::string bytes_;
};

struct result {
  double turns_per_second;
  double turns_per_sync;
};

result run_ours(int turns) {
  scratch_directory directory;
  runtime host({.directory = directory.path(), .idle_after = std::chrono::hours(1)});
  host.define<ledger>();
  std::vector<object_ref<ledger>> objects;
  for (int i = 0; i < object_count; ++i)
    objects.push_back(host.get<ledger>(fmt::format("ledger-{:08}", i)));
  std::counting_semaphore<> places(outstanding);
  std::atomic<int> failures{0};
  const auto run = [&](int count) {
    for (int i = 0; i < count; ++i) {
      places.acquire();
      objects[static_cast<std::size_t>(i % object_count)].async_call<&ledger::add>(
          [&](const expected<void>& done) {
            if (!done) failures.fetch_add(1);
            places.release();
          },
          static_cast<std::uint32_t>(i));
    }
    for (std::ptrdiff_t i = 0; i < outstanding; ++i)
      places.acquire();
    places.release(outstanding);
  };
  run(object_count); // everybody awake, with a full state
  const auto before = host.stats();
  const auto start = steady::now();
  run(turns);
  const auto took = seconds_since(start);
  const auto after = host.stats();
  if (failures != 0) throw std::runtime_error(fmt::format("durable_turn: {} turns failed", failures.load()));
  return {turns / took, static_cast<double>(after.commits - before.commits) /
                            static_cast<double>(after.syncs - before.syncs)};
}

double run_raw(int turns, int batch_size) {
  scratch_directory directory;
  const options defaults;
  rocksdb::DB* opened = nullptr;
  auto status = rocksdb::DB::Open(rocksdb_options({directory.path(), defaults.store_cache_bytes,
                                                   defaults.store_buffer_bytes, defaults.max_inline_bytes}),
                                  directory.path().string(), &opened);
  if (!status.ok()) throw std::runtime_error("durable_turn: " + status.ToString());
  std::unique_ptr<rocksdb::DB> db(opened);
  std::vector<std::string> keys;
  for (int i = 0; i < object_count; ++i)
    keys.push_back(keys::object({"LEDGER", fmt::format("ledger-{:08}", i)}));
  std::string value(frame_header_bytes + 16 + state_bytes, 'x');
  rocksdb::WriteOptions durable;
  durable.sync = true;
  rocksdb::WriteBatch batch;
  const auto run = [&](int count) {
    for (int i = 0; i < count;) {
      batch.Clear();
      for (int k = 0; k < batch_size && i < count; ++k, ++i) {
        value[static_cast<std::size_t>(i) % value.size()] = static_cast<char>(i);
        batch.Put(keys[static_cast<std::size_t>(i % object_count)], value);
      }
      if (!db->Write(durable, &batch).ok()) throw std::runtime_error("durable_turn: raw write failed");
    }
  };
  run(object_count);
  const auto start = steady::now();
  run(turns);
  return turns / seconds_since(start);
}

} // namespace

std::vector<row> durable_turn(const settings& how) {
  const int turns = how.quick ? 150'000 : 400'000;
  std::vector<double> ours;
  std::vector<double> limit;
  double group = 0;
  for (int round = 0; round < 3; ++round) {
    const auto mine = run_ours(turns);
    group = mine.turns_per_sync;
    ours.push_back(mine.turns_per_second);
    limit.push_back(run_raw(turns, std::max(1, static_cast<int>(std::lround(group)))));
  }
  return {{"durable_turn",
           fmt::format("1 KB state, {} objects, fsync on, {} outstanding, {:.0f} turns per sync, against raw "
                       "RocksDB in the same batches",
                       object_count, outstanding, group),
           median(ours), median(limit), median(ours) / median(limit), "turns/s"}};
}

} // namespace dormouse::bench
