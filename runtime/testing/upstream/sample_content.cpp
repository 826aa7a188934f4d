#include "upstream/sample_content.hpp"

#include <algorithm>
#include <array>
#include <cstddef>

namespace dormouse::samples {

namespace {

constexpr std::size_t letters = 26;

// A whole number of alphabets, so that a run which reaches the end of the block
// goes on at its beginning.
constexpr std::size_t block_size = letters * 2520;

constexpr auto block = [] {
  std::array<char, block_size> filled{};
  for (std::size_t i = 0; i < block_size; ++i) {
    filled[i] = static_cast<char>('a' + i % letters);
  }
  return filled;
}();

} // namespace

std::uint64_t value_of(std::string_view key) noexcept {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const char byte : key) {
    hash ^= static_cast<unsigned char>(byte);
    hash *= 0x100000001b3U;
  }
  hash ^= hash >> 33U;
  hash *= 0xff51afd7ed558ccdU;
  hash ^= hash >> 33U;
  hash *= 0xc4ceb9fe1a85ec53U;
  hash ^= hash >> 33U;
  return hash;
}

std::uint32_t first_letter_of(std::string_view key) noexcept {
  return static_cast<std::uint32_t>(value_of(key) % letters);
}

std::string_view alphabet_from(std::uint64_t position) noexcept {
  return std::string_view{block.data(), block.size()}.substr(position % letters);
}

std::string body_of(std::string_view key, std::uint64_t size) {
  std::string body;
  body.reserve(size);
  const std::uint64_t start = first_letter_of(key);
  while (body.size() < size) {
    const auto run = alphabet_from(start + body.size());
    body.append(run.substr(0, std::min<std::uint64_t>(run.size(), size - body.size())));
  }
  return body;
}

} // namespace dormouse::samples
