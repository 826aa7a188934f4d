/// Memory per object: awake and idle, against an idle plain CAF actor; and hibernated with a fetch pending,
/// as the slope over the number of objects.

#include "measure.hpp"
#include "row.hpp"

#include <dormouse/dormouse.hpp>

#include <arpa/inet.h>
#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/send.hpp>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <atomic>
#include <semaphore>
#include <thread>

namespace dormouse::bench {
namespace {

class idler final : public durable_object {
public:
  void touch() { ++count_; }
  void ask(std::string url) { fetch(url, {.timeout = std::chrono::hours(1)}).then<&idler::on_answer>(); }
  void on_answer(fetch_result) { ++count_; }
  template <class Archive> void serialize(Archive& ar) { ar(count_); }
  using methods = dormouse::methods<"IDLER", method<"touch", &idler::touch>, method<"ask", &idler::ask>,
                                    method<"on_answer", &idler::on_answer>>;

private:
  std::uint64_t count_ = 0;
};

/// Listens and never answers.
class silent_listener {
public:
  silent_listener() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in where{};
    where.sin_family = AF_INET;
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof where;
    if (::bind(socket_, reinterpret_cast<sockaddr*>(&where), sizeof where) != 0 ||
        ::listen(socket_, 128) != 0 ||
        ::getsockname(socket_, reinterpret_cast<sockaddr*>(&where), &size) != 0)
      throw std::runtime_error("memory: cannot listen");
    port_ = ntohs(where.sin_port);
  }
  silent_listener(const silent_listener&) = delete;
  silent_listener& operator=(const silent_listener&) = delete;
  ~silent_listener() { ::close(socket_); }

  std::string url() const { return fmt::format("http://127.0.0.1:{}/never", port_); }

private:
  int socket_;
  int port_ = 0;
};

/// Calls with a bounded number outstanding.
template <class Call> void for_each_object(int first, int last, const Call& call) {
  constexpr std::ptrdiff_t outstanding = 2'000;
  std::counting_semaphore<> places(outstanding);
  std::atomic<int> failures{0};
  for (int i = first; i < last; ++i) {
    places.acquire();
    call(i, [&places, &failures](const expected<void>& done) {
      if (!done) failures.fetch_add(1);
      places.release();
    });
  }
  for (std::ptrdiff_t i = 0; i < outstanding; ++i)
    places.acquire();
  if (failures != 0) throw std::runtime_error("memory: a call failed");
}

double bytes_per_awake_object(int count) {
  scratch_directory directory;
  runtime host({.directory = directory.path(),
                .idle_after = std::chrono::hours(1),
                .max_active_objects = 10'000'000,
                .store_cache_bytes = 1U << 20U,
                .store_buffer_bytes = 1U << 20U});
  host.define<idler>();
  const auto touch = [&host](int i, auto done) {
    host.get<idler>(fmt::format("idler-{:08}", i)).async_call<&idler::touch>(std::move(done));
  };
  for_each_object(0, count / 4, touch); // the store's own buffers are full after this
  const auto before = heap_bytes();
  for_each_object(count / 4, count, touch);
  return (heap_bytes() - before) / (count - count / 4) - sizeof(std::uint64_t); // above its own state
}

double bytes_per_plain_actor(int count) {
  caf::actor_system_config config;
  caf::actor_system system(config);
  std::vector<caf::actor> actors;
  actors.reserve(static_cast<std::size_t>(count));
  const auto before = heap_bytes();
  for (int i = 0; i < count; ++i)
    actors.push_back(
        system.spawn([](caf::event_based_actor*) -> caf::behavior { return {[](int x) { return x; }}; }));
  const auto after = heap_bytes();
  for (auto& each : actors)
    caf::anon_send_exit(each, caf::exit_reason::user_shutdown);
  return (after - before) / count;
}

/// Least squares over (objects, bytes): what one more hibernated object with a pending fetch costs.
double bytes_per_hibernated_object(int most, std::string& points) {
  scratch_directory directory;
  const silent_listener nobody;
  // Small bounds, reached long before the first point, so that what grows is not a cache that is filling.
  runtime host({.directory = directory.path(),
                .allow = {"127.0.0.1"},
                .idle_after = std::chrono::milliseconds(0),
                .max_in_flight = 16,
                .max_queued_fetches = 10'000'000,
                .max_window = 1'000,
                .store_cache_bytes = 1U << 20U,
                .store_buffer_bytes = 1U << 20U});
  host.define<idler>();
  const auto url = nobody.url();
  const auto ask = [&host, &url](int i, auto done) {
    host.get<idler>(fmt::format("idler-{:08}", i)).async_call<&idler::ask>(std::move(done), url);
  };
  std::vector<std::pair<double, double>> samples;
  int made = 0;
  for (int step = 0; step <= 10; ++step) {
    const int target = step == 0 ? 10'000 : most / 10 * step;
    for_each_object(made, target, ask);
    made = target;
    while (host.stats().active_objects != 0)
      std::this_thread::yield();
    if (host.stats().queued_fetches != static_cast<std::uint64_t>(made))
      throw std::runtime_error("memory: a fetch is not pending");
    // The least of a second: the store's compactions come and go meanwhile.
    auto least = heap_bytes();
    for (const auto start = steady::now(); seconds_since(start) < 1; std::this_thread::yield())
      least = std::min(least, heap_bytes());
    samples.emplace_back(made, least);
  }
  double mean_x = 0;
  double mean_y = 0;
  for (auto [x, y] : samples)
    mean_x += x / static_cast<double>(samples.size()), mean_y += y / static_cast<double>(samples.size());
  double top = 0;
  double bottom = 0;
  for (auto [x, y] : samples)
    top += (x - mean_x) * (y - mean_y), bottom += (x - mean_x) * (x - mean_x);
  points = fmt::format("{:.1f} MiB at {:.0f}, {:.1f} MiB at {:.0f}", samples.front().second / (1 << 20),
                       samples.front().first, samples.back().second / (1 << 20), samples.back().first);
  return top / bottom;
}

} // namespace

std::vector<row> memory(const settings& how) {
  const int awake = how.quick ? 40'000 : 100'000;
  const int asleep = how.quick ? 200'000 : 1'000'000;
  const auto ours = bytes_per_awake_object(awake);
  const auto plain = bytes_per_plain_actor(awake);
  std::string points;
  const auto slope = bytes_per_hibernated_object(asleep, points);
  return {
      {"memory_active",
       fmt::format("heap bytes per awake idle object above its state, {} objects, against an idle CAF actor",
                   awake),
       ours, plain, ours / plain, "bytes"},
      {"memory_hibernated",
       fmt::format("heap bytes per hibernated object with a pending fetch: slope over 10000..{} objects ({})",
                   asleep, points),
       slope, 0, 0, "bytes"}};
}

} // namespace dormouse::bench
