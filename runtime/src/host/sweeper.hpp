#pragma once

/// Looks round for objects that have been idle for `idle_after`, or are one too many, and asks them to
/// hibernate (R5). One timer for the whole runtime: an idle object costs none.

#include <caf/actor.hpp>

namespace dormouse {

struct runtime_core;

caf::actor spawn_sweeper(runtime_core& core);

} // namespace dormouse
