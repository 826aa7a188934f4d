#pragma once

/// Messages that are given up: moved from the inbox of an object to the dead letters.

#include "host/actor_messages.hpp"
#include "host/runtime_core.hpp"

#include <cstdint>

namespace dormouse {

/// Whose doing it is that a message cannot be handled.
enum class fault : std::uint8_t {
  handler,
  disk, ///< the row is damaged: it is counted among those
};

/// In a commit of its own. Whoever waits for what the handler would have come to hears why; the letter keeps only the way to the handler, so that a retry
/// answers nobody twice. The message stays where it is if it cannot be read now.
void bury(runtime_core& core, const address& of, envelope& what, const error& why, fault whose);

} // namespace dormouse
