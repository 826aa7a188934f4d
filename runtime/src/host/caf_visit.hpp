#pragma once

/// A visit to CAF by a thread that is not one of CAF's.
///
/// A thread that spawns an actor is given a counted reference to the logger of that actor's system, which it
/// keeps until it ends; and an actor system waits in its destructor until nobody has one. So a thread of the
/// program that has called an object would hold up the destruction of the runtime for as long as it lives. At
/// the end of a visit the thread has what it had before; if that was the logger of another system, none, for
/// CAF 0.17 tells nobody which system that was.

#include <caf/logger.hpp>

namespace dormouse {

class caf_visit {
public:
  caf_visit() noexcept : before_(caf::logger::current_logger()) {}
  caf_visit(const caf_visit&) = delete;
  caf_visit& operator=(const caf_visit&) = delete;
  ~caf_visit() {
    if (caf::logger::current_logger() != before_) caf::logger::set_current_actor_system(nullptr);
  }

private:
  const caf::logger* const before_;
};

} // namespace dormouse
