#include <dormouse/serialization/return_path.hpp>

#include <cstring>

namespace dormouse {

std::string detail::with_incarnation(const std::string& name, std::uint64_t incarnation) {
  auto out = name;
  out += '\0';
  out.append(reinterpret_cast<const char*>(&incarnation),
             sizeof incarnation); // little-endian: archive.hpp asserts it
  return out;
}

std::uint64_t detail::take_incarnation(std::string& name) {
  const auto end = name.find('\0');
  if (end == std::string::npos) return 0;
  std::uint64_t incarnation = 0;
  if (name.size() == end + 1 + sizeof incarnation)
    std::memcpy(&incarnation, name.data() + end + 1, sizeof incarnation);
  if (incarnation == 0)
    throw failure({errc::corrupt, "a stored wire name has a NUL and no incarnation behind it"});
  name.resize(end);
  return incarnation;
}

expected<void> return_path::push(return_address next) {
  if (hops_.size() >= max_return_path_hops)
    return fail(errc::path_too_long, "the return path already has " + std::to_string(hops_.size()) +
                                         " hops, which is the limit; the next would be " +
                                         to_string(next.object));
  hops_.push_back(std::move(next));
  return {};
}

std::optional<return_address> return_path::pop() {
  if (hops_.empty()) return std::nullopt;
  auto top = std::move(hops_.back());
  hops_.pop_back();
  return top;
}

void return_path::check_length() const {
  if (hops_.size() > max_return_path_hops)
    throw failure({errc::path_too_long, "a stored return path has " + std::to_string(hops_.size()) +
                                            " hops; the limit is " + std::to_string(max_return_path_hops)});
}

} // namespace dormouse
