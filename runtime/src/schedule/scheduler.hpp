#pragma once

/// Hands schedules to their objects when they are due. It reads the rows of due times and nothing else: a
/// schedule itself is read, and its row erased or moved, in the turn of its object. So it need not be told of
/// cancelled ones, and one that is handed over twice is dropped there.

#include <caf/actor.hpp>

namespace dormouse {

struct runtime_core;

/// To be called before any object can run: what is on disk is counted from here.
caf::actor spawn_scheduler(runtime_core& core);

} // namespace dormouse
