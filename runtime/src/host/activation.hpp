#pragma once

/// An object while it is awake: one CAF actor. It loads the state, runs one turn at a time, hands each turn's
/// effects to the store as one commit, and goes on with the next turn while that commit is in flight; only
/// what leaves waits (R4).

#include "host/directory.hpp"

#include <caf/actor.hpp>

namespace dormouse {

struct runtime_core;

caf::actor spawn_activation(runtime_core& core, directory_entry& entry);

} // namespace dormouse
