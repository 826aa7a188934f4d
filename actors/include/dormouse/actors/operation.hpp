#pragma once

/// An operation of a task: what `self.fetch(...)`, `self.call<>(...)` and their like return. It is under way
/// from then on, as a promise is in JavaScript; `co_await` gives its value or throws its error. Several can
/// be under way at once; all(), any() and race() (join.hpp) wait for more than one. An operation is a small
/// value: it may be copied, kept in a vector and awaited twice. It belongs to the run of its task and goes no
/// further.

#include <dormouse/actors/task.hpp>
#include <dormouse/serialization/fetch_result.hpp>

#include <concepts>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

namespace dormouse {

namespace detail {

/// Whether g++ may be given the arguments of an operation inside the very expression that awaits it. It
/// destroys aggregates and closures twice that are temporaries of a `co_await` expression and have
/// destructors (seen with 12.2; clang does not), so those have to be in a statement before.
enum class operand : std::uint8_t { any, named };

#if defined(__GNUC__) && !defined(__clang__)
template <class Given>
constexpr bool breaks_in_await =
    !std::is_lvalue_reference_v<Given> && std::is_class_v<std::remove_cvref_t<Given>> &&
    !std::is_trivially_destructible_v<std::remove_cvref_t<Given>>;
/// Closures cannot be told from other classes; they are passed as such only where one is asked for.
template <class... Given>
constexpr operand use_of = ((breaks_in_await<Given> && std::is_aggregate_v<std::remove_cvref_t<Given>>) ||
                            ...)
                               ? operand::named
                               : operand::any;
template <class Function>
constexpr operand use_of_function = breaks_in_await<Function> ? operand::named : operand::any;
inline constexpr operand use_of_init = operand::named;
#else
template <class... Given> constexpr operand use_of = operand::any;
template <class Function> constexpr operand use_of_function = operand::any;
inline constexpr operand use_of_init = operand::any;
#endif

/// What an operation came to: the value, or what is thrown.
template <class R> using settled = std::variant<stored_value<R>, std::exception_ptr>;

template <class Operation> class task_awaiter final : public task_wait {
public:
  using value_type = typename Operation::value_type;

  explicit task_awaiter(Operation what) : what_(std::move(what)) {}

  bool await_ready() { return what_.run().pass(*this); }
  void await_suspend(std::coroutine_handle<> suspended) noexcept {
    frame = suspended;
    what_.run().wait(*this);
  }
  value_type await_resume() {
    what_.run().throw_if_cancelled();
    if (auto* thrown = std::get_if<std::exception_ptr>(&*outcome_))
      std::rethrow_exception(std::move(*thrown));
    if constexpr (!std::is_void_v<value_type>) return std::get<0>(std::move(*outcome_));
  }

  bool settle() override {
    if (what_.order() == 0) return false;
    outcome_ = what_.read();
    return outcome_.has_value();
  }

private:
  Operation what_;
  std::optional<settled<value_type>> outcome_;
};

template <operand Use> constexpr void demand_name() {
  static_assert(Use == operand::any, "dormouse: g++ miscompiles braces, aggregates and capturing closures "
                                     "inside a co_await expression; name the operation first:  auto page = "
                                     "self.fetch(url, {...});  then  co_await page");
}

/// What `continue_as` gives, to be awaited: it does not come back.
template <operand Use> struct [[nodiscard("the task goes on until it is awaited: co_await it")]] new_run {
  struct never {
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<>) const noexcept {}
    void await_resume() const noexcept {}
  };
  never operator co_await() const& noexcept { return {}; }
  never operator co_await()&& noexcept {
    demand_name<Use>();
    return {};
  }
};

/// Makes `Derived` awaitable. It has `value_type`, `run()`, `order()` (0: not done), `failed()` and `read()`
/// (nothing: the run has halted).
template <class Derived, operand Use> class awaitable {
public:
  auto operator co_await() const& { return task_awaiter<Derived>(static_cast<const Derived&>(*this)); }
  auto operator co_await() && {
    demand_name<Use>();
    return task_awaiter<Derived>(static_cast<const Derived&>(*this));
  }
};

/// Reads the outcome of a step as an `R`; the run halts on what does not decode.
template <class R> std::optional<settled<R>> read_step(task_run& run, std::uint64_t number) {
  const auto& step = run.at(number);
  if (!step.outcome) {
    if (step.kind == step_kind::fetch) // refused before it was queued
      return std::make_exception_ptr(failure({step.outcome.error().code, step.outcome.error().message}));
    return std::make_exception_ptr(call_failed(step.outcome.error()));
  }
  if constexpr (std::is_void_v<R>) {
    return settled<R>();
  } else {
    auto value = decode<R>(*step.outcome);
    if (!value &&
        step.kind == step_kind::promise) // whoever settled it chose the type; no fault of the task's
      return std::make_exception_ptr(call_failed(
          {errc::bad_arguments,
           "what '" + to_string(step) + "' was resolved with does not decode: " + value.error().message,
           {}}));
    if (!value) {
      run.halt({errc::bad_arguments, "the outcome of step " + std::to_string(number) + ", '" +
                                         to_string(step) + "', does not decode: " + value.error().message});
      return std::nullopt;
    }
    return settled<R>(std::in_place_index<0>, std::move(*value));
  }
}

/// A fetch: a response, with its body from the disk if it is large.
std::optional<settled<response>> read_fetch_step(task_run& run, std::uint64_t number);

template <> inline std::optional<settled<response>> read_step<response>(task_run& run, std::uint64_t number) {
  return run.at(number).kind == step_kind::fetch ? read_fetch_step(run, number) : std::nullopt;
}

} // namespace detail

template <class R, detail::operand Use = detail::operand::any>
class [[nodiscard(
    "an operation is under way, but nobody waits for it: co_await it, or say std::ignore = ...")]] operation
    : public detail::awaitable<operation<R, Use>, Use> {
public:
  using value_type = R;

  operation(task_run & run, std::uint64_t step) noexcept : run_(&run), step_(step) {}

  /// Named, it can be awaited anywhere.
  template <detail::operand Other>
  operation(const operation<R, Other>& other) noexcept : run_(&other.run()), step_(other.step()) {}

  task_run& run() const noexcept { return *run_; }
  std::uint64_t step() const noexcept { return step_; }
  std::uint64_t order() const noexcept { return run_->order_of(step_); }
  bool failed() const noexcept { return run_->at(step_).failed != 0; }
  std::optional<detail::settled<R>> read() const { return detail::read_step<R>(*run_, step_); }

private:
  task_run* run_;
  std::uint64_t step_;
};

/// An operation that somebody else finishes: whoever has its id resolves or rejects it
/// (`durable_object::resolve`, `runtime::tasks`).
template <class R> class [[nodiscard]] durable_promise : public operation<R> {
public:
  durable_promise(task_run& run, std::uint64_t step) : operation<R>(run, step) {}

  promise_id<R> id() const { return promise_id<R>({this->run().id(), this->step()}); }
};

} // namespace dormouse
