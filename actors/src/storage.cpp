#include <dormouse/actors/storage.hpp>

#include <fmt/format.h>

#include <iterator>

namespace dormouse {

std::string name_of_row(const address& of, std::string_view key) {
  constexpr std::size_t most_bytes = 100;
  std::string readable;
  for (const char c : key.substr(0, most_bytes)) {
    if (c >= ' ' && c <= '~')
      readable += c;
    else
      fmt::format_to(std::back_inserter(readable), "\\x{:02x}", static_cast<unsigned char>(c));
  }
  return fmt::format("the row '{}{}' in the storage of object {}", readable,
                     key.size() > most_bytes ? "..." : "", to_string(of));
}

bool storage::erase(std::string_view key) { return erase_keys({std::string(key)}) != 0; }

std::size_t storage::erase_keys(const std::vector<std::string>& keys) {
  return value_or_throw(host().erase_rows(keys));
}

void storage::erase_all() { value_or_throw(host().erase_all_rows()); }

} // namespace dormouse
