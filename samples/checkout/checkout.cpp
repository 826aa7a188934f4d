// An order that is carried out as a whole or undone as a whole, whatever is killed in between:
//   checkout --url http://127.0.0.1:8080 --kill 8
#include "killed_child.hpp"

#include <dormouse/dormouse.hpp>
#include <dormouse/runtime/fetch_observer.hpp>
#include <dormouse/serialization/url.hpp>

#include <CLI/CLI.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iostream>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

using namespace std::chrono_literals;

// What can be sold. A call from an object arrives once; that of an order that was carried out twice would
// show.
class warehouse : public dormouse::durable_object {
public:
  void reserve(std::string order) {
    if (reserved_.size() == pieces) throw std::runtime_error("sold out");
    if (!reserved_.insert(order).second) throw std::logic_error("reserved twice");
  }
  void release(std::string order) { reserved_.erase(order); } // nothing if it was not
  std::uint64_t left() const { return pieces - reserved_.size(); }

  template <class Archive> void serialize(Archive& ar) { ar(reserved_); }

  using methods = dormouse::methods<"WAREHOUSE", dormouse::method<"reserve", &warehouse::reserve>,
                                    dormouse::method<"release", &warehouse::release>,
                                    dormouse::method<"left", &warehouse::left>>;

private:
  static constexpr std::size_t pieces = 10;

  std::set<std::string> reserved_;
};

// Where money and parcels are asked for.
struct services {
  std::string pay;
  std::string refund;
  std::string ship;

  template <class Archive> void serialize(Archive& ar) { ar(pay, refund, ship); }
};

class order : public dormouse::durable_object {
public:
  // The saga. What has been done is not done again, so each line happens once, and the way back is the way of
  // any C++.
  static dormouse::task<std::string> check_out(dormouse::task_context<order> self, services at) {
    const dormouse::object_id<warehouse> goods("main");
    const auto& name = self.self_address().instance_id;
    const auto payment = co_await self.uuid(); // the same one whenever this line is run again
    bool may_be_paid = false;
    std::string problem;
    try {
      co_await self.call<&warehouse::reserve>(goods, name);
      co_await self.call<&order::note>("reserved");
      may_be_paid = true; // from here on, unless somebody says that it is not
      if (co_await post(self, at.pay, payment) >= 400) {
        may_be_paid = false;
        throw std::runtime_error("the card was refused");
      }
      co_await self.call<&order::note>("paid");
      if (co_await post(self, at.ship, payment) >= 400) throw std::runtime_error("nobody delivers there");
      co_await self.call<&order::note>("shipped");
      co_return "done";
    } catch (const std::exception& e) { // also dormouse::task_cancelled
      problem = e.what();               // C++ has no co_await in here
    }
    co_await self.call<&order::note>(problem);
    if (may_be_paid) {
      co_await insist(self, at.refund, payment);
      co_await self.call<&order::note>("refunded");
    }
    co_await self.call<&warehouse::release>(goods, name);
    co_await self.call<&order::note>("released");
    co_return "undone";
  }

  // Once, however often it is called.
  dormouse::task_id place(services at) {
    if (task_.number == 0) task_ = start<&order::check_out>(at);
    return task_;
  }

  void note(std::string step) { steps_ += (steps_.empty() ? "" : ", ") + step; }
  std::string steps() const { return steps_; }

  template <class Archive> void serialize(Archive& ar) { ar(task_, steps_); }

  using methods =
      dormouse::methods<"ORDER", dormouse::method<"check_out", &order::check_out>,
                        dormouse::method<"place", &order::place>, dormouse::method<"note", &order::note>,
                        dormouse::method<"steps", &order::steps>>;

private:
  // Parts of the task. The key makes it harmless to send the request again, which is what happens after a
  // kill.
  static dormouse::task<std::uint32_t> post(dormouse::task_context<order> self, std::string url,
                                            std::string key) {
    const auto answer = self.fetch(url, {.method = "POST", .idempotency_key = key});
    co_return (co_await answer).status();
  }

  // The way back has no way back. It is tried until it has worked, and a task that waits costs nothing.
  static dormouse::task<void> insist(dormouse::task_context<order> self, std::string url, std::string key) {
    for (auto wait = 1s;; wait = std::min(2 * wait, std::chrono::seconds(1h))) {
      try {
        if (co_await post(self, url, key) < 400) co_return;
      } catch (const std::exception&) { // there is no answer, or somebody has cancelled the task: still
      }
      co_await self.sleep_for(wait);
    }
  }

  dormouse::task_id task_;
  std::string steps_;
};

// Asks the server what it has seen: so many different Idempotency-Key headers, and so many requests.
class auditor : public dormouse::durable_object {
public:
  static dormouse::task<std::string> audit(dormouse::task_context<auditor> self, std::string server) {
    const auto counters = (co_await self.fetch(server + "/counters")).json();
    std::string text;
    std::uint64_t requests = 0;
    for (const auto* what : {"charges", "refunds", "shipments"}) {
      const auto keys = counters.at("idempotency").value(what, nlohmann::json::object());
      text += std::to_string(keys.size()) + " " + what + ", ";
      requests += counters.at("keys").value(what, std::uint64_t{0});
    }
    co_return text + "in " + std::to_string(requests) + " requests";
  }

  template <class Archive> void serialize(Archive&) {}

  using methods = dormouse::methods<"AUDITOR", dormouse::method<"audit", &auditor::audit>>;
};

// Tells of each request that goes out.
class request_reporter : public dormouse::fetch_observer {
public:
  explicit request_reporter(checkout::report report) : report_(std::move(report)) {}
  void started(const dormouse::fetch_event&) override { report_(); }

private:
  checkout::report report_;
};

dormouse::runtime open(const std::string& directory, const dormouse::url& server,
                       std::shared_ptr<dormouse::fetch_observer> observer = {}) {
  dormouse::runtime runtime(
      {.directory = directory, .allow = {server.host}, .observer = std::move(observer)});
  runtime.define<warehouse, order, auditor>();
  return runtime;
}

// The one that goes through, the one whose card is refused, and the one that nobody delivers. All three are
// placed before any of them is waited for.
const std::array names{"books", "candles", "mattress"};

void order_all(const dormouse::runtime& runtime, const std::string& server) {
  const auto at = [&server](const std::string& pay, const std::string& ship) {
    return services{.pay = server + "/k/charges?delay_ms=20&status=" + pay,
                    .refund = server + "/k/refunds?delay_ms=20",
                    .ship = server + "/k/shipments?delay_ms=20&status=" + ship};
  };
  const std::array plans{at("201", "201"), at("402", "201"), at("201", "409")};
  std::vector<dormouse::task_id> tasks;
  for (std::size_t i = 0; i < names.size(); ++i)
    tasks.push_back(runtime.get<order>(names[i]).call<&order::place>(plans[i]).get());
  for (const auto& each : tasks)
    runtime.tasks().result<std::string>(each).get();
}

int main(int argc, char** argv) try {
  std::string url = "http://127.0.0.1:8080";
  std::string directory = "checkout-data";
  int kills = 0;
  CLI::App app{
      "An order that is carried out as a whole or undone as a whole, whatever is killed in between."};
  app.add_option("--url", url, "of a samples/upstream")->capture_default_str();
  app.add_option("--directory", directory, "where the objects live")->capture_default_str();
  app.add_option("--kill", kills,
                 "how many processes to kill: the first at its first request, the second at its second, ...")
      ->check(CLI::Range(0, 100));
  CLI11_PARSE(app, argc, argv);

  const auto server = dormouse::value_or_throw(dormouse::parse_url(url));
  int killed = 0;
  while (killed < kills && checkout::run_and_kill(killed + 1, [&](checkout::report report) {
           order_all(open(directory, server, std::make_shared<request_reporter>(std::move(report))),
                     server.origin());
         }))
    ++killed;
  if (killed > 0) std::cout << "killed: " << killed << " times\n";

  const auto runtime = open(directory, server);
  order_all(runtime, server.origin());
  for (const auto* name : names)
    std::cout << name << ": " << runtime.get<order>(name).call<&order::steps>().get() << '\n';
  std::cout << "left: " << runtime.get<warehouse>("main").call<&warehouse::left>().get() << " of 10\n";
  std::cout << "the server counts: "
            << runtime.get<auditor>("main").call<&auditor::audit>(server.origin()).get() << '\n';
} catch (const std::exception& e) {
  std::cerr << "checkout: " << e.what() << '\n';
  return 1;
}
