/// A const call from inside the actor system, against a bare CAF request and response on the same scheduler.

#include "measure.hpp"
#include "row.hpp"

#include <dormouse/dormouse.hpp>
#include <dormouse/runtime/caf.hpp>

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/send.hpp>
#include <fmt/format.h>

#include <atomic>
#include <future>
#include <memory>

namespace dormouse::bench {
namespace {

using namespace std::chrono_literals;

class gauge final : public durable_object {
public:
  int value(int add) const { return value_ + add; }
  template <class Archive> void serialize(Archive& ar) { ar(value_); }
  using methods = dormouse::methods<"GAUGE", method<"value", &gauge::value>>;

private:
  int value_ = 1;
};

caf::behavior plain_gauge(caf::event_based_actor*) {
  return {[](int add) { return 1 + add; }};
}

constexpr int callers = 2;
constexpr int window = 64;

/// Each caller keeps `window` requests in flight, one per target, until it has made its share.
template <class Request> class caller final : public caf::event_based_actor {
public:
  caller(caf::actor_config& config, Request request, int share, std::shared_ptr<std::promise<void>> when_done)
      : event_based_actor(config),
        request_(std::move(request)),
        left_(share),
        waiting_(share),
        done_(std::move(when_done)) {}

  caf::behavior make_behavior() override {
    for (int i = 0; i < window; ++i)
      next(i);
    return {[](caf::unit_t) {}};
  }

private:
  void next(int target) {
    if (left_-- <= 0) return;
    request_(this, target, [this, target] {
      next(target);
      if (--waiting_ == 0) {
        done_->set_value();
        quit();
      }
    });
  }

  Request request_;
  int left_;
  int waiting_;
  std::shared_ptr<std::promise<void>> done_;
};

template <class Request>
double calls_per_second(caf::actor_system& system, int total, const Request& request) {
  std::vector<std::future<void>> done;
  const auto start = steady::now();
  for (int i = 0; i < callers; ++i) {
    auto finished = std::make_shared<std::promise<void>>();
    done.push_back(finished->get_future());
    system.spawn<caller<Request>>(request, total / callers, finished);
  }
  for (auto& each : done)
    each.wait();
  return total / seconds_since(start);
}

[[noreturn]] void failed(const std::string& why) {
  fmt::print(stderr, "read_call: {}\n", why);
  std::abort();
}

} // namespace

std::vector<row> read_call(const settings& how) {
  scratch_directory directory;
  caf::actor_system_config config;
  caf::actor_system system(config);
  runtime host(system, {.directory = directory.path()});
  host.define<gauge>();
  std::vector<object_ref<gauge>> objects;
  std::vector<caf::actor> plain;
  for (int i = 0; i < window; ++i) {
    objects.push_back(host.get<gauge>(std::to_string(i)));
    plain.push_back(system.spawn(plain_gauge));
  }
  const auto ask_object = [&objects](auto* self, int target, auto then) {
    request_object<&gauge::value>(self, objects[static_cast<std::size_t>(target)], caf::infinite, target)
        .then(
            [then, target](int answer) {
              if (answer != target + 1) failed("wrong answer");
              then();
            },
            [](const error& why) { failed(to_string(why)); });
  };
  const auto ask_plain = [&plain](auto* self, int target, auto then) {
    self->request(plain[static_cast<std::size_t>(target)], caf::infinite, target)
        .then(
            [then, target](int answer) {
              if (answer != target + 1) failed("wrong answer");
              then();
            },
            [](const caf::error&) { failed("CAF refused"); });
  };
  const int total = how.quick ? 400'000 : 1'000'000;
  std::vector<double> ours;
  std::vector<double> limit;
  calls_per_second(system, total / 10, ask_object); // everybody awake
  for (int round = 0; round < 5; ++round) {
    limit.push_back(calls_per_second(system, total, ask_plain));
    ours.push_back(calls_per_second(system, total, ask_object));
  }
  for (auto& each : plain)
    caf::anon_send_exit(each, caf::exit_reason::user_shutdown);
  return {{"read_call",
           fmt::format("const call from a CAF actor, {} callers x {} in flight, against CAF request/response",
                       callers, window),
           median(ours), median(limit), median(ours) / median(limit), "calls/s"}};
}

} // namespace dormouse::bench
