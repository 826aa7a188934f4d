// The process that is killed. It works until it is killed, but for "finish", and reports every reply it got:
// whatever it has reported was durable before.
//
//   crash_child fetch <directory> <upstream> <life> <seed>     "started", then per acknowledged call
//   "<delivered> <fetcher> <token>" crash_child finish <directory> <expected tokens>           lets the work
//   end that was begun; exit code 0 when it has crash_child count <directory> <calls at once> "add <value>"
//   and "read <value>" crash_child haul <directory> <upstream>                    how many large bodies were
//   delivered in this life, whenever there are more crash_child unload <directory> <upstream> lets all large
//   bodies arrive; exit code 0 when they have crash_child keep <directory> <calls at once>               "add
//   <value>" crash_child ring <directory>                               the highest number of ticks so far,
//   whenever there are more crash_child sell <directory> <upstream> <placed>           the number of the last
//   order placed, whenever there are more crash_child settle <directory>                             lets all
//   orders end: "waiting" now and then, "<number> <what was done> ...", "end", and the pieces taken
//   crash_child upstream                                       its URL; serves

#include "crash/correspondent.hpp"
#include "crash/crash_settings.hpp"
#include "crash/hauler.hpp"
#include "crash/objects.hpp"
#include "crash/report_pipe.hpp"
#include "crash/ringer.hpp"
#include "crash/saga.hpp"
#include "eventually.hpp"
#include "upstream/open_file_limit.hpp"
#include "upstream/upstream_server.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <deque>
#include <future>
#include <iostream>
#include <random>
#include <stdexcept>
#include <thread>

namespace dormouse::test {
namespace {

constexpr std::size_t calls_at_once = 32;
constexpr std::uint64_t most_queued = 400;
constexpr std::uint32_t longest_chain = 4;

struct pending_call {
  std::size_t fetcher;
  std::uint64_t token;
  std::future<void> done;
};

[[noreturn]] void fetch_until_killed(const std::string& directory, const std::string& upstream,
                                     std::uint64_t life, std::uint64_t seed) {
  runtime host(crash_options(directory));
  host.define<fetcher>();
  report("started");
  std::mt19937_64 random(seed);
  std::deque<pending_call> calls;
  for (std::uint64_t count = 0;; ++count) {
    const auto index = random() % fetcher_count;
    const auto token = (life << 32U) | count;
    const auto more = static_cast<std::uint32_t>(random() % longest_chain);
    auto target = host.get<fetcher>(fetcher_id(index));
    // A call leaves nothing behind when it is cut off; a post is in the inbox from its acknowledgement on.
    auto done = random() % 2 == 0 ? target.call<&fetcher::go>(upstream, token, more)
                                  : target.post<&fetcher::go>(upstream, token, more);
    calls.push_back({index, token, std::move(done)});
    if (calls.size() < calls_at_once) continue;
    auto oldest = std::move(calls.front());
    calls.pop_front();
    oldest.done.get();
    report(std::to_string(host.stats().delivered) + " " + std::to_string(oldest.fetcher) + " " +
           std::to_string(oldest.token));
    if (!eventually([&host] { return host.stats().queued_fetches < most_queued; }))
      throw std::runtime_error("the queue does not drain");
  }
}

void finish(const std::string& directory, std::uint64_t expected_tokens) {
  runtime host(crash_options(directory));
  host.define<fetcher>();
  const auto sum_of_tokens = [&host] {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < fetcher_count; ++i)
      sum += host.get<fetcher>(fetcher_id(i)).call<&fetcher::tokens_seen>().get();
    return sum;
  };
  const auto nobody_waits = [&host] {
    for (std::size_t i = 0; i < fetcher_count; ++i)
      if (host.get<fetcher>(fetcher_id(i)).call<&fetcher::waits_for_results>().get()) return false;
    return true;
  };
  // In this order: once all calls have run, a fetch is begun only by the continuation of another, and an
  // object that waits for none is done for ever.
  const auto finished = eventually(
      [&] {
        return sum_of_tokens() >= expected_tokens && nobody_waits() && host.stats().queued_fetches == 0;
      },
      std::chrono::seconds(120));
  if (!finished)
    throw std::runtime_error(fmt::format(
        "not finished: {} of {} calls ran, {} fetches queued, {} messages pending", sum_of_tokens(),
        expected_tokens, host.stats().queued_fetches, host.stats().pending_messages));
  host.stop();
}

[[noreturn]] void count_until_killed(const std::string& directory, std::size_t at_once) {
  runtime host(crash_options(directory));
  host.define<counter>();
  auto target = host.get<counter>("c");
  std::thread([target] {
    for (;;)
      report("read " + std::to_string(target.call<&counter::value>().get()));
  }).detach();
  std::deque<std::future<std::uint64_t>> calls;
  for (;;) {
    calls.push_back(target.call<&counter::add>());
    if (calls.size() < at_once) continue;
    report("add " + std::to_string(calls.front().get()));
    calls.pop_front();
  }
}

void begin_hauls(runtime& host, const std::string& upstream) {
  host.define<hauler>();
  for (std::size_t i = 0; i < hauler_count; ++i)
    host.get<hauler>(hauler_id(i)).call<&hauler::begin>(upstream).get();
}

[[noreturn]] void haul_until_killed(const std::string& directory, const std::string& upstream) {
  runtime host(haul_options(directory));
  begin_hauls(host, upstream);
  report("0");
  for (std::uint64_t told = 0;;) {
    if (!eventually([&] { return host.stats().delivered > told; }))
      throw std::runtime_error("no body is delivered");
    told = host.stats().delivered;
    report(std::to_string(told));
  }
}

void unload(const std::string& directory, const std::string& upstream) {
  runtime host(haul_options(directory));
  begin_hauls(host, upstream);
  const auto all_came = [&host] {
    for (std::size_t i = 0; i < hauler_count; ++i) {
      const auto hauls = host.get<hauler>(hauler_id(i)).call<&hauler::hauls>().get();
      if (hauls.size() < hauls_each || hauls.back().results == 0) return false;
    }
    return true;
  };
  if (!eventually(all_came, std::chrono::seconds(120))) throw std::runtime_error("not all bodies came");
  host.stop();
}

[[noreturn]] void keep_until_killed(const std::string& directory, std::size_t at_once) {
  runtime host(crash_options(directory));
  host.define<ledger>();
  auto target = host.get<ledger>("l");
  std::deque<std::future<std::uint64_t>> calls;
  for (;;) {
    calls.push_back(target.call<&ledger::add>());
    if (calls.size() < at_once) continue;
    report("add " + std::to_string(calls.front().get()));
    calls.pop_front();
  }
}

/// Lives of 1 to 150 rows: at their ends rows are erased one by one and as ranges.
[[noreturn]] void live_and_end(const std::string& directory, std::size_t at_once) {
  runtime host(crash_options(directory));
  host.define<mayfly>();
  auto target = host.get<mayfly>("m");
  std::deque<std::future<std::uint64_t>> calls;
  for (std::uint64_t life = 1;; ++life) {
    for (std::uint64_t turn = 0; turn <= life * 37 % 150; ++turn) {
      calls.push_back(target.call<&mayfly::live>());
      if (calls.size() < at_once) continue;
      calls.front().get();
      calls.pop_front();
    }
    auto ended = target.call<&mayfly::end>();
    if (at_once == 1) ended.get(); // nothing is in flight when the next life begins
    report("end " + std::to_string(life));
  }
}

[[noreturn]] void ring_until_killed(const std::string& directory) {
  runtime host(ring_options(directory));
  host.define<ringer>();
  report("0");
  for (std::uint64_t round = 0;; ++round) {
    host.get<ringer>(ringer_id(round % ringer_count)).call<&ringer::wind>(rings_at_once).get();
    report(std::to_string(host.stats().fired));
    if (!eventually([&host] { return host.stats().schedules < most_rings_waiting; }))
      throw std::runtime_error("the schedules do not fire");
  }
}

/// Everybody writes, and one takes orders with keys: the one that comes next, and one of those that a process
/// before may have made.
[[noreturn]] void correspond_until_killed(const std::string& directory, std::uint64_t tried) {
  runtime host(correspondent_options(directory));
  host.define<clerk, correspondent>();
  const auto order = [&host](std::uint64_t key) {
    report(std::to_string(key));
    const auto number = host.get<correspondent>(correspondent_id(0))
                            .with({.idempotency_key = order_key(key)})
                            .call<&correspondent::order>()
                            .get();
    report(std::to_string(key) + " " + std::to_string(number));
  };
  for (auto key = tried;;) {
    std::vector<std::future<void>> calls;
    for (std::uint64_t i = 0; i < correspondent_count; ++i)
      calls.push_back(host.get<correspondent>(correspondent_id(i)).call<&correspondent::write>());
    if (key > 0) order(key);
    order(++key);
    for (auto& each : calls)
      each.get();
    if (!eventually([&host] { return host.stats().pending_messages < 200; }))
      throw std::runtime_error("the messages are not handled");
  }
}

options saga_options(const std::string& directory) {
  auto out = crash_options(directory);
  out.task_results_kept_for = std::chrono::milliseconds(0); // so that in the end nothing is left
  return out;
}

/// Places orders, a few at a time, numbered from `placed + 1` on.
[[noreturn]] void sell_until_killed(const std::string& directory, const std::string& upstream,
                                    std::uint64_t placed) {
  runtime host(saga_options(directory));
  host.define<stock, purchase>();
  for (auto number = placed;;) {
    std::vector<std::future<void>> calls;
    for (int i = 0; i < 5; ++i) {
      ++number;
      calls.push_back(host.get<purchase>(order_id(number)).call<&purchase::place>(upstream, number));
    }
    for (auto& each : calls)
      each.get();
    report(std::to_string(number));
    if (!eventually([&host] { return host.stats().queued_fetches < 100; }))
      throw std::runtime_error("the queue does not drain");
  }
}

/// Lets all orders end, and tells what they did.
void settle(const std::string& directory) {
  runtime host(saga_options(directory));
  host.define<stock, purchase>();
  std::size_t looked = 0;
  const auto all_ended = [&] {
    if (++looked % 1'000 == 0) report("waiting");
    return host.tasks().list({.limit = 1}).empty() && host.stats().schedules == 0;
  };
  if (!eventually(all_ended, std::chrono::seconds(120))) {
    std::string left;
    for (const auto& each : host.tasks().list({.limit = 5}))
      left += to_string(each.id) + " " + std::string(to_string(each.state)) + " ";
    throw std::runtime_error("tasks do not end: " + left);
  }
  object_list_options next;
  do {
    const auto page = host.objects<purchase>(next);
    for (const auto& id : page.ids) {
      std::string line = id.substr(id.find('-') + 1);
      for (const auto& each : host.get<purchase>(id).call<&purchase::report>().get())
        line += " " + each;
      report(line);
    }
    next.cursor = page.cursor;
  } while (!next.cursor.empty());
  report("end");
  report(std::to_string(host.get<stock>("stock").call<&stock::taken>().get()));
  host.stop();
}

[[noreturn]] void serve() {
  samples::raise_open_file_limit();
  samples::upstream_server upstream;
  upstream.start();
  report(upstream.url());
  for (;;)
    ::pause();
}

int run(const std::vector<std::string>& arguments) {
  const auto& what = arguments.at(0);
  if (what == "fetch")
    fetch_until_killed(arguments.at(1), arguments.at(2), std::stoull(arguments.at(3)),
                       std::stoull(arguments.at(4)));
  if (what == "count") count_until_killed(arguments.at(1), std::stoull(arguments.at(2)));
  if (what == "haul") haul_until_killed(arguments.at(1), arguments.at(2));
  if (what == "unload") {
    unload(arguments.at(1), arguments.at(2));
    return 0;
  }
  if (what == "keep") keep_until_killed(arguments.at(1), std::stoull(arguments.at(2)));
  if (what == "live and end") live_and_end(arguments.at(1), std::stoull(arguments.at(2)));
  if (what == "ring") ring_until_killed(arguments.at(1));
  if (what == "correspond") correspond_until_killed(arguments.at(1), std::stoull(arguments.at(2)));
  if (what == "sell") sell_until_killed(arguments.at(1), arguments.at(2), std::stoull(arguments.at(3)));
  if (what == "settle") {
    settle(arguments.at(1));
    return 0;
  }
  if (what == "upstream") serve();
  if (what != "finish") throw std::invalid_argument("unknown job " + what);
  finish(arguments.at(1), std::stoull(arguments.at(2)));
  return 0;
}

} // namespace
} // namespace dormouse::test

int main(int argc, char** argv) {
  try {
    return dormouse::test::run({argv + 1, argv + argc});
  } catch (const std::exception& e) {
    std::cerr << "crash_child: " << e.what() << std::endl;
    return 1;
  }
}
