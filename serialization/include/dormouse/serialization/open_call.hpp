#pragma once

/// A call to another object that its caller waits for no longer than a certain time, or until it gives up.
///
/// Its record is the schedule that ends it: whoever takes the record away, the answer, the time-out or the
/// caller, has decided what the call came to, and what comes later finds none and is dropped. The return path
/// of the call says only which record it is, so the continuation is stored once. A call without a limit has
/// no record.

#include <dormouse/serialization/address.hpp>
#include <dormouse/serialization/error.hpp>
#include <dormouse/serialization/return_path.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace dormouse {

/// Names a call with a time limit, for `cancel_call`: a value that can be an argument and part of a state.
struct call_id {
  std::uint64_t number = 0; ///< of the schedule that is its record; 0: none

  friend bool operator==(const call_id&, const call_id&) = default;

  template <class Archive> void serialize(Archive& ar) { ar(number); }
};

/// The arguments of that schedule.
struct open_call {
  address called;
  std::string method;
  std::int64_t within_ms = 0;
  return_path path; ///< on top the continuation, below it who waits for what that returns

  friend bool operator==(const open_call&, const open_call&) = default;

  template <class Archive> void serialize(Archive& ar) { ar(called, method, within_ms, path); }
};

/// Wire names of the runtime's own; no class can have methods of such names. On disk.
namespace call_methods {

inline constexpr std::string_view answer =
    "#answer"; ///< of return addresses: (number of the record) leads to the continuation that it has
inline constexpr std::string_view timeout = "#call_timeout"; ///< of schedules: (open_call)
inline constexpr std::string_view remember =
    "#remember"; ///< of return addresses: (key) leads to a remembered call (remembered_call.hpp)
inline constexpr std::string_view forget =
    "#forget_call"; ///< of schedules: (key) it was remembered long enough

} // namespace call_methods
} // namespace dormouse
