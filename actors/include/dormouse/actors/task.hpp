#pragma once

/// `task<R>`: what a durable task's function returns. The function is a coroutine, a static member of its
/// class, and takes a `task_context<T>` first:
///
///   static dormouse::task<std::string> scrape(dormouse::task_context<site> self, std::string path) {
///     auto page = co_await self.fetch("https://example.com/" + path);
///     co_await self.call<&site::remember>(page.text());
///     co_return page.text();
///   }
///
/// Between two `co_await` it must do the same again when it is run again: see docs/tasks.md. A task may
/// `co_await` another `task<R>` function that gets the same context, for parts that are used more than once;
/// those are not registered and have no journal of their own.

#include <dormouse/actors/task_errors.hpp>
#include <dormouse/actors/task_run.hpp>
#include <dormouse/serialization/codec.hpp>

#include <coroutine>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

namespace dormouse {

template <class R> class task;

template <class T> class task_context;

namespace detail {

/// void as a value.
template <class R> using stored_value = std::conditional_t<std::is_void_v<R>, std::monostate, R>;

class task_promise_base {
public:
  std::suspend_always initial_suspend() const noexcept { return {}; }
  void unhandled_exception() noexcept { thrown_ = std::current_exception(); }

  /// Goes on with the task that awaits this one, if any.
  struct at_end {
    bool await_ready() const noexcept { return false; }
    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> ended) const noexcept {
      auto next = ended.promise().awaiting;
      return next ? next : std::noop_coroutine();
    }
    void await_resume() const noexcept {}
  };
  at_end final_suspend() const noexcept { return {}; }

  const std::exception_ptr& thrown() const noexcept { return thrown_; }

  std::coroutine_handle<> awaiting;

protected:
  std::exception_ptr thrown_;
};

template <class R> class task_promise : public task_promise_base {
public:
  task<R> get_return_object();

  template <class Value>
    requires std::is_convertible_v<Value, R>
  void return_value(Value&& value) { value_.emplace(std::forward<Value>(value)); }

  R take() {
    if (thrown_) std::rethrow_exception(thrown_);
    return std::move(*value_);
  }
  std::string encoded() const { return encode(*value_); }

private:
  std::optional<R> value_;
};

template <> class task_promise<void> : public task_promise_base {
public:
  task<void> get_return_object();
  void return_void() const noexcept {}
  void take() const {
    if (thrown_) std::rethrow_exception(thrown_);
  }
  std::string encoded() const { return {}; }
};

} // namespace detail

template <class R>
class [[nodiscard("a task<R> function does nothing before it is awaited; to start a registered task use "
                  "start<>() or call<>()")]] task {
public:
  using value_type = R;
  using promise_type = detail::task_promise<R>;
  using handle = std::coroutine_handle<promise_type>;

  explicit task(handle coroutine) noexcept : coroutine_(coroutine) {}
  task(task && other) noexcept : coroutine_(std::exchange(other.coroutine_, {})) {}
  task& operator=(task&& other) noexcept {
    std::swap(coroutine_, other.coroutine_);
    return *this;
  }
  ~task() {
    if (!coroutine_) return;
    try {
      coroutine_.destroy();
    } catch (...) { // a destructor of what is in the frame: nobody is left to hear of it
    }
  }

  handle coroutine() const noexcept { return coroutine_; }

  /// Runs it as a part of the task that awaits it.
  auto operator co_await() const noexcept {
    struct part {
      handle inner;
      bool await_ready() const noexcept { return false; }
      std::coroutine_handle<> await_suspend(std::coroutine_handle<> outer) const noexcept {
        inner.promise().awaiting = outer;
        return inner;
      }
      R await_resume() const { return inner.promise().take(); }
    };
    return part{coroutine_};
  }

private:
  handle coroutine_;
};

namespace detail {

template <class R> task<R> task_promise<R>::get_return_object() {
  return task<R>(task<R>::handle::from_promise(*this));
}

inline task<void> task_promise<void>::get_return_object() {
  return task<void>(task<void>::handle::from_promise(*this));
}

template <class R> class typed_task_frame final : public task_frame {
public:
  explicit typed_task_frame(task<R> coroutine) : task_(std::move(coroutine)) {}

  void start() override { task_.coroutine().resume(); }
  bool done() const noexcept override { return task_.coroutine().done(); }

  call_result<std::string> outcome(const address& origin) override {
    const auto& promise = task_.coroutine().promise();
    try {
      if (!promise.thrown()) return promise.encoded();
    } catch (...) { // a serialize() that throws
      return tl::unexpected<call_error>(describe_exception(std::current_exception(), origin));
    }
    return tl::unexpected<call_error>(describe_exception(promise.thrown(), origin));
  }

  bool was_cancelled() const noexcept override {
    const auto& thrown = task_.coroutine().promise().thrown();
    if (!thrown) return false;
    try {
      std::rethrow_exception(thrown);
    } catch (const task_cancelled&) {
      return true;
    } catch (...) {
      return false;
    }
  }

private:
  task<R> task_;
};

template <class R> struct unwrap_task {
  using type = R;
  static constexpr bool is_task = false;
};
template <class R> struct unwrap_task<task<R>> {
  using type = R;
  static constexpr bool is_task = true;
};

} // namespace detail
} // namespace dormouse
