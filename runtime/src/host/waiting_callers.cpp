#include "host/waiting_callers.hpp"

#include "store/store.hpp"

#include <dormouse/serialization/codec.hpp>

namespace dormouse {

return_address waiting_callers::add(std::uint64_t id, std::unique_ptr<reply_sink> sink) {
  std::lock_guard guard(mutex_);
  sinks_.emplace(id, std::move(sink));
  return {{}, {}, encode(id)};
}

bool waiting_callers::is_of_the_past(const return_address& hop, const store& in) {
  auto id = is_caller(hop) ? decode<std::uint64_t>(hop.context)
                           : expected<std::uint64_t>(fail(errc::not_found, {}));
  return id && in.is_of_earlier_process(*id);
}

std::unique_ptr<reply_sink> waiting_callers::take(const return_address& hop) {
  auto id = decode<std::uint64_t>(hop.context);
  if (!id) return nullptr;
  std::lock_guard guard(mutex_);
  auto node = sinks_.extract(*id);
  return node ? std::move(node.mapped()) : nullptr;
}

void waiting_callers::add_to(const return_address& hop, std::unique_ptr<reply_sink> sink) {
  std::lock_guard guard(mutex_);
  shared_.emplace(encode(hop), std::move(sink));
}

std::vector<std::unique_ptr<reply_sink>> waiting_callers::take_all(const return_address& hop) {
  std::vector<std::unique_ptr<reply_sink>> out;
  std::lock_guard guard(mutex_);
  const auto [first, last] = shared_.equal_range(encode(hop));
  for (auto each = first; each != last; ++each)
    out.push_back(std::move(each->second));
  shared_.erase(first, last);
  return out;
}

void waiting_callers::fail_all(const error& why) {
  std::unordered_map<std::uint64_t, std::unique_ptr<reply_sink>> all;
  std::unordered_multimap<std::string, std::unique_ptr<reply_sink>> shared;
  {
    std::lock_guard guard(mutex_);
    all.swap(sinks_);
    shared.swap(shared_);
  }
  for (auto& [id, sink] : all)
    sink->resolve(unexpected<error>(why));
  for (auto& [hop, sink] : shared)
    sink->resolve(unexpected<error>(why));
}

std::size_t waiting_callers::size() const {
  std::lock_guard guard(mutex_);
  return sinks_.size() + shared_.size();
}

} // namespace dormouse
