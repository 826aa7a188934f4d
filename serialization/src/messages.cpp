#include <dormouse/serialization/messages.hpp>

namespace dormouse {

bool fetch_message::is_repeatable() const noexcept {
  return !idempotency_key.empty() || method == "GET" || method == "HEAD" || method == "OPTIONS" || method == "PUT" || method == "DELETE";
}

} // namespace dormouse
