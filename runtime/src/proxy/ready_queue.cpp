#include "proxy/ready_queue.hpp"

namespace dormouse {

void ready_queue::add(const std::string& origin, fetch_priority priority, std::uint64_t id) {
  auto at = origins_.try_emplace(origin).first;
  at->second.waiting.emplace(priority, id);
  refresh(at);
}

std::optional<std::uint64_t> ready_queue::take() {
  if (heads_.empty())
    return std::nullopt;
  auto at = origins_.find(heads_.begin()->second);
  auto& state = at->second;
  auto id = state.waiting.begin()->second;
  state.waiting.erase(state.waiting.begin());
  ++state.in_flight;
  refresh(at);
  return id;
}

bool ready_queue::remove(const std::string& origin, fetch_priority priority, std::uint64_t id) {
  auto at = origins_.find(origin);
  if (at == origins_.end() || at->second.waiting.erase({priority, id}) == 0)
    return false;
  refresh(at);
  return true;
}

void ready_queue::release(const std::string& origin) {
  auto at = origins_.find(origin);
  if (at == origins_.end() || at->second.in_flight == 0)
    return;
  --at->second.in_flight;
  refresh(at);
}

void ready_queue::refresh(std::unordered_map<std::string, origin_state>::iterator origin) {
  auto& [name, state] = *origin;
  std::optional<rank> offer;
  if (state.in_flight < limit_ && !state.waiting.empty())
    offer = *state.waiting.begin();
  if (offer != state.offered) {
    if (state.offered)
      heads_.erase({*state.offered, name});
    if (offer)
      heads_.emplace(*offer, name);
    state.offered = offer;
  }
  if (state.in_flight == 0 && state.waiting.empty())
    origins_.erase(origin);
}

} // namespace dormouse
