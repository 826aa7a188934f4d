#include "run_directory.hpp"

#include <cerrno>
#include <cstdlib>
#include <string>
#include <system_error>

namespace fleet {

namespace {

[[noreturn]] void refuse(const std::filesystem::path& path, const std::string& why) {
  throw usage_error(path.string() + ": " + why);
}

std::filesystem::path make_temporary() {
  auto pattern = (std::filesystem::temp_directory_path() / "dormouse-fleet-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) refuse(pattern, std::generic_category().message(errno));
  return pattern;
}

} // namespace

run_directory::run_directory(const std::filesystem::path& named)
    : path_(named.empty() ? make_temporary() : std::filesystem::absolute(named)), temporary_(named.empty()) {
  std::error_code error;
  if (!temporary_) {
    const auto found = std::filesystem::status(path_, error);
    if (std::filesystem::exists(found)) {
      if (!std::filesystem::is_directory(found)) refuse(path_, "is not a directory");
      // Objects of an earlier run have their answers already and would ask for nothing.
      const auto empty = std::filesystem::is_empty(path_, error);
      if (error) refuse(path_, error.message());
      if (!empty) refuse(path_, "is not empty; name a new directory");
    }
  }
  std::filesystem::create_directories(store(), error);
  if (error) refuse(path_, "cannot be written: " + error.message());
}

run_directory::~run_directory() {
  std::error_code ignored;
  if (temporary_) std::filesystem::remove_all(path_, ignored);
}

} // namespace fleet
