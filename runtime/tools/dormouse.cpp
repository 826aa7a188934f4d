/// The command `dormouse`: what is done to a directory that no runtime has open.

#include "store/damage_book.hpp"
#include "store/repair.hpp"

#include <dormouse/runtime/clock.hpp>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <cstddef>
#include <exception>
#include <filesystem>
#include <iostream>
#include <string>

namespace {

using namespace dormouse;

rocksdb_settings settings_for(const std::string& directory) {
  constexpr std::size_t mib = std::size_t{1} << 20U;
  return {directory, 32 * mib, 32 * mib, 128 * 1024};
}

int tell(const error& why) {
  std::cerr << "dormouse: " << to_string(why) << '\n';
  return 1;
}

int repair(const std::string& directory) {
  auto done = repair_store(settings_for(directory), wall_clock().now_ms());
  if (!done) return tell(done.error());
  std::cout << fmt::format("{} rows saved; the old files are in {}\n", done->rows, done->kept.string());
  if (done->missing_commits.value_or(0) != 0)
    std::cout << fmt::format("{} acknowledged commits at the end of the log are lost: objects may be older "
                             "than they were\n",
                             *done->missing_commits);
  else if (!done->missing_commits)
    std::cout << "the watermark was damaged: commits at the end of the log may be missing\n";
  else if (done->log_was_cut)
    std::cout << "the write-ahead log was damaged, behind the last commit that was acknowledged\n";
  for (const auto& each : done->lost)
    std::cout << fmt::format("lost: {} ({})\n", describe_rows(each.rows()), each.reason);
  if (!done->lost.empty())
    std::cout << "objects that may have lost rows fail with `corrupt`; `dormouse accept-losses` ends that\n";
  return 0;
}

int accept(const std::string& directory) {
  const auto done = accept_losses(settings_for(directory));
  if (!done) return tell(done.error());
  std::cout << fmt::format("{} lost ranges forgotten\n", *done);
  std::error_code unseen;
  if (std::filesystem::exists(std::filesystem::path(directory) / damage_note, unseen))
    std::cout << "the store has damage that was not repaired yet; `dormouse repair` comes first\n";
  return 0;
}

} // namespace

int main(int argc, char** argv) try {
  CLI::App app("Looks after the directory of a Dormouse runtime. No runtime may have it open.", "dormouse");
  app.require_subcommand(1);
  std::string directory;
  auto* repairs = app.add_subcommand(
      "repair",
      "Copies what can be read of a damaged store into a fresh one, and keeps the old files beside it");
  auto* accepts = app.add_subcommand("accept-losses",
                                     "Forgets what earlier repairs could not save, as if it had never been");
  for (auto* each : {repairs, accepts})
    each->add_option("DIR", directory, "options::directory of the runtime")->required();
  CLI11_PARSE(app, argc, argv);
  return *repairs ? repair(directory) : accept(directory);
} catch (const std::exception& e) {
  std::cerr << "dormouse: " << e.what() << '\n';
  return 1;
}
