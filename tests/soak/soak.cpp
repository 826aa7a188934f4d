// Everything a runtime does, at once and for long: memory, descriptors and the disk have to stay as they are
// when it has warmed up, and in the end nothing may be left over.
//
//   dormouse_soak [--seconds N]     as long as DORMOUSE_SOAK_SECONDS says if not said here, else 5 s
//
// Objects come and go, and some are destroyed. They fetch from 100,000 origins, some of which only fail, keep
// cookies, have schedules and tasks, call each other, get calls with idempotency keys, and abort fetches. All
// origins are names that one server answers for, as an HTTP proxy.
//
// Prints a line a second, and FAILED with a reason for each thing that has grown.

#include "eventually.hpp"
#include "outcome.hpp"
#include "upstream/upstream_server.hpp"

#include <dormouse/dormouse.hpp>

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace dormouse::test::soak {

using namespace std::chrono_literals;
using std::chrono::steady_clock;

namespace {

constexpr std::uint64_t origins = 100'000;
constexpr std::uint64_t objects = 5'000;
constexpr std::uint64_t keys_of_the_server = 500; // which counts what it is asked, by key
constexpr std::size_t most_calls = 64;            // under way
constexpr double mib = 1024.0 * 1024.0;

std::string origin_of_step(std::uint64_t step) {
  return "http://h" + std::to_string(step * 7'919 % origins) + ".soak.test";
}

class drone : public durable_object {
public:
  /// A step of the soak: something of each kind, in turn.
  std::uint64_t work(std::uint64_t step) {
    const auto url = origin_of_step(step) + "/k/" + std::to_string(step % keys_of_the_server);
    const fetch_init once{.timeout = 10s, .retry = {.max_retries = 0}};
    switch (step % 8) {
    case 0:
      fetch(url + "?bytes=200", once).then<&drone::on_page>(step);
      break;
    case 1:
      fetch(url + "?status=500", once).then<&drone::on_page>(step);
      break;
    case 2: {
      auto mine = browser();
      mine.set_cookie("c" + std::to_string(step % 50), std::string(100, 'c'), {.url = url});
      mine.fetch(url + "?bytes=5000", once).then<&drone::on_page>(step);
      break;
    }
    case 3:
      schedule<&drone::tick>({.at = 1ms, .name = "tick"}, step);
      schedule<&drone::tick>({.at = 24h, .name = "later"}, step);
      break;
    case 4:
      start<&drone::errand>(step);
      break;
    case 5: {
      abort_controller stop;
      for (int i = 0; i < 3; ++i)
        fetch(url, {.delay = 1h, .signal = stop.signal()}).then<&drone::on_page>(step);
      abort(stop, "enough");
      break;
    }
    case 6:
      fetch(url + "?bytes=300000", once).then<&drone::on_page>(step);
      storage().put("row" + std::to_string(step % 20), std::string(500, 'r'));
      break;
    default:
      call<&drone::size>(object_id<drone>(std::to_string(step % objects)))
          .within(10s)
          .then<&drone::on_size>();
      break;
    }
    return ++steps_;
  }
  void on_page(fetch_result result, std::uint64_t) { bytes_ += result ? result->text().size() : 0; }
  void on_size(call_result<std::uint64_t>) { ++steps_; }
  std::uint64_t size() { return ++steps_; }
  void tick(std::uint64_t) { ++steps_; }
  void end() { destroy(); }

  static task<std::uint64_t> errand(task_context<drone> self, std::uint64_t step) {
    const auto number = co_await self.random();
    co_await self.sleep_for(5ms);
    auto url = origin_of_step(step) + "/k/" + std::to_string(number % keys_of_the_server);
    const fetch_init once{.timeout = 10s, .retry = {.max_retries = 0}};
    std::uint64_t bytes = 0;
    try {
      auto asked = self.fetch(url, once);
      auto page = co_await asked;
      bytes = page.text().size();
    } catch (const fetch_failed&) {
      bytes = 1; // an open circuit
    }
    co_await self.call<&drone::tick>(step);
    co_return bytes;
  }

  template <class Archive> void serialize(Archive& ar) { ar(steps_, bytes_); }
  using methods = dormouse::methods<"DRONE", method<"work", &drone::work>, method<"on_page", &drone::on_page>,
                                    method<"on_size", &drone::on_size>, method<"size", &drone::size>,
                                    method<"tick", &drone::tick>, method<"end", &drone::end>,
                                    method<"errand", &drone::errand>>;

private:
  std::uint64_t steps_ = 0;
  std::uint64_t bytes_ = 0;
};

struct sample {
  double resident = 0;
  double descriptors = 0;
  double disk = 0;
};

sample look(const std::filesystem::path& directory) {
  sample out;
  std::uint64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages >> pages; // the second figure
  out.resident = static_cast<double>(pages) * static_cast<double>(::sysconf(_SC_PAGESIZE));
  std::error_code gone;
  for (std::filesystem::directory_iterator each("/proc/self/fd", gone), end; each != end;
       each.increment(gone))
    ++out.descriptors;
  for (std::filesystem::recursive_directory_iterator each(directory, gone), end; !gone && each != end;
       each.increment(gone)) {
    std::error_code vanished;
    const auto bytes = std::filesystem::is_regular_file(each->path(), vanished)
                           ? std::filesystem::file_size(each->path(), vanished)
                           : 0;
    if (!vanished) out.disk += static_cast<double>(bytes);
  }
  return out;
}

/// The middle one of a part of the samples.
double middle(const std::vector<sample>& all, double from, double to, double sample::*what) {
  std::vector<double> part;
  for (std::size_t i = 0; i < all.size(); ++i)
    if (const auto place = static_cast<double>(i) / static_cast<double>(all.size());
        place >= from && place < to)
      part.push_back(all[i].*what);
  if (part.empty()) return 0;
  std::nth_element(part.begin(), part.begin() + static_cast<std::ptrdiff_t>(part.size() / 2), part.end());
  return part[part.size() / 2];
}

class soak {
public:
  explicit soak(std::chrono::seconds length) : length_(length) {
    upstream_.start();
    running_.emplace(settings());
    running_->define<drone>();
  }

  int run() {
    const auto began = steady_clock::now();
    auto next_look = began;
    while (steady_clock::now() < began + length_) {
      step();
      if (steady_clock::now() < next_look) continue;
      samples_.push_back(look(directory_.path()));
      print(steady_clock::now() - began);
      next_look += 1s;
    }
    while (!calls_.empty())
      take_oldest();
    check_growth();
    check_rest();
    std::cout << steps_ << " steps, " << refused_ << " calls refused, " << failures_ << " failures\n";
    return failures_ == 0 ? 0 : 1;
  }

private:
  options settings() const {
    return {.directory = directory_.path(),
            .allow = {"*.soak.test"},
            .idle_after = 100ms,
            .task_results_kept_for = 500ms,
            .call_results_kept_for = 500ms,
            .circuit_breaker = {.failures = 3, .open_for = 500ms},
            .proxy = upstream_.url(),
            .store_cache_bytes = std::size_t{8} << 20U,
            .store_buffer_bytes = std::size_t{4} << 20U};
  }

  void step() {
    while (calls_.size() >= most_calls)
      take_oldest();
    const auto number = steps_++;
    auto it = running_->get<drone>(std::to_string(number * 31 % objects));
    if (number % 11 == 0)
      calls_.push_back(
          it.with({.idempotency_key = "key" + std::to_string(number)}).call<&drone::work>(number));
    else
      calls_.push_back(it.call<&drone::work>(number));
    if (number % 97 == 0) calls_.push_back(it.call<&drone::size>());
    if (number % 301 == 0) ends_.push_back(it.call<&drone::end>());
    if (ends_.size() > most_calls) {
      value_of(std::move(ends_.front()));
      ends_.pop_front();
    }
  }

  void take_oldest() {
    try {
      (void)value_of(std::move(calls_.front()));
    } catch (const failure& e) {
      ++refused_;
      if (e.code() != errc::overloaded && e.code() != errc::queue_full)
        fail_with(std::string("a call failed: ") + e.what());
    }
    calls_.pop_front();
  }

  void print(steady_clock::duration since) const {
    const auto now = running_->stats();
    const auto& last = samples_.back();
    std::cout << std::chrono::duration_cast<std::chrono::seconds>(since).count() << " s: " << steps_
              << " steps, " << last.resident / mib << " MiB resident, " << last.descriptors
              << " descriptors, " << last.disk / mib << " MiB on disk, " << now.active_objects << " objects, "
              << now.awake_tasks << " tasks, " << now.queued_fetches << " fetches, " << now.schedules
              << " schedules, " << now.origins.size() << " origins\n";
  }

  void fail_with(const std::string& why) {
    if (++failures_ <= 20) std::cout << "FAILED: " << why << '\n';
  }

  /// The last quarter against the one before. What grows with the time grows more than this in minutes; in a
  /// few seconds everything is still warming up, and only what is far off is seen.
  void check_growth() {
    const bool is_long = samples_.size() >= 60;
    const auto check = [&](const char* what, double sample::*of, double part, double besides) {
      const auto before = middle(samples_, 0.5, 0.75, of);
      const auto then = middle(samples_, 0.75, 1, of);
      if (then > before * (1 + part) + besides)
        fail_with(std::string(what) + " grew from " + std::to_string(before) + " to " + std::to_string(then));
    };
    check("resident memory", &sample::resident, 0.05, is_long ? 8 * mib : 64 * mib);
    check("open descriptors", &sample::descriptors, 0.1, is_long ? 32 : 128);
    check("the disk", &sample::disk, 0.15, is_long ? 16 * mib : 64 * mib);
  }

  void check_rest() {
    while (!ends_.empty()) {
      value_of(std::move(ends_.front()));
      ends_.pop_front();
    }
    for (std::uint64_t i = 0; i < objects; ++i) // with the schedules that are a day away
      ends_.push_back(running_->get<drone>(std::to_string(i)).call<&drone::end>());
    for (auto& each : ends_)
      value_of(std::move(each));
    const auto rest = [&](const char* what, std::uint64_t runtime_stats::*of) {
      if (!eventually([&] { return running_->stats().*of == 0; }))
        fail_with(std::string(what) + " left: " + std::to_string(running_->stats().*of));
    };
    rest("queued fetches", &runtime_stats::queued_fetches);
    rest("fetches in flight", &runtime_stats::in_flight_fetches);
    rest("waiting callers", &runtime_stats::waiting_callers);
    rest("pending messages", &runtime_stats::pending_messages);
    rest("bytes in mailboxes", &runtime_stats::mailbox_bytes);
    rest("bytes on their way to the disk", &runtime_stats::unwritten_bytes);
    rest("firing schedules", &runtime_stats::firing_schedules);
    rest("objects in memory", &runtime_stats::active_objects);
    rest("tasks in memory", &runtime_stats::awake_tasks);
    rest("bytes of objects", &runtime_stats::active_bytes);
    if (const auto now = running_->stats(); now.origins.size() > 1'001)
      fail_with(std::to_string(now.origins.size()) + " origins in the statistics");
    if (const auto now = running_->stats(); now.dead_letters + now.corrupt_rows + now.worker_restarts != 0)
      fail_with("dead letters, corrupt rows or lost workers");
  }

  const std::chrono::seconds length_;
  samples::upstream_server upstream_;
  scratch_directory directory_;
  std::optional<runtime> running_;
  std::deque<std::future<std::uint64_t>> calls_;
  std::deque<std::future<void>> ends_;
  std::vector<sample> samples_;
  std::uint64_t steps_ = 0;
  std::uint64_t refused_ = 0;
  std::uint64_t failures_ = 0;
};

std::chrono::seconds length(int count, char** arguments) {
  const char* text = std::getenv("DORMOUSE_SOAK_SECONDS");
  if (count == 3 && std::string_view(arguments[1]) == "--seconds") text = arguments[2];
  return std::chrono::seconds(text != nullptr ? std::max(1L, std::strtol(text, nullptr, 10)) : 5);
}

} // namespace

} // namespace dormouse::test::soak

int main(int count, char** arguments) {
  try {
    return dormouse::test::soak::soak(dormouse::test::soak::length(count, arguments)).run();
  } catch (const std::exception& e) {
    std::cout << "FAILED: " << e.what() << '\n';
    return 1;
  }
}
