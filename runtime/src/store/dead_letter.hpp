#pragma once

/// A message that was given up on, as it is stored: the row it was, and why.

#include <dormouse/serialization/messages.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace dormouse {

struct dead_letter_try {
  std::int64_t time_ms = 0;
  std::string failure;

  friend bool operator==(const dead_letter_try&, const dead_letter_try&) = default;

  template <class Archive> void serialize(Archive& ar) { ar(time_ms, failure); }
};

struct dead_letter {
  std::string key; ///< of the row it was
  std::string value;
  std::string reason;
  std::int64_t time_ms = 0;

  struct extension {
    std::vector<dead_letter_try>
        history; ///< how the handler failed each time, and how the process died in it

    friend bool operator==(const extension&, const extension&) = default;

    template <class Archive> void serialize(Archive& ar) { ar(history); }
  } extra = {};

  template <class Archive> void serialize(Archive& ar) {
    ar(key, value, reason, time_ms);
    detail::serialize_extension(ar, extra);
  }
};

} // namespace dormouse
