#pragma once

/// The dispatcher: one actor that owns the queue. It keeps a bounded window of due fetches in memory and
/// refills it from disk, hands fetches to workers, decides on retries, stores results, and only then delivers
/// them (R7, R8). Being one actor, it is the one place where the fate of a fetch is decided, so a fetch gets
/// exactly one result however many workers had it.

#include <caf/actor.hpp>

#include <chrono>

namespace dormouse {

struct runtime_core;

/// `core.dispatcher` is set before the actor runs.
void spawn_dispatcher(runtime_core& core);

/// Ends the dispatcher and its workers. In-flight attempts are abandoned; their fetches are still queued on
/// disk (R20). False if it has not ended by then: code of the program's holds it up.
bool stop_dispatcher(runtime_core& core, std::chrono::steady_clock::time_point deadline);

} // namespace dormouse
