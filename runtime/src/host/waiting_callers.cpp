#include "host/waiting_callers.hpp"

#include <dormouse/serialization/codec.hpp>

namespace dormouse {

return_address waiting_callers::add(std::uint64_t id, std::unique_ptr<reply_sink> sink) {
  std::lock_guard guard(mutex_);
  sinks_.emplace(id, std::move(sink));
  return {{}, {}, encode(id)};
}

std::unique_ptr<reply_sink> waiting_callers::take(const return_address& hop) {
  auto id = decode<std::uint64_t>(hop.context);
  if (!id)
    return nullptr;
  std::lock_guard guard(mutex_);
  auto node = sinks_.extract(*id);
  return node ? std::move(node.mapped()) : nullptr;
}

void waiting_callers::fail_all(const error& why) {
  std::unordered_map<std::uint64_t, std::unique_ptr<reply_sink>> all;
  {
    std::lock_guard guard(mutex_);
    all.swap(sinks_);
  }
  for (auto& [id, sink] : all)
    sink->resolve(unexpected<error>(why));
}

std::size_t waiting_callers::size() const {
  std::lock_guard guard(mutex_);
  return sinks_.size();
}

} // namespace dormouse
