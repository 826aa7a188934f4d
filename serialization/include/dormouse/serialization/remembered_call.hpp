#pragma once

/// What a call from outside with an idempotency key came to, so that one with the same key gets the same and
/// nothing is done twice. Times are milliseconds since the Unix epoch.

#include <dormouse/serialization/call_result.hpp>

#include <cstddef>
#include <cstdint>
#include <string>

namespace dormouse {

inline constexpr std::size_t max_idempotency_key_bytes = 255; ///< of a call; at least one

struct remembered_call {
  std::string method; ///< wire name
  std::uint32_t arguments_digest =
      0; ///< CRC-32C: the same key with other arguments is a mistake of the caller's
  std::uint64_t arguments_bytes = 0;
  std::int64_t done_ms = 0;                         ///< 0: its turn has committed, and its reply comes later
  call_result<std::string> outcome = std::string(); ///< encoded; once done

  friend bool operator==(const remembered_call&, const remembered_call&) = default;

  template <class Archive> void serialize(Archive& ar) {
    ar(method, arguments_digest, arguments_bytes, done_ms, outcome);
  }
};

} // namespace dormouse
