/// A store full of schedules: what they cost in memory until they are due, and how fast those fire that are,
/// against raw RocksDB reading the rows that the firings read, one after the other, and writing what they
/// write, in batches of the same size.

#include "measure.hpp"
#include "movable_clock.hpp"
#include "row.hpp"
#include "schedule/schedule_changes.hpp"
#include "store/rocksdb_options.hpp"

#include <dormouse/dormouse.hpp>

#include <fmt/format.h>
#include <rocksdb/db.h>
#include <rocksdb/write_batch.h>

#include <atomic>
#include <cmath>
#include <memory>
#include <semaphore>
#include <thread>

namespace dormouse::bench {
namespace {

constexpr int object_count = 10'000;
constexpr std::uint32_t due_each = 5; ///< of an object's schedules
constexpr std::ptrdiff_t outstanding = 1'000;

class waiter final : public durable_object {
public:
  void plan(std::uint32_t from, std::uint32_t to) {
    for (auto i = from; i < to; ++i)
      schedule<&waiter::on_due>(std::chrono::hours(i < due_each ? 1 : 1'000) + std::chrono::milliseconds(i),
                                std::uint64_t{i});
  }
  void on_due(std::uint64_t number) { sum_ += number + 1; }
  template <class Archive> void serialize(Archive& ar) { ar(sum_); }
  using methods =
      dormouse::methods<"WAITER", method<"plan", &waiter::plan>, method<"on_due", &waiter::on_due>>;

private:
  std::uint64_t sum_ = 0;
};

std::string id_of(int object) { return fmt::format("waiter-{:08}", object); }

void plan_all(runtime& host, std::uint32_t from, std::uint32_t to) {
  std::counting_semaphore<> places(outstanding);
  std::atomic<int> failures{0};
  for (int i = 0; i < object_count; ++i) {
    places.acquire();
    host.get<waiter>(id_of(i)).async_call<&waiter::plan>(
        [&](const expected<void>& done) {
          if (!done) failures.fetch_add(1);
          places.release();
        },
        from, to);
  }
  for (std::ptrdiff_t i = 0; i < outstanding; ++i)
    places.acquire();
  if (failures != 0) throw std::runtime_error(fmt::format("schedules: {} calls failed", failures.load()));
}

/// The least of a second: the store's compactions come and go meanwhile.
double quiet_heap_bytes(const runtime& host) {
  while (host.stats().active_objects != 0)
    std::this_thread::yield();
  auto least = heap_bytes();
  for (const auto start = steady::now(); seconds_since(start) < 1; std::this_thread::yield())
    least = std::min(least, heap_bytes());
  return least;
}

struct result {
  double bytes_each;
  double per_second;
  double per_sync;
  double window_bytes;
};

result run_ours(int count) {
  scratch_directory directory;
  const auto clock = std::make_shared<test::movable_clock>();
  // Small buffers, full long before the first figure is taken.
  runtime host({.directory = directory.path(),
                .clock = clock,
                .idle_after = std::chrono::milliseconds(500),
                .store_buffer_bytes = 4U << 20U});
  host.define<waiter>();
  const auto each = static_cast<std::uint32_t>(count / object_count);
  plan_all(host, 0, each / 5);
  const auto few = quiet_heap_bytes(host);
  plan_all(host, each / 5, each);
  const auto many = quiet_heap_bytes(host);
  const auto before = host.stats();
  if (before.schedules != static_cast<std::uint64_t>(count))
    throw std::runtime_error(fmt::format("schedules: {} are on disk", before.schedules));
  const peak_memory peak;
  const auto start = steady::now();
  clock->advance(std::chrono::hours(2));
  while (host.stats().fired < due_each * object_count)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  const auto took = seconds_since(start);
  const auto after = host.stats();
  return {(many - few) / (count - count / 5.0), due_each * object_count / took,
          static_cast<double>(after.commits - before.commits) /
              static_cast<double>(after.syncs - before.syncs),
          peak.growth()};
}

double run_raw(int count, int batch_size) {
  scratch_directory directory;
  rocksdb::DB* opened = nullptr;
  auto status = rocksdb::DB::Open(rocksdb_options({directory.path(), 32U << 20U, 4U << 20U, 128 * 1024}),
                                  directory.path().string(), &opened);
  if (!status.ok()) throw std::runtime_error("schedules: " + status.ToString());
  std::unique_ptr<rocksdb::DB> db(opened);
  const auto each = count / object_count;
  schedule_message what;
  what.method = "on_due";
  what.arguments = encode(std::uint64_t{0});
  const auto row_of = [&](int i) { // the i-th to fire
    what.id.number =
        (std::uint64_t{1} << 40U) + static_cast<std::uint64_t>(i % object_count * each + i / object_count);
    what.tick_ms = what.due_ms = 1'800'000'000'000 + i / object_count;
    return address{"WAITER", id_of(i % object_count)};
  };
  rocksdb::WriteBatch batch;
  for (int i = 0; i < count;) {
    batch.Clear();
    for (int k = 0; k < 10'000 && i < count; ++k, ++i) {
      const auto of = row_of(i);
      const auto key = keys::schedule(of, what.id);
      batch.Put(keys::due(what.due_ms, what.id.number), key);
      batch.Put(key, seal_value(frame_type::schedule, what));
    }
    if (!db->Write({}, &batch).ok()) throw std::runtime_error("schedules: raw write failed");
  }
  rocksdb::WriteOptions durable;
  durable.sync = true;
  const auto start = steady::now();
  constexpr int due = due_each * object_count;
  std::string read;
  for (int i = 0; i < due;) {
    batch.Clear();
    for (int k = 0; k < batch_size && i < due; ++k, ++i) {
      const auto of = row_of(i);
      if (!db->Get({}, keys::schedule(of, what.id), &read).ok())
        throw std::runtime_error("schedules: raw read failed");
      batch.Put(keys::object(of), seal(frame_type::object, encode(static_cast<std::uint64_t>(i))));
      batch.Delete(keys::due(what.due_ms, what.id.number));
      batch.Delete(keys::schedule(of, what.id));
    }
    if (!db->Write(durable, &batch).ok()) throw std::runtime_error("schedules: raw write failed");
  }
  return due / seconds_since(start);
}

} // namespace

std::vector<row> schedules(const settings& how) {
  const int count = how.quick ? 100'000 : 1'000'000;
  const auto mine = run_ours(count);
  const auto raw = run_raw(count, std::max(1, static_cast<int>(std::lround(mine.per_sync))));
  return {
      {"schedules",
       fmt::format(
           "{} on disk, {} due at once in {} objects that are asleep, {:.0f} turns per sync, against raw "
           "RocksDB reading the same rows and writing the same batches; memory at its peak {:.1f} MiB more",
           count, due_each * object_count, object_count, mine.per_sync, mine.window_bytes / (1 << 20)),
       mine.per_second, raw, mine.per_second / raw, "firings/s"},
      {"schedules_memory",
       fmt::format("heap bytes per schedule that waits on disk, from {} to {} of them", count / 5, count),
       mine.bytes_each, 0, 0, "bytes"}};
}

} // namespace dormouse::bench
