#pragma once

/// What came of a call: its value or its error, within a deadline, so that a reply that never comes fails the
/// test instead of hanging it.

#include <dormouse/serialization/error.hpp>

#include <chrono>
#include <future>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace dormouse::test {

inline constexpr std::chrono::seconds reply_deadline{30};

/// The value of a future. Throws what the future holds, or past the deadline `std::runtime_error`, which says
/// where in the test that was; `file` and `line` are that of the call.
template <class R>
R value_of(std::future<R> reply, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  if (reply.wait_for(reply_deadline) == std::future_status::ready) return reply.get();
  const std::string_view path(file);
  throw std::runtime_error("no reply within " + std::to_string(reply_deadline.count()) + " s to what " +
                           std::string(path.substr(path.rfind('/') + 1)) + ":" + std::to_string(line) +
                           " waits for");
}

/// The error of a future. Throws `std::runtime_error` if there is none, or as `value_of`.
template <class R>
error error_of(std::future<R> reply, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  try {
    (void)value_of(std::move(reply), file, line);
  } catch (const failure& e) {
    return e.what_failed();
  }
  throw std::runtime_error("a reply where an error was expected");
}

/// The error that `action` throws.
template <class Action> error error_thrown_by(Action action) {
  try {
    action();
  } catch (const failure& e) {
    return e.what_failed();
  }
  throw std::runtime_error("no error where one was expected");
}

template <class R> bool is_ready(const std::future<R>& reply) {
  return reply.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

} // namespace dormouse::test
