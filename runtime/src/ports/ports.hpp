#pragma once

/// The parts of the outside world that can be replaced: by tests, and by simulation.

#include "ports/clock.hpp"
#include "ports/http_transport.hpp"
#include "ports/storage_engine.hpp"

#include <functional>
#include <memory>

namespace dormouse {

struct ports {
  std::shared_ptr<wall_clock> clock; ///< null: the system's

  /// Puts something around the real engine; null: nothing.
  std::function<std::unique_ptr<storage_engine>(std::unique_ptr<storage_engine>)> wrap_engine;

  /// Makes a worker's transport, given the worker's index and the one it would use. Called on the worker's thread.
  std::function<std::unique_ptr<http_transport>(std::size_t, std::unique_ptr<http_transport>)> wrap_transport;
};

} // namespace dormouse
