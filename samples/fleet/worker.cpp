#include "worker.hpp"

#include "child_process.hpp"
#include "fleet_member.hpp"
#include "upstream/open_file_limit.hpp"
#include "upstream/sample_content.hpp"
#include "worker_messages.hpp"

#include <dormouse/serialization/url.hpp>

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <fstream>
#include <functional>
#include <memory>
#include <mutex>
#include <stop_token>
#include <thread>

namespace fleet {

namespace {

using namespace std::chrono_literals;

// Calls that may wait for their reply at once. More would only queue up.
constexpr std::size_t max_outstanding = 1'000;

// Not for sockets: what the runtime itself leaves to its store (options.hpp).
constexpr std::size_t reserved_files = 664;

// Every request is to one address of one server, and a client has some 28 000 ports for that.
constexpr std::size_t max_sockets = 20'000;

double rss_mib() {
  std::ifstream statm("/proc/self/statm");
  std::uint64_t total_pages = 0;
  std::uint64_t resident_pages = 0;
  statm >> total_pages >> resident_pages;
  return static_cast<double>(resident_pages) * static_cast<double>(::sysconf(_SC_PAGESIZE)) /
         (1024.0 * 1024.0);
}

void send(const nlohmann::json& message) { write_report_line(message.dump()); }

std::size_t sockets_for(const fleet_plan& plan) {
  const auto files = static_cast<std::size_t>(dormouse::samples::raise_open_file_limit());
  const auto possible =
      std::min(max_sockets, files > 2 * reserved_files ? files - reserved_files : files / 2);
  if (possible < plan.objects)
    send({{"note", "at most " + std::to_string(possible) +
                       " requests in flight at once: " + std::to_string(files) +
                       " files may be open (ulimit -Hn), and one server address has some 28000 ports"}});
  return std::min(possible, plan.objects);
}

dormouse::options runtime_options(const worker_options& options) {
  const auto& plan = options.plan;
  const auto sockets = sockets_for(plan);
  const auto server = dormouse::value_or_throw(dormouse::parse_url(plan.url));
  dormouse::options settings{.directory = options.directory,
                             .allow = {server.host + ":" + std::to_string(server.port)},
                             .idle_after = 100ms,
                             .max_in_flight = sockets,
                             .max_in_flight_per_origin = sockets,
                             .default_timeout = plan.longest_delay() + 60s,
                             .seed = plan.seed};
  settings.max_window = std::max(settings.max_window, sockets);
  settings.max_queued_fetches = std::max(settings.max_queued_fetches, plan.objects);
  return settings;
}

// Lets a bounded number of calls wait for their reply. Shared with the handlers of the calls, the last of
// which may still be at it when everybody else has gone on.
class call_window {
public:
  void enter() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return outstanding_ < max_outstanding; });
    ++outstanding_;
  }
  void leave() {
    const std::lock_guard lock(mutex_);
    --outstanding_;
    changed_.notify_one();
  }
  void drain() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return outstanding_ == 0; });
  }

private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t outstanding_ = 0;
};

class worker {
public:
  explicit worker(const worker_options& options)
      : options_(options), plan_(options.plan), runtime_(runtime_options(options)) {
    runtime_.define<fleet_member>();
  }

  void run() {
    send({{"ready", take_sample()}});
    const std::jthread reporter([this](const std::stop_token& stop) { report(stop); });
    if (options_.create) create();
    if (options_.verify) {
      const auto give_up = std::chrono::steady_clock::now() + options_.time_limit;
      send({{"findings", verify(give_up)}});
    } else {
      wait(9999h); // the supervisor ends this
    }
  }

private:
  void create() {
    const auto window = std::make_shared<call_window>();
    const auto first_error = std::make_shared<first_text>();
    for (std::size_t i = 0; i < plan_.objects && first_error->empty(); ++i) {
      window->enter();
      member(i).async_call<&fleet_member::start>(
          [this, window, first_error](const dormouse::expected<void>& reply) {
            if (reply)
              ++created_;
            else
              first_error->set(to_string(reply.error()));
            window->leave();
          },
          plan_.request_url(i), plan_.scripted);
    }
    window->drain();
    if (!first_error->empty())
      throw std::runtime_error("an object could not be created: " + first_error->get());
  }

  // Until no request lacks a result and no object has anything to do. Right after a start that can be so for
  // a moment, before the stored results are on their way: it is the objects that know.
  void wait_until_idle(std::chrono::steady_clock::time_point give_up) {
    while (std::chrono::steady_clock::now() < give_up) {
      const auto stats = runtime_.stats();
      if (stats.queued_fetches == 0 && stats.pending_messages == 0 && stats.active_objects == 0) return;
      wait(20ms);
    }
  }

  findings verify(std::chrono::steady_clock::time_point give_up) {
    wait_until_idle(give_up);
    const auto awake_peak = runtime_.stats().active_objects_peak; // asking wakes them all
    auto found = ask_all();
    while (found.without_result > 0 && std::chrono::steady_clock::now() < give_up) {
      wait(200ms);
      wait_until_idle(give_up);
      found = ask_all();
    }
    wait_until_idle(give_up);
    found = ask_all(); // once more: a second result that came late must show
    found.awake_peak = awake_peak;
    return found;
  }

  findings ask_all() {
    struct tally {
      std::mutex mutex;
      findings found;
    };
    const auto window = std::make_shared<call_window>();
    const auto sums = std::make_shared<tally>();
    for (std::size_t i = 0; i < plan_.objects; ++i) {
      window->enter();
      member(i).async_call<&fleet_member::record>(
          [this, i, window, sums](const dormouse::expected<fleet_record>& reply) {
            {
              const std::lock_guard lock(sums->mutex);
              judge(sums->found, i, reply);
            }
            window->leave();
          });
    }
    window->drain();
    return sums->found;
  }

  void judge(findings& found, std::size_t i, const dormouse::expected<fleet_record>& reply) const {
    const auto problem = reply ? reply->problem : to_string(reply.error());
    if (found.first_problem.empty()) found.first_problem = problem;
    if (!reply) {
      ++found.lost;
      return;
    }
    found.fetches += reply->fetches;
    found.delivered += reply->results;
    if (reply->results == 0) ++found.without_result;
    if (reply->results > 1) found.duplicated += reply->results - 1;
    if (reply->results == 0 || !problem.empty())
      ++found.lost;
    else if (reply->asker != plan_.instance_id(i) || (plan_.scripted && !answers(*reply, plan_.key(i))))
      ++found.wrong_object;
  }

  static bool answers(const fleet_record& record, const std::string& key) {
    return record.key == key && record.value == std::to_string(dormouse::samples::value_of(key));
  }

  dormouse::object_ref<fleet_member> member(std::size_t i) const {
    return runtime_.get<fleet_member>(plan_.instance_id(i));
  }

  sample take_sample() const {
    const auto stats = runtime_.stats();
    return {.created = created_,
            .awake = stats.active_objects,
            .awake_peak = stats.active_objects_peak,
            .pending = stats.queued_fetches,
            .in_flight = stats.in_flight_fetches,
            .delivered = stats.delivered,
            .retries = stats.retries,
            .rss_mib = rss_mib()};
  }

  void report(const std::stop_token& stop) {
    std::mutex mutex;
    std::condition_variable_any stopped;
    std::unique_lock lock(mutex);
    while (!stopped.wait_for(lock, stop, 10ms, [&stop] { return stop.stop_requested(); }))
      send({{"sample", take_sample()}});
  }

  static void wait(std::chrono::milliseconds time) { std::this_thread::sleep_for(time); }

  // The first of what several threads have to say.
  class first_text {
  public:
    bool empty() const { return get().empty(); }
    std::string get() const {
      const std::lock_guard lock(mutex_);
      return text_;
    }
    void set(std::string text) {
      const std::lock_guard lock(mutex_);
      if (text_.empty()) text_ = std::move(text);
    }

  private:
    mutable std::mutex mutex_;
    std::string text_;
  };

  worker_options options_;
  fleet_plan plan_;
  std::atomic<std::uint64_t> created_ = 0;
  dormouse::runtime runtime_; // last, so that it has stopped before anything its handlers use goes away
};

} // namespace

int run_worker(const worker_options& options) {
  try {
    worker(options).run();
    return 0;
  } catch (const std::exception& error) {
    send({{"failed", error.what()}});
    return 1;
  }
}

} // namespace fleet
