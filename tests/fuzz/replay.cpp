// usage: <target>_replay <file or folder>...
//
// Gives a target the inputs that are kept: its seeds, and what once broke it. Needs no libFuzzer. The name of
// an input is printed before it is tried, so that the last one is the culprit.
#include "fuzz_target.hpp"

#include <exception>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

namespace {

std::vector<std::filesystem::path> inputs_in(const std::filesystem::path& where) {
  if (!std::filesystem::is_directory(where)) return {where};
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(where))
    if (entry.is_regular_file()) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

} // namespace

int main(int argc, char** argv) try {
  std::size_t count = 0;
  for (int i = 1; i < argc; ++i) {
    for (const auto& file : inputs_in(argv[i])) {
      std::ifstream in(file, std::ios::binary);
      const std::string bytes{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
      if (!in) {
        std::cerr << file << " cannot be read\n";
        return 1;
      }
      std::cout << file << std::endl;
      // Exactly as large as the input, so that a sanitizer sees a read behind it; a string has a NUL there.
      const std::vector<std::uint8_t> exact(bytes.begin(), bytes.end());
      LLVMFuzzerTestOneInput(exact.data(), exact.size());
      ++count;
    }
  }
  std::cout << count << " inputs\n";
  return count > 0 ? 0 : 1; // nothing replayed is nothing tested
} catch (const std::exception& e) {
  std::cerr << e.what() << '\n';
  return 1;
}
