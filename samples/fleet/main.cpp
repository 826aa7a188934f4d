// Many objects ask a slow server, sleep on disk while it thinks, and lose nothing when their process is
// killed. README.md says what to look at.

#include "child_process.hpp"
#include "run_directory.hpp"
#include "supervisor.hpp"
#include "upstream/open_file_limit.hpp"
#include "upstream/upstream_server.hpp"
#include "worker.hpp"

#include <dormouse/serialization/url.hpp>

#include <CLI/CLI.hpp>
#include <unistd.h>

#include <iostream>
#include <limits>
#include <optional>
#include <random>
#include <string_view>

namespace {

// A child like the worker, so that the server's memory and sockets are not the runtime's. Its parent kills
// it.
int run_upstream() {
  try {
    dormouse::samples::raise_open_file_limit();
    dormouse::samples::upstream_server server;
    server.start();
    fleet::write_report_line(server.url());
    while (true)
      ::pause();
  } catch (const std::exception& error) {
    std::cerr << "fleet: " << error.what() << '\n';
    return 1;
  }
}

void check_url(const std::string& text) {
  const auto url = dormouse::parse_url(text);
  if (!url) throw fleet::usage_error("--url: " + url.error().message);
  if (!url->fragment.empty() || !url->user.empty())
    throw fleet::usage_error("--url: takes a URL without fragment and user");
}

// Nothing if all has been said, as by --help.
std::optional<fleet::run_options> parse_run(int argc, char** argv) {
  fleet::run_options run{.seed = std::random_device{}() % 1'000'000U};
  std::int64_t delay_ms = run.delay.count();

  CLI::App app{"Durable objects that wait for a slow server, through a kill -9 of their process."};
  app.name("fleet");
  app.add_option("--objects", run.objects, "how many objects")
      ->check(CLI::Range(std::size_t{1}, std::size_t{1'000'000}))
      ->capture_default_str();
  app.add_option("--delay", delay_ms, "ms that the upstream takes for an answer, and up to a quarter more")
      ->check(CLI::Range(std::int64_t{0}, std::int64_t{2'800'000})) // upstream waits for an hour at most
      ->capture_default_str();
  app.add_flag("--kill,!--no-kill", run.kill, "kill the worker when 30 to 50 % are delivered (the default)");
  app.add_option("--directory", run.directory, "where the objects live; it stays (default: temporary)");
  app.add_option("--url", run.url,
                 "of a running samples/upstream, or any other, which each object then asks for as it stands "
                 "(default: an upstream of its own)");
  app.add_option("--seed", run.seed, "of addresses, delays and the moment of the kill (default: random)")
      ->check(CLI::Range(std::int64_t{0}, std::numeric_limits<std::int64_t>::max()));
  app.add_flag("--json", run.json_only, "print the JSON line only");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() != 0) throw fleet::usage_error(error.what());
    app.exit(error);
    return std::nullopt;
  }
  run.delay = std::chrono::milliseconds(delay_ms);
  if (!run.url.empty()) check_url(run.url);
  return run;
}

// What the supervisor gives to its worker.
fleet::worker_options parse_worker(int argc, char** argv) {
  fleet::worker_options work;
  std::int64_t delay_ms = 0;
  std::int64_t time_limit_ms = 0;
  CLI::App app;
  app.add_option("--directory", work.directory)->required();
  app.add_option("--objects", work.plan.objects)->required();
  app.add_option("--delay", delay_ms)->required();
  app.add_option("--seed", work.plan.seed)->required();
  app.add_option("--url", work.plan.url)->required();
  app.add_option("--run-key", work.plan.run_key)->required();
  app.add_option("--time-limit", time_limit_ms)->required();
  app.add_flag("--create", work.create);
  app.add_flag("--verify", work.verify);
  app.add_flag("--scripted,!--as-it-stands", work.plan.scripted);
  app.parse(argc, argv);
  work.plan.delay = std::chrono::milliseconds(delay_ms);
  work.time_limit = std::chrono::milliseconds(time_limit_ms);
  return work;
}

} // namespace

int main(int argc, char** argv) try {
  // The jobs of the child processes (child_process.hpp).
  const std::string_view job = argc > 1 ? argv[1] : "";
  if (job == "upstream") return run_upstream();
  if (job == "worker") return fleet::run_worker(parse_worker(argc - 1, argv + 1));

  const auto run = parse_run(argc, argv);
  return run ? fleet::run_supervisor(*run) : 0;
} catch (const fleet::usage_error& error) {
  std::cerr << "fleet: " << error.what() << '\n';
  return 2;
} catch (const std::exception& error) {
  std::cerr << "fleet: " << error.what() << '\n';
  return 1;
}
