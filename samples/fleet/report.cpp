#include "report.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <utility>
#include <vector>

namespace fleet {

namespace {

double rounded(double value) { return std::round(value * 10.0) / 10.0; }

std::string of_all(std::uint64_t count, std::size_t total) {
  return count == total ? "all " + std::to_string(total)
                        : std::to_string(count) + " of " + std::to_string(total);
}

std::string server_note(const run_report& run) {
  if (!run.server) return "this server does not count, or not for us";
  const auto hits = run.server->hits;
  if (hits < run.objects) return "fewer than the objects made";
  if (hits == run.objects) return "one for each fetch";
  auto note = std::to_string(hits - run.objects) + " repeated";
  if (run.restarts > 0) note += ": in flight at the kill, and safe to repeat because GET";
  if (run.retries > 0) note += "; " + std::to_string(run.retries) + " retries";
  return note;
}

} // namespace

std::string one_digit(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f", value);
  return text.data();
}

std::string describe_asleep(const sample& moment, std::size_t objects) {
  return of_all(objects - std::min<std::size_t>(moment.awake, objects), objects) + " objects asleep, " +
         of_all(moment.pending, objects) + " requests pending, " + std::to_string(moment.in_flight) +
         " of them in flight";
}

bool run_report::good() const {
  return found.fetches == objects && found.delivered == objects && found.lost == 0 && found.duplicated == 0 &&
         found.wrong_object == 0;
}

std::string run_report::table() const {
  struct row {
    std::string name;
    std::string value;
    std::string note;
  };
  const auto number = [](std::uint64_t value) { return std::to_string(value); };
  const std::vector<row> rows{
      {"objects", number(objects), ""},
      {"fetches", number(found.fetches), "each one commit with the state of its object"},
      {"delivered", number(found.delivered), "as the objects had it stored"},
      {"lost", number(found.lost), found.first_problem},
      {"duplicated", number(found.duplicated), ""},
      {"to the wrong object", number(found.wrong_object), ""},
      {"requests at the server", server ? number(server->hits) : "-", server_note(*this)},
      {"at the server at once", server ? number(server->in_flight_peak) : "-",
       "requests received and not answered yet, at most"},
      {"awake at most", number(awake_peak), "objects in memory at once, before they were asked at the end"},
      {"memory, idle", one_digit(rss_mib_idle) + " MiB", "runtime open, nothing created"},
      {"memory, asleep", one_digit(asleep.rss_mib) + " MiB", describe_asleep(asleep, objects)},
      {"restarts", number(restarts),
       restarts > 0 ? "SIGKILL after " + number(delivered_before_kill) + " had been delivered" : ""},
      {"time", one_digit(seconds) + " s", ""}};

  std::size_t widest = 0;
  for (const auto& each : rows)
    widest = std::max(widest, each.name.size());
  std::string text;
  for (const auto& each : rows) {
    const auto value = std::string(each.value.size() < 12 ? 12 - each.value.size() : 0, ' ') + each.value;
    text += each.name + std::string(widest - each.name.size(), ' ') + value;
    text += (each.note.empty() ? "" : "   " + each.note) + '\n';
  }
  return text;
}

std::string run_report::json_line() const {
  nlohmann::ordered_json line;
  line["objects"] = objects;
  line["fetches"] = found.fetches;
  line["delivered"] = found.delivered;
  line["lost"] = found.lost;
  line["duplicated"] = found.duplicated;
  line["wrong_object"] = found.wrong_object;
  line["server_hits"] = server ? nlohmann::ordered_json(server->hits) : nlohmann::ordered_json(nullptr);
  line["awake_peak"] = awake_peak;
  line["rss_mib_idle"] = rounded(rss_mib_idle);
  line["rss_mib_asleep"] = rounded(asleep.rss_mib);
  line["restarts"] = restarts;
  line["seconds"] = rounded(seconds);
  return line.dump();
}

} // namespace fleet
