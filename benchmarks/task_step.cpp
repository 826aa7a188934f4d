/// Durable tasks. Live: steps that each take a turn of their own, one promise after the other resolved from
/// outside, against turns of the same runtime that do nothing but change a state of the same size. Replayed:
/// what a recorded step costs when a frame is made again, against a bare scan over the same rows.

#include "measure.hpp"
#include "row.hpp"
#include "store/keys.hpp"
#include "store/rocksdb_options.hpp"

#include <dormouse/dormouse.hpp>

#include <fmt/format.h>
#include <rocksdb/db.h>

#include <atomic>
#include <memory>
#include <semaphore>
#include <thread>

namespace dormouse::bench {
namespace {

constexpr std::size_t state_bytes = 1024;
constexpr int object_count = 10'000;
constexpr std::ptrdiff_t outstanding = 4'096;

class worker final : public durable_object {
public:
  void add(std::uint32_t amount) {
    if (bytes_.empty()) bytes_.assign(state_bytes, 'x');
    bytes_[amount % bytes_.size()] = static_cast<char>(amount);
    total_ += amount;
  }
  std::uint64_t total() const { return total_; }

  /// A step a turn.
  static task<std::uint64_t> listen(task_context<worker> self, std::uint32_t words) {
    std::uint64_t sum = 0;
    for (std::uint32_t i = 0; i < words; ++i)
      sum += co_await self.promise<std::uint32_t>();
    co_return sum;
  }

  /// Steps that are done at once, and then one that is not.
  static task<std::uint64_t> remember(task_context<worker> self, std::uint32_t steps) {
    std::uint64_t sum = 0;
    for (std::uint32_t i = 0; i < steps; i += 2) {
      sum += co_await self.random();
      sum += co_await self.call<&worker::total>();
    }
    sum += co_await self.promise<std::uint32_t>();
    co_return sum +
        co_await self.promise<std::uint32_t>(); // so that to go on is not to end, and to erase the journal
  }

  template <class Archive> void serialize(Archive& ar) { ar(total_, bytes_); }
  using methods = dormouse::methods<"WORKER", method<"add", &worker::add>, method<"total", &worker::total>,
                                    method<"listen", &worker::listen>, method<"remember", &worker::remember>>;

private:
  std::uint64_t total_ = 0;
  std::string bytes_;
};

/// So many calls at a time; each is told when one has ended.
class paced {
public:
  void acquire() { places_.acquire(); }
  void ended(bool well) {
    if (!well) failures_.fetch_add(1);
    places_.release();
  }
  void wait_for_all() {
    for (std::ptrdiff_t i = 0; i < outstanding; ++i)
      places_.acquire();
    places_.release(outstanding);
    if (failures_ != 0) throw std::runtime_error(fmt::format("task_step: {} calls failed", failures_.load()));
  }

private:
  std::counting_semaphore<> places_{outstanding};
  std::atomic<int> failures_{0};
};

class told final : public reply_sink {
public:
  explicit told(paced& whom) : whom_(whom) {}
  void resolve(expected<std::string>&& reply) override {
    whom_.ended(reply && !reply->empty() && reply->front() == 1);
  }

private:
  paced& whom_;
};

struct live_result {
  double steps_per_second;
  double turns_per_second;
};

live_result run_live(int rounds) {
  scratch_directory directory;
  runtime host({.directory = directory.path(), .idle_after = std::chrono::hours(1)});
  host.define<worker>();
  std::vector<object_ref<worker>> objects;
  for (int i = 0; i < object_count; ++i)
    objects.push_back(host.get<worker>(fmt::format("worker-{:08}", i)));
  paced pace;
  const auto turns = [&](int count) {
    for (int i = 0; i < count; ++i) {
      pace.acquire();
      objects[static_cast<std::size_t>(i % object_count)].async_call<&worker::add>(
          [&pace](const expected<void>& done) { pace.ended(done.has_value()); },
          static_cast<std::uint32_t>(i));
    }
    pace.wait_for_all();
  };
  turns(object_count); // everybody awake, with a full state
  const auto count = rounds * object_count;
  auto start = steady::now();
  turns(count);
  const auto turns_took = seconds_since(start);

  std::vector<std::future<task_id>> starting;
  for (const auto& each : objects)
    starting.push_back(each.start<&worker::listen>(static_cast<std::uint32_t>(rounds + 1)));
  std::vector<task_id> tasks;
  for (auto& each : starting)
    tasks.push_back(each.get());
  start = steady::now();
  for (int round = 0; round < rounds; ++round)
    for (const auto& task : tasks) {
      pace.acquire();
      objects.front().routes()->call(task.object, runtime_methods::settle_step,
                                     encode(step_place{task.number, static_cast<std::uint64_t>(round)},
                                            call_result<std::string>(encode(1U))),
                                     std::make_unique<told>(pace));
    }
  pace.wait_for_all();
  return {count / seconds_since(start), count / turns_took};
}

struct replay_result {
  double ours_us; ///< per recorded step
  double scan_us;
};

replay_result run_replay(std::uint32_t steps, int repetitions) {
  scratch_directory directory;
  std::vector<double> with_many;
  std::vector<double> with_few;
  {
    runtime host({.directory = directory.path(), .idle_after = std::chrono::milliseconds(0)});
    host.define<worker>();
    const auto wake = [&](std::uint32_t many, int number) {
      const auto object = host.get<worker>(fmt::format("{}-{}", many, number));
      const auto task = object.start<&worker::remember>(many).get();
      while (host.stats().active_objects != 0)
        std::this_thread::yield();
      const auto start = steady::now();
      if (!host.tasks().resolve(promise_id<std::uint32_t>({task, many}), 1U).get())
        throw std::runtime_error("task_step: the promise was settled already");
      return seconds_since(start);
    };
    (void)wake(2, -1);
    for (int i = 0; i < repetitions; ++i) {
      with_few.push_back(wake(2, i));
      with_many.push_back(wake(steps, i));
    }
    // One whose rows stay, for the scan.
    (void)host.get<worker>("stays").start<&worker::remember>(steps).get();
    host.stop();
  }
  rocksdb::DB* opened = nullptr;
  const options defaults;
  const auto status =
      rocksdb::DB::Open(rocksdb_options({directory.path(), defaults.store_cache_bytes,
                                         defaults.store_buffer_bytes, defaults.max_inline_bytes}),
                        directory.path().string(), &opened);
  if (!status.ok()) throw std::runtime_error("task_step: " + status.ToString());
  const std::unique_ptr<rocksdb::DB> db(opened);
  std::vector<double> scans;
  for (int i = 0; i < repetitions; ++i) {
    const auto [from, to] = keys::rows_of('J', {"WORKER", "stays"});
    const auto start = steady::now();
    std::size_t rows = 0;
    const std::unique_ptr<rocksdb::Iterator> at(db->NewIterator({}));
    for (at->Seek(from); at->Valid() && at->key().compare(to) < 0; at->Next())
      ++rows;
    if (rows < steps + 1)
      throw std::runtime_error(fmt::format("task_step: {} rows instead of {}", rows, steps + 1));
    scans.push_back(seconds_since(start));
  }
  return {(median(with_many) - median(with_few)) * 1e6 / steps, median(scans) * 1e6 / steps};
}

} // namespace

std::vector<row> task_step(const settings& how) {
  std::vector<double> steps;
  std::vector<double> turns;
  for (int round = 0; round < (how.quick ? 2 : 3); ++round) {
    const auto live = run_live(how.quick ? 10 : 30);
    steps.push_back(live.steps_per_second);
    turns.push_back(live.turns_per_second);
  }
  constexpr std::uint32_t recorded = 5'000;
  const auto replay = run_replay(recorded, how.quick ? 9 : 25);
  return {{"task_step_live",
           fmt::format("a promise resolved, a turn each, {} tasks of objects with a state of 1 KB, fsync on, "
                       "against turns that change the state",
                       object_count),
           median(steps), median(turns), median(steps) / median(turns), "steps/s"},
          {"task_step_replay",
           fmt::format("per recorded step of a journal of {}, from the call that wakes the object, against a "
                       "bare scan of the rows (want <= 2)",
                       recorded),
           replay.ours_us, replay.scan_us, replay.ours_us / replay.scan_us, "us/step"}};
}

} // namespace dormouse::bench
