#include <dormouse/serialization/crc32c.hpp>

#include <array>
#include <cstddef>
#include <cstring>

// Debian has no CRC-32C library to link, Boost.CRC works a byte at a time, and every turn pays for this sum:
// so the processor's own instruction where there is one, and a plain table elsewhere. The instruction waits
// three cycles for its own result: three sums side by side over neighbouring blocks cost no more than one,
// and the sum of them all follows from the three, because a CRC is linear.

namespace dormouse {
namespace {

constexpr std::array<std::uint32_t, 256> table = [] {
  std::array<std::uint32_t, 256> entries{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit)
      crc = (crc >> 1U) ^ ((crc & 1U) != 0 ? 0x82f63b78U : 0U);
    entries[i] = crc;
  }
  return entries;
}();

std::uint32_t extend_by_table(std::uint32_t crc, std::string_view bytes) noexcept {
  for (char c : bytes)
    crc = table[(crc ^ static_cast<unsigned char>(c)) & 0xffU] ^ (crc >> 8U);
  return crc;
}

#if defined(__x86_64__)
constexpr std::size_t block_bytes = 1024;

/// What `block_bytes` zero bytes make of a sum: `behind[k][b]` of one whose k-th byte is b and the others 0.
constexpr std::array<std::array<std::uint32_t, 256>, 4> behind = [] {
  std::array<std::uint32_t, 32> of_bit{};
  for (std::uint32_t bit = 0; bit < 32; ++bit) {
    std::uint32_t crc = std::uint32_t{1} << bit;
    for (std::size_t i = 0; i < block_bytes; ++i)
      crc = table[crc & 0xffU] ^ (crc >> 8U);
    of_bit[bit] = crc;
  }
  std::array<std::array<std::uint32_t, 256>, 4> entries{};
  for (std::uint32_t k = 0; k < 4; ++k)
    for (std::uint32_t b = 0; b < 256; ++b)
      for (std::uint32_t bit = 0; bit < 8; ++bit)
        if (((b >> bit) & 1U) != 0) entries[k][b] ^= of_bit[8 * k + bit];
  return entries;
}();

std::uint64_t past_block(std::uint64_t crc) noexcept {
  return behind[0][crc & 0xffU] ^ behind[1][(crc >> 8U) & 0xffU] ^ behind[2][(crc >> 16U) & 0xffU] ^
         behind[3][(crc >> 24U) & 0xffU];
}

std::uint64_t word_at(const char* at) noexcept {
  std::uint64_t word = 0;
  std::memcpy(&word, at, sizeof word);
  return word;
}

__attribute__((target("sse4.2"))) std::uint32_t extend_by_instruction(std::uint32_t crc,
                                                                      std::string_view bytes) noexcept {
  std::uint64_t wide = crc;
  for (; bytes.size() >= 3 * block_bytes; bytes.remove_prefix(3 * block_bytes)) {
    std::uint64_t second = 0;
    std::uint64_t third = 0;
    for (const char* at = bytes.data(); at != bytes.data() + block_bytes; at += 8) {
      wide = __builtin_ia32_crc32di(wide, word_at(at));
      second = __builtin_ia32_crc32di(second, word_at(at + block_bytes));
      third = __builtin_ia32_crc32di(third, word_at(at + 2 * block_bytes));
    }
    wide = past_block(past_block(wide) ^ second) ^ third;
  }
  for (; bytes.size() >= 8; bytes.remove_prefix(8))
    wide = __builtin_ia32_crc32di(wide, word_at(bytes.data()));
  crc = static_cast<std::uint32_t>(wide);
  for (char c : bytes)
    crc = __builtin_ia32_crc32qi(crc, static_cast<unsigned char>(c));
  return crc;
}
#endif

} // namespace

std::uint32_t crc32c(std::string_view bytes, std::uint32_t seed) noexcept {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("sse4.2")) return ~extend_by_instruction(~seed, bytes);
#endif
  return ~extend_by_table(~seed, bytes);
}

} // namespace dormouse
