#pragma once

/// What went wrong, for everything but a fetch (a fetch reports `fetch_error`).
///
/// An `error` is a stable code plus a sentence that names the thing, the limit it broke and the option that
/// changes the limit. Where a signature cannot carry an `expected` (a constructor, a `std::future`, code
/// inside a user's handler), the same value is thrown as a `failure`.

#include <dormouse/serialization/address.hpp>
#include <dormouse/serialization/expected.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>
#include <typeinfo>

namespace dormouse {

/// Stable: the numbers travel between processes and the names appear in logs. Append only.
enum class errc : std::uint8_t {
  unknown_binding = 1,     ///< no class is defined under that binding in this runtime
  unknown_method = 2,      ///< the class has no method registered under that wire name
  invalid_binding = 3,     ///< a binding is `[A-Za-z_][A-Za-z0-9_]{0,63}`
  invalid_instance_id = 4, ///< an instance id is 1..1024 bytes of UTF-8
  invalid_option = 5,      ///< an option of the runtime is out of its range
  bad_arguments = 6,       ///< the argument bytes do not decode to the method's parameters
  invalid_header = 7,      ///< a field name or value that RFC 9110 forbids
  invalid_url = 8,         ///< not an absolute URL
  invalid_request = 9,     ///< a method, body or setting that a request cannot have
  blocked = 10,            ///< the URL policy refuses the target (scheme, host or address)
  too_large = 11,          ///< a message, body or header section over its limit
  queue_full = 12,         ///< the fetch queue is at `max_queued_fetches`, a named one at its
                           ///< `queue_options::max_queued`, or the schedules at `max_schedules`
  overloaded = 13,         ///< a mailbox or the runtime is at its limit; retry later
  handler_failed = 14,     ///< the user's handler threw; the turn left no trace
  storage_error = 15,      ///< the commit failed; the object went back to its last durable state
  corrupt = 16,            ///< bytes from disk or network failed their checks
  directory_locked = 17,   ///< another runtime has the directory open
  directory_unusable = 18, ///< the directory cannot be created or written
  newer_format = 19,       ///< the store was written by a newer version
  stopped = 20,            ///< the runtime has stopped or is stopping
  timeout = 21,            ///< the caller's own time limit passed
  path_too_long = 22,      ///< a return path over its limit of hops
  invalid_cookie = 23,     ///< a cookie that RFC 6265bis has a user agent ignore
  not_found = 24,          ///< what was named is not there, or not any more
  cancelled = 25,          ///< a task was cancelled, or a call given up
  would_block = 26,        ///< a turn, a handler or an observer waited for what may need its own thread
  quarantined = 27,        ///< it has killed the process several times and is set aside (R22)
};

/// The stable name of a code, e.g. `"storage_error"`.
std::string_view to_string(errc code) noexcept;

/// A value: it travels from object to object and back to who called, and can be stored.
struct error {
  errc code{};
  std::string message;
  address origin = {};   ///< of the object that failed, or that could not be reached, if there is one; it may
                         ///< be further away than the one that was called
  std::string type = {}; ///< of what was thrown by a handler, as `"shop::sold_out"`, at most
                         ///< `max_error_type_bytes` of it; empty if nothing was, or a `failure`

  /// The same call may go well later: the other side left no trace of it.
  bool retryable() const noexcept {
    return code == errc::overloaded || code == errc::storage_error || code == errc::queue_full;
  }
  bool overloaded() const noexcept { return code == errc::overloaded || code == errc::queue_full; }

  friend bool operator==(const error&, const error&) = default;

  template <class Archive> void serialize(Archive& ar) { ar(code, message, origin, type); }
};

inline constexpr std::size_t max_error_type_bytes = 256;

namespace detail {

/// The name of a type as people write it, cut to a sensible length.
std::string demangled(const std::type_info& type);

} // namespace detail

/// The error, from there unless it came from somewhere already.
error with_origin(error what, const address& where);

/// What a handler threw, as an error from there: `handler_failed` with the exception's text and type, or the
/// error of a `failure`.
error describe(const std::exception& thrown, const address& origin);

/// The same of whatever is being handled, in a `catch (...)`: what is not a `std::exception` is
/// `handler_failed` too, with its type, and its value if that is a text or an `int`.
error describe_caught(const address& origin = {});

/// `"storage_error: <message>"`.
std::string to_string(const error& what);

/// An `error` where only an exception can carry it.
class failure : public std::runtime_error {
public:
  explicit failure(error what);

  const error& what_failed() const noexcept { return error_; }
  errc code() const noexcept { return error_.code; }

private:
  error error_;
};

/// Shorthand for `return fail(errc::corrupt, "...")` in a function returning `expected`.
inline unexpected<error> fail(errc code, std::string message) {
  return unexpected<error>(error{code, std::move(message)});
}

/// The value, or the error thrown as a `failure`.
template <class T> T value_or_throw(expected<T, error>&& result) {
  if (!result) throw failure(std::move(result).error());
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

} // namespace dormouse
