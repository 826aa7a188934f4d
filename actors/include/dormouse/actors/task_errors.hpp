#pragma once

/// What is thrown at a task's `co_await`, as in JavaScript. All are std::runtime_error; a `failure`
/// (error.hpp) is thrown for misuse and limits.

#include <dormouse/serialization/call_result.hpp>
#include <dormouse/serialization/fetch_error.hpp>

#include <exception>
#include <stdexcept>
#include <string>
#include <utility>

namespace dormouse {

/// A fetch that has no response. An HTTP status is a response (R11).
class fetch_failed : public std::runtime_error {
public:
  explicit fetch_failed(fetch_error why)
      : std::runtime_error(std::string(to_string(why.code)) + ": " + why.message), why_(std::move(why)) {}

  const fetch_error& why() const noexcept { return why_; }

private:
  fetch_error why_;
};

/// A call that has no result, or a promise that was rejected.
class call_failed : public std::runtime_error {
public:
  explicit call_failed(call_error why)
      : std::runtime_error(std::string(to_string(why.code)) + ": " + why.message), why_(std::move(why)) {}

  const call_error& why() const noexcept { return why_; }

private:
  call_error why_;
};

/// Somebody cancelled the task. Thrown once, at the `co_await` it waits at. It may catch it, undo what it has
/// done, with further operations, and end as it likes; not caught, it ends the task as cancelled.
class task_cancelled : public std::runtime_error {
public:
  explicit task_cancelled(const std::string& reason)
      : std::runtime_error(reason.empty() ? "the task was cancelled" : "the task was cancelled: " + reason) {}
};

namespace detail {

/// An exception that left a task, as those who wait for the task get it.
call_error describe_exception(const std::exception_ptr& thrown, const address& origin);

} // namespace detail
} // namespace dormouse
