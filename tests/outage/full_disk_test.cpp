// R25 on a real disk: one of 16 MiB in memory, and files that may not grow. Each in a process of its own,
// which must not die.

#include "crash/report_pipe.hpp"
#include "eventually.hpp"
#include "subprocess.hpp"

#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

namespace dormouse::test::full_disk_test {
namespace {

/// All that it reported; ends with "done" if it lived to its end.
std::vector<std::string> run(std::vector<std::string> arguments) {
  subprocess child({.arguments = std::move(arguments), .report_descriptor = report_descriptor});
  std::vector<std::string> lines;
  while (auto line = child.read_line()) {
    MESSAGE(*line);
    lines.push_back(*line);
  }
  CHECK(child.wait() == "");
  return lines;
}

/// A program with a file system of its own in this folder.
std::vector<std::string> on_a_small_disk(const std::string& folder, const std::string& then) {
  return {"unshare",
          "-rm",
          "sh",
          "-c",
          "mount -t tmpfs -o size=16m none \"$0\" && exec " + then,
          folder,
          DORMOUSE_OUTAGE_CHILD};
}

bool may_mount(const std::string& folder) {
  subprocess probe({.arguments = on_a_small_disk(folder, "true")});
  return probe.wait().empty();
}

} // namespace

TEST_CASE("R25: a full disk never ends the process, and the store works again when there is room") {
  scratch_directory folder;
  if (!may_mount(folder.path())) {
    MESSAGE("skipped: unshare -rm and mount are not permitted here");
    return;
  }
  const auto lines = run(on_a_small_disk(folder.path(), "\"$1\" full \"$0\""));
  REQUIRE(!lines.empty());
  CHECK(lines.back() == "done");
}

TEST_CASE("R25: a limit on the size of files never ends the process") {
  scratch_directory folder;
  const auto lines = run({DORMOUSE_OUTAGE_CHILD, "limit", folder.path()});
  REQUIRE(!lines.empty());
  CHECK(lines.back() == "done");
}

} // namespace dormouse::test::full_disk_test
