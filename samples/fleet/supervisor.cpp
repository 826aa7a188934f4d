#include "supervisor.hpp"

#include "child_process.hpp"
#include "fleet_plan.hpp"
#include "progress.hpp"
#include "report.hpp"
#include "run_directory.hpp"
#include "server_counters.hpp"
#include "stop_signals.hpp"
#include "worker_messages.hpp"

#include <poll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <deque>
#include <iostream>
#include <memory>
#include <optional>
#include <random>
#include <tuple>
#include <utility>
#include <vector>

namespace fleet {

namespace {

using namespace std::chrono_literals;
using clock = std::chrono::steady_clock;

struct interrupted {};

double seconds_since(clock::time_point start) {
  return std::chrono::duration<double>(clock::now() - start).count();
}

std::string random_key() {
  std::random_device random;
  std::array<char, 9> text{};
  std::snprintf(text.data(), text.size(), "%08x", random());
  return text.data();
}

// Far beyond what it takes on a slow disk, so that only a run that hangs gets there.
std::chrono::milliseconds time_limit(const fleet_plan& plan) {
  const auto waves = static_cast<std::chrono::milliseconds::rep>(1 + plan.objects / 10'000);
  return 60s + 20ms * static_cast<std::chrono::milliseconds::rep>(plan.objects) +
         3 * waves * plan.longest_delay();
}

// The lines of a child, one by one, until a time at the latest.
class child_lines {
public:
  child_lines(child_process& child, const stop_signals& signals, clock::time_point deadline)
      : child_(child), signals_(signals), deadline_(deadline) {}

  // Nothing when the child has gone. Throws `interrupted`.
  std::optional<std::string> next() {
    while (ready_.empty()) {
      if (!open_) return std::nullopt;
      wait();
      std::vector<std::string> lines;
      open_ = child_.read_lines(lines);
      std::move(lines.begin(), lines.end(), std::back_inserter(ready_));
    }
    auto line = std::move(ready_.front());
    ready_.pop_front();
    return line;
  }

private:
  void wait() const {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline_ - clock::now());
    std::array<pollfd, 2> watched{pollfd{signals_.descriptor(), POLLIN, 0},
                                  pollfd{child_.report_descriptor(), POLLIN, 0}};
    const auto count =
        ::poll(watched.data(), watched.size(), static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
    if (watched[0].revents != 0) throw interrupted();
    if (count == 0) throw std::runtime_error("gave up: the time limit of this run has passed");
  }

  child_process& child_;
  const stop_signals& signals_;
  clock::time_point deadline_;
  std::deque<std::string> ready_;
  bool open_ = true;
};

class supervisor {
public:
  explicit supervisor(const run_options& options)
      : options_(options),
        directory_(options.directory),
        display_(options.json_only ? progress::mode::silent : progress::detect()) {
    plan_ = {.objects = options.objects,
             .delay = options.delay,
             .seed = options.seed,
             .url = options.url,
             .run_key = random_key()};
    report_.objects = options.objects;
    deadline_ = start_ + time_limit(plan_);
  }

  int run() {
    if (plan_.url.empty())
      start_server();
    else
      look_at_server();
    display_.say(std::to_string(plan_.objects) + " objects, each asks " + plan_.url +
                 (plan_.scripted ? " for an answer that takes " + std::to_string(plan_.delay.count()) +
                                       " to " + std::to_string(plan_.longest_delay().count()) + " ms"
                                 : " as it stands") +
                 " (seed " + std::to_string(plan_.seed) + ")");
    first_life();
    if (options_.kill) second_life();
    if (plan_.scripted) report_.server = count_requests(plan_.url, plan_.run_key);
    report_.seconds = seconds_since(start_);
    display_.clear();
    if (!options_.json_only) std::cout << '\n' << report_.table() << '\n';
    std::cout << report_.json_line() << std::endl;
    return report_.good() ? 0 : 1;
  }

private:
  void start_server() {
    server_ = std::make_unique<child_process>(std::vector<std::string>{"upstream"});
    auto line = child_lines(*server_, signals_, std::min(deadline_, clock::now() + 30s)).next();
    if (!line) throw std::runtime_error("the server did not start: " + server_->wait());
    plan_.url = std::move(*line);
  }

  // An upstream counts, and is asked for a key by each object. Of any other server nothing is known.
  void look_at_server() {
    auto base = plan_.url;
    while (base.ends_with('/'))
      base.pop_back();
    plan_.scripted = count_requests(base, plan_.run_key).has_value();
    if (plan_.scripted) plan_.url = std::move(base);
  }

  std::unique_ptr<child_process> start_worker(bool create, bool verify) const {
    const auto limit = std::chrono::duration_cast<std::chrono::milliseconds>(deadline_ - clock::now());
    std::vector<std::string> arguments{"worker",
                                       "--directory",
                                       directory_.store().string(),
                                       "--objects",
                                       std::to_string(plan_.objects),
                                       "--delay",
                                       std::to_string(plan_.delay.count()),
                                       "--seed",
                                       std::to_string(plan_.seed),
                                       "--url",
                                       plan_.url,
                                       "--run-key",
                                       plan_.run_key,
                                       "--time-limit",
                                       std::to_string(limit.count()),
                                       plan_.scripted ? "--scripted" : "--as-it-stands"};
    if (create) arguments.emplace_back("--create");
    if (verify) arguments.emplace_back("--verify");
    return std::make_unique<child_process>(std::move(arguments));
  }

  void first_life() {
    const auto worker = start_worker(true, !options_.kill);
    const auto enough = plan_.kill_after();
    follow(*worker, [this, &worker, enough](const sample& now) {
      watch_asleep(now);
      const auto done = now.created < plan_.objects ? now.created : now.delivered;
      display_.update(now.created < plan_.objects ? "creating"
                      : now.delivered == 0        ? "asleep"
                                                  : "delivered",
                      done, plan_.objects, details(now));
      if (options_.kill && now.delivered >= enough) worker->kill();
    });
    report_.rss_mib_idle = ready_.rss_mib;
    announce_asleep();
    if (!options_.kill) return;
    report_.delivered_before_kill = last_.delivered;
    report_.awake_peak = last_.awake_peak;
    created_all_ = last_.created == plan_.objects;
    display_.say("killed the worker with SIGKILL: " + std::to_string(last_.delivered) + " of " +
                 std::to_string(plan_.objects) + " delivered, " + std::to_string(last_.in_flight) +
                 " requests in flight");
  }

  void second_life() {
    const auto started = clock::now();
    // Whoever was not told that a call went through calls again.
    const auto worker = start_worker(!created_all_, true);
    report_.restarts = 1;
    bool announced = false;
    follow(*worker, [this, started, &announced](const sample& now) {
      if (!std::exchange(announced, true))
        display_.say("started again on the same directory, ready after " + one_digit(seconds_since(started)) +
                     " s: " + std::to_string(now.pending) + " requests pending, found on disk");
      const auto done = std::min<std::uint64_t>(report_.delivered_before_kill + now.delivered, plan_.objects);
      display_.update(now.pending > 0 ? "delivered" : "asking all", done, plan_.objects, details(now));
    });
  }

  // Until the worker has ended: killed by `on_sample`, or with its findings.
  template <class Handler> void follow(child_process& worker, Handler on_sample) {
    child_lines lines(worker, signals_, deadline_ + 30s); // the worker's own limit comes first
    bool found = false;
    last_ = {};
    while (const auto line = lines.next()) {
      const auto message = nlohmann::json::parse(*line);
      if (message.contains("ready")) {
        ready_ = message["ready"];
        last_ = ready_;
        on_sample(last_);
      } else if (message.contains("sample")) {
        last_ = message["sample"];
        on_sample(last_);
      } else if (message.contains("note")) {
        display_.say(message["note"]);
      } else if (message.contains("failed")) {
        throw std::runtime_error("the worker gave up: " + message["failed"].get<std::string>());
      } else if (message.contains("findings")) {
        report_.found = message["findings"];
        report_.awake_peak = std::max(report_.awake_peak, report_.found.awake_peak);
        found = true;
      }
    }
    report_.retries += last_.retries;
    const auto ended_by = worker.wait(); // empty for one that was killed here
    if (!ended_by.empty() || (!found && !(options_.kill && report_.restarts == 0)))
      throw std::runtime_error("the worker ended by itself: " +
                               (ended_by.empty() ? "no findings" : ended_by));
  }

  // The moment that all of this is about. Later samples win a tie: more of its requests are in flight.
  void watch_asleep(const sample& now) {
    const auto rank = [](const sample& each) {
      return std::tuple(each.pending, ~each.awake, each.in_flight);
    };
    if (rank(now) > rank(report_.asleep)) asleep_since_ = clock::now();
    if (rank(now) >= rank(report_.asleep)) report_.asleep = now;
    if (now.delivered > 0 ||
        (now.created == plan_.objects && now.awake == 0 && clock::now() > asleep_since_ + 300ms))
      announce_asleep();
  }

  void announce_asleep() {
    if (!std::exchange(asleep_announced_, true))
      display_.say(describe_asleep(report_.asleep, plan_.objects) + ", RSS " +
                   one_digit(report_.asleep.rss_mib) + " MiB (" + one_digit(ready_.rss_mib) + " MiB before)");
  }

  // Short enough to leave room for a bar on a terminal of 80 columns.
  static std::string details(const sample& now) {
    return "awake " + std::to_string(now.awake) + ", pending " + std::to_string(now.pending) +
           ", in flight " + std::to_string(now.in_flight) + ", " + std::to_string(std::lround(now.rss_mib)) +
           " MiB";
  }

  run_options options_;
  run_directory directory_; // outlives the children
  stop_signals signals_;
  progress display_;
  fleet_plan plan_;
  run_report report_;
  clock::time_point start_ = clock::now();
  clock::time_point deadline_;
  std::unique_ptr<child_process> server_;
  sample ready_; // of the current life
  sample last_;  // of the current life
  clock::time_point asleep_since_{};
  bool asleep_announced_ = false;
  bool created_all_ = false;
};

} // namespace

int run_supervisor(const run_options& options) {
  try {
    return supervisor(options).run();
  } catch (const interrupted&) {
    std::cerr << "fleet: stopped\n";
    return 130;
  }
}

} // namespace fleet
