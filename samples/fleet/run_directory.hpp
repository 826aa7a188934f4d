#pragma once

/// Where a run keeps its objects: a temporary directory that goes away with it, or one that was named and
/// stays.

#include <filesystem>
#include <stdexcept>

namespace fleet {

/// Something that the command line asks for cannot be had; nothing has been started.
class usage_error : public std::runtime_error {
  using runtime_error::runtime_error;
};

class run_directory {
public:
  /// `named` may be empty. Throws `usage_error` if it has something in it or cannot be written.
  explicit run_directory(const std::filesystem::path& named);
  ~run_directory();

  run_directory(const run_directory&) = delete;
  run_directory& operator=(const run_directory&) = delete;

  /// Of the runtime; inside the directory.
  std::filesystem::path store() const { return path_ / "store"; }

private:
  std::filesystem::path path_;
  bool temporary_ = false;
};

} // namespace fleet
