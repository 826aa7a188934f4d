// The process that dies of poison, and is started again.
//
//   poison_child live <directory> <place> <way to die> <plant|-> <upstream>
//       "served" when everybody else has been, then the process dies, or "spared" and what has become of the
//       poison, a line each, and "end"
//   poison_child stop <directory>
//       stops with a turn that does not end, and names it
//   poison_child work <directory>
//       the number of jobs that were begun, until it is killed

#include "crash/poison.hpp"
#include "crash/report_pipe.hpp"
#include "eventually.hpp"

#include <fmt/format.h>
#include <spdlog/sinks/null_sink.h>
#include <spdlog/spdlog.h>

#include <deque>
#include <future>
#include <iostream>
#include <map>
#include <stdexcept>

namespace dormouse::test {
namespace {

const std::map<std::string, death> ways{{"segfault", death::segfault}, {"abort", death::abort},
                                        {"overflow", death::overflow}, {"terminate", death::terminate},
                                        {"killed", death::killed},     {"hang", death::hang},
                                        {"memory", death::memory},     {"thread", death::thread}};

std::string outcome_of(std::future<std::uint32_t> call) {
  try {
    return std::to_string(call.get());
  } catch (const failure& e) {
    return std::string(to_string(e.code()));
  }
}

void plant(runtime& host, const std::string& place, const std::string& upstream) {
  auto object = host.get<victim>("v");
  if (place == "post") object.post<&victim::eat>().get();
  if (place == "result") object.call<&victim::ask>(upstream).get();
  if (place == "task") object.call<&victim::hatch>().get();
  if (place == "schedule") object.call<&victim::plan>().get();
  if (place == "on_wake") host.get<sleeper>("s").call<&sleeper::arm>().get();
  if (place == "destructor") host.get<wreck>("x").call<&wreck::arm>().get();
}

/// Work that was left for everybody else by the process before, and is left again for the next one.
void serve(runtime& host) {
  const auto done = [&host] {
    for (std::uint64_t i = 0; i < worker_count; ++i) {
      auto object = host.get<worker>(worker_id(i));
      const auto jobs = object.call<&worker::jobs>().get();
      if (object.call<&worker::ticks>().get() != jobs || object.call<&worker::notes>().get() != jobs)
        return false;
    }
    return true;
  };
  if (!eventually(done, std::chrono::seconds(10))) throw std::runtime_error("the others were not served");
  report("served");
}

void tell(runtime& host, const std::string& place) {
  for (const auto& letter : host.dead_letters().list()) {
    report("letter " + letter.object.binding + "." + letter.method + " " +
           std::to_string(letter.history.size()) + " " + letter.reason);
  }
  for (const auto& each : host.tasks().list({.state = task_state::stuck}))
    report("stuck " + std::to_string(each.error ? each.error->code == errc::quarantined : false) + " " +
           (each.error ? each.error->message : std::string()));
  for (const auto& each : host.stats().quarantined_objects)
    report("asleep " + each.binding);
  report("works " + outcome_of(host.get<victim>("v").call<&victim::work>()));
  if (place == "on_wake") {
    report("works " + outcome_of(host.get<sleeper>("s").call<&sleeper::work>()));
    way_to_die() = death::none; // mended
    host.release({"SLEEPER", "s"});
    report("works " + outcome_of(host.get<sleeper>("s").call<&sleeper::work>()));
  }
  if (place == "destructor") {
    report("works " + outcome_of(host.get<wreck>("x").call<&wreck::work>()));
    way_to_die() = death::none;
    host.release({"WRECK", "x"});
    report("works " + outcome_of(host.get<wreck>("x").call<&wreck::work>()));
  }
}

void live(const std::string& directory, const std::string& place, const std::string& way, bool plants,
          const std::string& upstream) {
  way_to_die() = ways.at(way);
  if (way_to_die() != death::killed) install_crash_notes();
  runtime host(poison_options(directory));
  host.define<victim, sleeper, wreck, worker>();
  if (plants)
    for (std::uint64_t i = 0; i < worker_count; ++i)
      host.get<worker>(worker_id(i)).post<&worker::begin>().get();
  serve(host);
  if (plants) plant(host, place, upstream);
  const auto is_set_aside = [&host] {
    const auto now = host.stats();
    return now.dead_letters + now.stuck_tasks + now.quarantined_objects.size() != 0;
  };
  if (!eventually(is_set_aside, std::chrono::seconds(10)))
    throw std::runtime_error("the poison neither works nor is set aside");
  report("spared");
  tell(host, place);
  report("end");
  host.stop();
}

[[noreturn]] void work_until_killed(const std::string& directory) {
  runtime host(worker_options(directory));
  host.define<worker>();
  report("0");
  std::deque<std::future<void>> calls;
  for (std::uint64_t job = 1;; ++job) {
    auto object = host.get<worker>(worker_id(job % worker_count));
    calls.push_back(job % 2 == 0 ? object.call<&worker::begin>() : object.post<&worker::begin>());
    if (calls.size() >= 2 * worker_count) {
      calls.front().get();
      calls.pop_front();
    }
    report(std::to_string(job));
    if (!eventually([&host] { return host.stats().schedules < 200; }))
      throw std::runtime_error("the schedules do not fire");
  }
}

/// A turn hangs when the runtime is stopped, and when the process ends.
void stop_with_a_stuck_turn(const std::string& directory) {
  way_to_die() = death::hang;
  auto settings = poison_options(directory);
  settings.on_stuck_turn = stuck_turn_policy::report;
  settings.stop_grace = std::chrono::milliseconds(100);
  runtime host(settings);
  host.define<victim>();
  host.get<victim>("v").post<&victim::eat>().get();
  if (!eventually([&host] { return !host.stats().stuck_turns.empty(); }, std::chrono::seconds(10)))
    throw std::runtime_error("the turn is not named");
  for (const auto& each : host.stop())
    report("unended " + to_string(each.object) + " " + each.method);
}

int run(const std::vector<std::string>& arguments) {
  spdlog::register_logger(
      std::make_shared<spdlog::logger>("dormouse", std::make_shared<spdlog::sinks::null_sink_mt>()));
  if (arguments.at(0) == "work") work_until_killed(arguments.at(1));
  if (arguments.at(0) == "stop") {
    stop_with_a_stuck_turn(arguments.at(1));
    return 0;
  }
  if (arguments.at(0) != "live") throw std::invalid_argument("unknown job " + arguments.at(0));
  live(arguments.at(1), arguments.at(2), arguments.at(3), arguments.at(4) == "plant", arguments.at(5));
  return 0;
}

} // namespace
} // namespace dormouse::test

int main(int argc, char** argv) {
  try {
    return dormouse::test::run({argv + 1, argv + argc});
  } catch (const std::exception& e) {
    std::cerr << "poison_child: " << e.what() << std::endl;
    return 1;
  }
}
