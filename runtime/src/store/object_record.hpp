#pragma once

/// What is stored of an object: its state, and in front of it what the runtime knows of the object besides.

#include <cstdint>
#include <string>

namespace dormouse {

struct object_facts {
  /// Which life this is: objects that have had the same address one after the other differ in it. The id that
  /// was the next one when the object was created; 0 if it was stored before objects had one.
  std::uint64_t incarnation = 0;

  std::uint32_t state_version = 0; ///< of the class that wrote the state

  std::int64_t unready_ms = 0; ///< not 0: `on_create` has asked for messages to wait so long at most, and
                               ///< nobody has called `ready()` yet

  friend bool operator==(const object_facts&, const object_facts&) = default;

  template <class Archive> void serialize(Archive& ar) { ar(incarnation, state_version, unready_ms); }
};

struct stored_object {
  object_facts facts;
  std::string state;
};

} // namespace dormouse
