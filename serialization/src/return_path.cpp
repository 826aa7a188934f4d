#include <dormouse/serialization/return_path.hpp>

namespace dormouse {

expected<void> return_path::push(return_address next) {
  if (hops_.size() >= max_return_path_hops)
    return fail(errc::path_too_long, "the return path already has " + std::to_string(hops_.size())
                                       + " hops, which is the limit; the next would be " + to_string(next.object));
  hops_.push_back(std::move(next));
  return {};
}

std::optional<return_address> return_path::pop() {
  if (hops_.empty())
    return std::nullopt;
  auto top = std::move(hops_.back());
  hops_.pop_back();
  return top;
}

void return_path::check_length() const {
  if (hops_.size() > max_return_path_hops)
    throw failure({errc::path_too_long, "a stored return path has " + std::to_string(hops_.size()) + " hops; the limit is "
                                          + std::to_string(max_return_path_hops)});
}

} // namespace dormouse
