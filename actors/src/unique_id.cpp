#include <dormouse/actors/unique_id.hpp>

#include <sys/random.h>

#include <array>
#include <cstdlib>

namespace dormouse {

std::string unique_id() {
  std::array<unsigned char, 16> bytes{};
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
    std::abort(); // 16 bytes always come whole
  constexpr char digits[] = "0123456789abcdef";
  std::string out;
  for (const auto byte : bytes) {
    out += digits[byte >> 4U];
    out += digits[byte & 15U];
  }
  return out;
}

} // namespace dormouse
