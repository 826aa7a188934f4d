#pragma once

/// What the scheduler is told, by commits that become durable and by firings that are over, from any thread.
/// It is gathered here, and the scheduler gets one message for all of it: so neither its mailbox nor this
/// grows with what happens.

#include "store/keys.hpp"

#include <dormouse/actors/class_descriptor.hpp>

#include <caf/actor.hpp>

#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace dormouse {

class schedule_signals {
public:
  struct told {
    std::vector<keys::due_parts> aside;      ///< at most as many as are with their objects
    std::vector<keys::due_parts> over;       ///< the same
    std::vector<std::string> defined;        ///< bindings
    std::optional<keys::due_parts> earliest; ///< of the rows that were written
  };

  void attach(caf::actor scheduler);
  void close(); ///< nobody listens any more

  void written(const keys::due_parts& row);
  void aside(const keys::due_parts& row); ///< its firing waits with its object
  void over(const keys::due_parts& row);
  void defined(const class_descriptor& type); ///< under all names that it has had

  told take();

private:
  void ring(std::unique_lock<std::mutex> lock);

  std::mutex mutex_;
  told told_;
  bool rang_ = false; ///< and has not been listened to
  caf::actor scheduler_;
};

} // namespace dormouse
