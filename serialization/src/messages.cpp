#include <dormouse/serialization/messages.hpp>

#include <algorithm>

namespace dormouse {

std::int64_t fetch_message::end_ms() const noexcept {
  const auto at = extra.signal.at_ms();
  return deadline_ms == 0 ? at : at == 0 ? deadline_ms : std::min(deadline_ms, at);
}

bool fetch_message::is_repeatable() const noexcept {
  if (extra.delivery == delivery::at_most_once) return false;
  return !idempotency_key.empty() || method == "GET" || method == "HEAD" || method == "OPTIONS" ||
         method == "PUT" || method == "DELETE";
}

} // namespace dormouse
