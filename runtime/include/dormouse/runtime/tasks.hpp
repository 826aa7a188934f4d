#pragma once

/// Durable tasks as seen from outside: what there are, and how they are asked, told and ended.
///
///   auto id = runtime.get<site>("a").start<&site::scrape>("alice").get();       // durable
///   auto text = runtime.tasks().result<std::string>(id).get();                  // now, or when it has ended
///
/// All members are thread-safe and not for turns and handlers. The handle may outlive the runtime and then
/// throws `stopped`. Futures hold a `failure` instead of a value where something went wrong.

#include <dormouse/actors/object_ref.hpp>
#include <dormouse/serialization/task_id.hpp>
#include <dormouse/serialization/task_journal.hpp>

#include <chrono>
#include <cstddef>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace dormouse {

class front_desk;

struct task_entry {
  task_id id;
  std::string method; ///< wire name
  task_state state = task_state::running;
  std::size_t steps = 0; ///< of its journal on disk
  std::chrono::system_clock::time_point created;
  std::optional<call_error> error; ///< of one that failed, was cancelled or is stuck (R17)
};

struct task_filter {
  std::string binding = {};             ///< of the object; empty: all
  std::string instance_id = {};         ///< the same; empty: all
  std::optional<task_state> state = {}; ///< none: all
  std::size_t limit = 100;              ///< 1..1,000
  std::optional<task_id> after = {};    ///< for the next page: the last of the one before
};

class tasks {
public:
  static constexpr std::size_t most_listed = 1'000;

  explicit tasks(std::shared_ptr<front_desk> desk);

  /// Those that are running or stuck, and those that have ended and whose results are kept; ordered by object
  /// and age. What is durable: a task shows up when the turn that began it is. One whose record is damaged is
  /// there as stuck, with the error `corrupt`. Throws `failure`: `invalid_request` for a limit out of range,
  /// `storage_error`, `stopped`.
  std::vector<task_entry> list(const task_filter& which = {}) const;

  /// Nothing if there is none, or not any more. Throws as `list`, and `corrupt`.
  std::optional<task_entry> find(const task_id& id) const;

  /// The steps on disk. Throws as `find`.
  std::vector<journal_step> journal(const task_id& id) const;

  /// What it returned, or a `failure` with its error, now or when it has ended. `not_found` if there is no
  /// such task, or not any more: the result of one that was begun with `call<>()` goes to its caller alone;
  /// that of one that was begun with `start<>()` is kept for `options::task_results_kept_for`. If it is no
  /// `R`, the error names the task and both types.
  template <class R> std::future<R> result(const task_id& id) const {
    auto sink = std::make_unique<detail::promise_sink<R>>(describe_result(id));
    auto future = sink->future();
    send(id.object, runtime_methods::await_task, encode(id.number), std::move(sink));
    return future;
  }

  /// Throws `task_cancelled` where the task waits; one that is stuck, or whose journal cannot be read, just
  /// ends. True when that is durable; false if it was not running, or had been cancelled before.
  std::future<bool> cancel(const task_id& id, std::string reason = {}) const;

  /// Settles a promise. True when that is durable; false if it was settled before, or its task has ended.
  /// `bad_arguments` if the task waits for another type than `R`: it goes on waiting.
  template <class R, class Value> std::future<bool> resolve(const promise_id<R>& id, Value&& value) const {
    static_assert(std::is_convertible_v<Value, R>, "dormouse: the promise takes another type");
    const R converted(std::forward<Value>(value));
    return settle(id, encode(converted));
  }
  std::future<bool> resolve(const promise_id<void>& id) const { return settle(id, std::string()); }
  std::future<bool> reject(const any_promise_id& id, std::string why) const;

private:
  std::string describe_result(const task_id& id) const;
  void send(const address& to, const method_descriptor& method, std::string arguments,
            std::unique_ptr<reply_sink> sink) const;
  std::future<bool> settle(const any_promise_id& id, call_result<std::string> outcome) const;

  std::shared_ptr<front_desk> desk_;
};

} // namespace dormouse
