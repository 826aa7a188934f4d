#pragma once

/// The parts of the outside world that tests replace. The clock is an option: users' tests move it too.

#include "ports/http_transport.hpp"
#include "ports/storage_engine.hpp"

#include <functional>
#include <memory>

namespace dormouse {

struct ports {
  /// Puts something around the real engine; null: nothing.
  std::function<std::unique_ptr<storage_engine>(std::unique_ptr<storage_engine>)> wrap_engine;

  /// Makes a worker's transport, given the worker's index and the one it would use. Called on the worker's
  /// thread.
  std::function<std::unique_ptr<http_transport>(std::size_t, std::unique_ptr<http_transport>)> wrap_transport;
};

} // namespace dormouse
