/// What a fetch costs when many are queued, over a thousand origins with limits: queue rows read from disk
/// into the window, picked, handed to a worker, answered, stored, delivered and consumed. The network is left
/// out, by a transport that answers at once; everything else is real. A clock that stands still while the
/// queue is filled makes all of them due at one moment.

#include "measure.hpp"
#include "ports/ports.hpp"
#include "row.hpp"

#include <dormouse/dormouse.hpp>

#include <fmt/format.h>
#include <sys/resource.h>

#include <thread>

namespace dormouse::bench {
namespace {

constexpr int origins_in_all = 1'000;
constexpr std::uint32_t batch = 100;

class instant_transport final : public http_transport {
public:
  void start(transfer next, completion done) override {
    transfer_outcome outcome;
    outcome.token = next.token;
    outcome.result = response(200, {}, "ok", next.fetch->url);
    done(std::move(outcome));
  }
  void cancel(std::uint64_t) override {}
};

class asker final : public durable_object {
public:
  void ask(std::uint32_t first, std::uint32_t count) {
    for (auto i = first; i < first + count; ++i)
      fetch(fmt::format("http://o{}.bench.example/{}", i % origins_in_all, i),
            {.delay = std::chrono::minutes(1)})
          .then<&asker::on_answer>();
  }
  void on_answer(fetch_result result) { answers_ += result && result->ok() ? 1U : 0U; }
  std::uint32_t answers() const { return answers_; }
  template <class Archive> void serialize(Archive& ar) { ar(answers_); }
  using methods =
      dormouse::methods<"ASKER", method<"ask", &asker::ask>, method<"on_answer", &asker::on_answer>,
                        method<"answers", &asker::answers>>;

private:
  std::uint32_t answers_ = 0;
};

double cpu_seconds() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

/// Microseconds of processor time per fetch, from all due to all consumed.
double cost(std::uint32_t queued) {
  scratch_directory directory;
  auto clock = std::make_shared<manual_clock>();
  ports outside;
  outside.wrap_transport = [](std::size_t, std::unique_ptr<http_transport>) {
    return std::make_unique<instant_transport>();
  };
  runtime host({.directory = directory.path(),
                .clock = clock,
                .allow = {"*.bench.example"},
                .max_in_flight_per_origin = 8,
                .rate_per_origin = {.per_second = 1e6, .burst = 1e5},
                .circuit_breaker = {.failures = 10}},
               outside);
  host.define<asker>();
  std::vector<object_ref<asker>> askers;
  for (int i = 0; i < 100; ++i)
    askers.push_back(host.get<asker>(std::to_string(i)));
  std::vector<std::future<void>> done;
  for (std::uint32_t i = 0; i < queued; i += batch) {
    done.push_back(askers[(i / batch) % askers.size()].call<&asker::ask>(i, std::min(batch, queued - i)));
    if (done.size() == 64) {
      for (auto& each : done)
        each.get();
      done.clear();
    }
  }
  for (auto& each : done)
    each.get();
  if (host.stats().queued_fetches != queued) throw std::runtime_error("origins: not everything is queued");
  const auto before = cpu_seconds();
  clock->advance(std::chrono::hours(1));
  const auto give_up = steady::now() + std::chrono::minutes(10);
  while (host.stats().delivered < queued && steady::now() < give_up)
    ::usleep(2'000);
  const auto took = cpu_seconds() - before;
  std::uint32_t answers = 0;
  for (const auto& each : askers)
    answers += each.call<&asker::answers>().get();
  if (answers != queued) throw std::runtime_error("origins: an answer is missing");
  return took / queued * 1e6;
}

} // namespace

std::vector<row> origins(const settings& how) {
  const std::uint32_t many = how.quick ? 100'000 : 1'000'000;
  std::vector<double> few;
  for (int i = 0; i < 9; ++i)
    few.push_back(cost(1'000));
  const auto at_many = cost(many);
  return {{"origins",
           fmt::format("processor time per fetch with {} queued over {} origins with limits, no network, "
                       "against the same with 1000 queued",
                       many, origins_in_all),
           at_many, median(few), at_many / median(few), "us"}};
}

} // namespace dormouse::bench
