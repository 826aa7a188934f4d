#pragma once

/// Where the runtime's warnings go.

#include <spdlog/fwd.h>

#include <memory>

namespace dormouse {

/// The program's own logger "dormouse" if it has registered one, else one to standard error: standard output
/// belongs to the program. Not registered: a library leaves nothing behind in spdlog's registry.
std::shared_ptr<spdlog::logger> make_log();

} // namespace dormouse
