#include <dormouse/serialization/fetch_error.hpp>

namespace dormouse {

std::string_view to_string(fetch_errc code) noexcept {
  switch (code) {
  case fetch_errc::timeout:
    return "TIMEOUT";
  case fetch_errc::fetch_failed:
    return "FETCH_FAILED";
  case fetch_errc::network_error:
    return "NETWORK_ERROR";
  case fetch_errc::queue_error:
    return "QUEUE_ERROR";
  case fetch_errc::aborted:
    return "ABORTED";
  case fetch_errc::blocked:
    return "BLOCKED";
  case fetch_errc::too_large:
    return "TOO_LARGE";
  case fetch_errc::circuit_open:
    return "CIRCUIT_OPEN";
  }
  return "UNKNOWN";
}

std::string_view to_string(sent_state sent) noexcept {
  switch (sent) {
  case sent_state::no:
    return "no";
  case sent_state::maybe:
    return "maybe";
  case sent_state::yes:
    return "yes";
  }
  return "unknown";
}

} // namespace dormouse
