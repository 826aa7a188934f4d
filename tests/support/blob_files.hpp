#pragma once

/// The body files of a store: to count, and to damage.

#include "eventually.hpp"

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <vector>

namespace dormouse::test {

inline std::string read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline void write_file(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

/// Of the store in `directory`. A file may go while one looks.
inline std::vector<std::filesystem::path> blob_files(const std::filesystem::path& directory) {
  std::vector<std::filesystem::path> files;
  std::error_code gone;
  for (std::filesystem::directory_iterator at(directory / "blobs", gone);
       !gone && at != std::filesystem::directory_iterator(); at.increment(gone))
    files.push_back(at->path());
  return files;
}

/// Files are removed soon after the commit that allows it.
inline bool no_blob_files(const std::filesystem::path& directory) {
  return eventually([&directory] { return blob_files(directory).empty(); });
}

/// Changes every body file; tells how many there were.
inline std::size_t change_blob_files(const std::filesystem::path& directory,
                                     const std::function<void(std::string&)>& how) {
  const auto files = blob_files(directory);
  for (const auto& file : files) {
    auto bytes = read_file(file);
    how(bytes);
    write_file(file, bytes);
  }
  return files.size();
}

inline void flip_middle_bit(std::string& bytes) {
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 4);
}

/// The folder of the body files is away: nothing can be read or written there. Back at the end.
class no_blob_folder {
public:
  explicit no_blob_folder(const std::filesystem::path& directory)
      : here_(directory / "blobs"), away_(directory / "blobs-away") {
    std::filesystem::rename(here_, away_);
  }
  no_blob_folder(const no_blob_folder&) = delete;
  no_blob_folder& operator=(const no_blob_folder&) = delete;
  ~no_blob_folder() { std::filesystem::rename(away_, here_); }

private:
  std::filesystem::path here_;
  std::filesystem::path away_;
};

} // namespace dormouse::test
