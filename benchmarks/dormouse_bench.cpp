/// Whole-path figures, each beside its limit measured in the same run.

#include "row.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <cstdio>
#include <exception>

int main(int argc, char** argv) {
  using namespace dormouse::bench;
  CLI::App app{"Dormouse's figures, each beside the limit it is measured against in the same run"};
  settings how;
  bool json = false;
  std::string filter;
  app.add_flag("--quick", how.quick, "Fewer repetitions: all rows in under two minutes");
  app.add_flag("--json", json, "One JSON object a line: name, conditions, ours, limit, ratio, unit");
  app.add_option("--filter", filter, "Only benchmarks whose name contains this");
  CLI11_PARSE(app, argc, argv);

  const std::pair<const char*, benchmark> all[] = {
      {"read_call", read_call},
      {"durable_turn", durable_turn},
      {"fetch_roundtrip", fetch_roundtrip},
      {"fetch_added_latency", fetch_added_latency},
      {"fetch_large", fetch_large},
      {"fetch_cookies", fetch_cookies},
      {"origins", origins},
      {"schedules", schedules},
      {"object_call", object_call},
      {"task_step", task_step},
      {"wake", wake},
      {"memory", memory},
  };
  bool any = false;
  try {
    if (!json)
      fmt::print("{:<20} {:>14} {:>14} {:>8}  {:<10} {}\n", "name", "ours", "limit", "ratio", "unit",
                 "conditions");
    for (const auto& [name, run] : all) {
      if (std::string(name).find(filter) == std::string::npos) continue;
      any = true;
      for (const auto& each : run(how)) {
        if (json)
          fmt::print("{}\n", nlohmann::ordered_json{{"name", each.name},
                                                    {"conditions", each.conditions},
                                                    {"ours", each.ours},
                                                    {"limit", each.limit},
                                                    {"ratio", each.ratio},
                                                    {"unit", each.unit}}
                                 .dump());
        else
          fmt::print("{:<20} {:>14.2f} {:>14.2f} {:>8.3f}  {:<10} {}\n", each.name, each.ours, each.limit,
                     each.ratio, each.unit, each.conditions);
        std::fflush(stdout);
      }
    }
  } catch (const std::exception& e) {
    fmt::print(stderr, "{}\n", e.what());
    return 1;
  }
  if (!any) {
    fmt::print(stderr, "no benchmark has '{}' in its name\n", filter);
    return 2;
  }
  return 0;
}
