#pragma once

/// What a durable task does with the world. Everything that is not the same each time goes through here, and
/// is written to the task's journal with the commit of the turn it happened in (R16). A context is a small
/// value; it belongs to its run and goes no further.
///
/// Every operation begins at once and is awaited now or later. Errors are thrown at the `co_await`
/// (task_errors.hpp). With g++, an operation whose arguments have braces or capturing closures is named
/// first, in a statement of its own: operation.hpp says why, and the compiler tells.

#include <dormouse/actors/encode_arguments.hpp>
#include <dormouse/actors/join.hpp>
#include <dormouse/actors/methods.hpp>
#include <dormouse/actors/object_id.hpp>
#include <dormouse/actors/operation.hpp>
#include <dormouse/actors/proxy_fetch.hpp>
#include <dormouse/serialization/crc32c.hpp>
#include <dormouse/serialization/request.hpp>

#include <chrono>
#include <concepts>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <typeinfo>
#include <utility>

namespace dormouse {

namespace detail {

std::uint64_t fetch_step(task_run& run, fetch_input&& input, fetch_init&& init, const std::string& jar);
/// What else a call may be in a journal that was written before something was renamed.
struct other_names {
  bool (*are_of_method)(std::string_view name);
  std::span<const std::string_view> old_bindings;
};

std::uint64_t call_step(task_run& run, const address& to, std::string_view method, const other_names& names,
                        std::string arguments);
std::uint64_t own_call_step(task_run& run, std::string_view method, const other_names& names,
                            std::string arguments);
std::uint64_t sleep_step(task_run& run, std::chrono::milliseconds span);
std::uint64_t sleep_step(task_run& run, std::chrono::system_clock::time_point until);
std::uint64_t now_step(task_run& run);
std::uint64_t uuid_step(task_run& run);
std::uint64_t random_step(task_run& run);
std::uint64_t promise_step(task_run& run);

/// Performs with `make`, which gives the value encoded, or throws.
template <class Make> std::uint64_t side_effect_step(task_run& run, Make&& make) {
  return run.step(
      step_kind::side_effect, {}, 0, [&](task_host&, const step_place&, journal_step&) -> task_host::outcome {
        try {
          return call_result<std::string>(make());
        } catch (...) {
          return tl::unexpected<call_error>(describe_exception(std::current_exception(), run.id().object));
        }
      });
}

template <class U, class... Given> constexpr bool begins_with_object = false;
template <class U, class First, class... Rest>
constexpr bool begins_with_object<U, First, Rest...> = std::is_convertible_v<First, object_id<U>>;

} // namespace detail

/// fetch() with the cookies of a jar of the task's object; see browser.hpp. The cookies of a response are in
/// the jar before the `co_await` returns.
class task_browser {
public:
  task_browser(task_run& run, std::string jar) : run_(run), jar_(std::move(jar)) {}

  operation<response> fetch(fetch_input input) const {
    return {run_, detail::fetch_step(run_, std::move(input), {}, jar_)};
  }
  operation<response, detail::use_of_init> fetch(fetch_input input, fetch_init init) const {
    return {run_, detail::fetch_step(run_, std::move(input), std::move(init), jar_)};
  }

private:
  task_run& run_;
  std::string jar_;
};

template <class T> class task_context {
public:
  using object_type = T;

  explicit task_context(task_run& run) noexcept : run_(&run) {}

  /// A response, whatever its status. Throws `fetch_failed`, or `failure` for what is refused before it is
  /// queued: as `durable_object::fetch`.
  operation<response> fetch(fetch_input input) const {
    return {*run_, detail::fetch_step(*run_, std::move(input), {}, {})};
  }
  operation<response, detail::use_of_init> fetch(fetch_input input, fetch_init init) const {
    return {*run_, detail::fetch_step(*run_, std::move(input), std::move(init), {})};
  }

  /// Throws `failure{invalid_request}` for a name that is not 1..64 bytes of UTF-8.
  task_browser browser(std::string jar = "default") const { return task_browser(*run_, std::move(jar)); }

  /// Two things, told apart by the arguments.
  ///
  /// `call<&T::m>(args...)`, a method of the task's own object: runs at once, in the turn the task is in, and
  /// what it changed is committed with the task's journal: exactly once. If it throws, it has left no trace,
  /// and the error is thrown here. A method that replies later (`later<R>`) is waited for. A task of the same
  /// object is started, and waited for.
  ///
  /// `call<&U::m>(object_id<U>("id"), args...)`, a method of another object: as `durable_object::call`,
  /// carried out exactly once in effect.
  ///
  /// Throws `call_failed`.
  template <auto Method, class... Args> auto call(Args&&... args) const {
    using traits = detail::member_traits<std::remove_cv_t<decltype(Method)>>;
    using owner = typename traits::class_type;
    using result = reply_of<std::decay_t<typename traits::return_type>>;
    constexpr auto use = detail::use_of<Args...>;
    constexpr bool other = detail::begins_with_object<owner, Args...> &&
                           sizeof...(Args) == std::tuple_size_v<typename traits::arguments> + 1;
    if constexpr (other) {
      return operation<result, use>(*run_, call_other<Method>(std::forward<Args>(args)...));
    } else {
      static_assert(std::is_same_v<owner, T>, "dormouse: a method of another class needs the object to call "
                                              "it on: self.call<&U::m>(object_id<U>(\"id\"), args...)");
      const auto name = owner::methods::template name_of<Method>();
      auto bytes = detail::encode_arguments<Method>(std::forward<Args>(args)...);
      constexpr auto names = names_of<owner, Method>();
      if constexpr (traits::is_task)
        return operation<result, use>(
            *run_, detail::call_step(*run_, run_->id().object, name, names, std::move(bytes)));
      else
        return operation<result, use>(*run_, detail::own_call_step(*run_, name, names, std::move(bytes)));
    }
  }

  /// Wakes that much later, by the runtime's wall clock; 0..366 days. The object need not stay awake, and the
  /// process may be restarted meanwhile.
  operation<void> sleep_for(std::chrono::milliseconds span) const {
    return {*run_, detail::sleep_step(*run_, span)};
  }
  operation<void> sleep_until(std::chrono::system_clock::time_point when) const {
    return {*run_, detail::sleep_step(*run_, when)};
  }

  /// The wall clock; a random version 4 UUID (RFC 9562); 64 random bits. The same again when the task is
  /// replayed. Not for secrets.
  operation<std::chrono::system_clock::time_point> now() const { return {*run_, detail::now_step(*run_)}; }
  operation<std::string> uuid() const { return {*run_, detail::uuid_step(*run_)}; }
  operation<std::uint64_t> random() const { return {*run_, detail::random_step(*run_)}; }

  /// A promise that somebody else resolves with an `R`, or rejects; when awaited, a rejection is thrown as
  /// `call_failed`. Whoever resolves it with a value that does not decode as an `R` gets `bad_arguments`, and
  /// the task goes on waiting.
  template <class R = void> durable_promise<R> promise() const {
    const auto number = detail::promise_step(*run_);
    if constexpr (!std::is_void_v<R>) {
      run_->check_value_of(number, [](const std::string& value) {
        auto decoded = decode<R>(value);
        return decoded
                   ? std::string()
                   : detail::demangled(typeid(R)) + " does not decode from it: " + decoded.error().message;
      });
    } else {
      run_->check_value_of(number, [](const std::string& value) {
        return value.empty() ? std::string() : std::string("it takes no value");
      });
    }
    return durable_promise<R>(*run_, number);
  }

  /// Anything else: calls `make()`, here and now, and keeps what it returns. It is not called again once that
  /// is durable; if the process dies before, it is. It must not block: it runs in the turn of the object.
  /// Throws what it threw, as a `call_failed`.
  template <class Make> auto side_effect(Make&& make) const {
    using result = std::decay_t<std::invoke_result_t<Make&>>;
    static_assert(
        detail::storable_result<result>,
        "dormouse: what a side effect returns is kept: give its type a serialize(Archive&) member, or "
        "include cereal's header for it, as <cereal/types/memory.hpp> for std::unique_ptr, "
        "<cereal/types/list.hpp> for std::list");
    const auto number = detail::side_effect_step(*run_, [&make] {
      if constexpr (std::is_void_v<result>) {
        make();
        return std::string();
      } else {
        return encode(make());
      }
    });
    return operation<result, detail::use_of_function<Make>>(*run_, number);
  }

  /// Whether somebody has cancelled the task. Not an operation: it is the same at the same place of a replay.
  bool cancelled() const noexcept { return run_->is_cancelled(); }

  /// Ends this run and begins another with a fresh journal, for loops that run for ever; to be awaited, and
  /// it does not come back. Whoever waits for the task waits on. What the run has not waited for is not
  /// waited for any more. `Method` is the task itself or another one of the class with the same result.
  template <auto Method, class... Args>
  detail::new_run<detail::use_of<Args...>> continue_as(Args&&... args) const {
    using traits = detail::member_traits<std::remove_cv_t<decltype(Method)>>;
    static_assert(traits::is_task && std::is_same_v<typename traits::class_type, T>,
                  "dormouse: continue_as<&T::task>() names a task of the same class");
    run_->restart(encode(std::string(T::methods::template name_of<Method>()),
                         detail::encode_arguments<Method>(std::forward<Args>(args)...)));
    return {};
  }

  /// The same task again; the arguments must be of its parameters' own types, which is checked when it
  /// begins.
  template <class... Args> detail::new_run<detail::use_of<Args...>> continue_as(Args&&... args) const {
    run_->restart(encode(std::string(), encode(std::as_const(args)...)));
    return {};
  }

  const task_id& id() const noexcept { return run_->id(); }
  const address& self_address() const noexcept { return run_->id().object; }

private:
  template <class Owner, auto Method> static constexpr detail::other_names names_of() {
    return {&Owner::methods::template is_name_of<Method>, Owner::methods::old_bindings};
  }
  template <auto Method, class U, class... Args> std::uint64_t call_other(U&& to, Args&&... args) const {
    using owner = typename detail::member_traits<std::remove_cv_t<decltype(Method)>>::class_type;
    return detail::call_step(*run_, object_id<owner>(std::forward<U>(to)).where(),
                             owner::methods::template name_of<Method>(), names_of<owner, Method>(),
                             detail::encode_arguments<Method>(std::forward<Args>(args)...));
  }

  task_run* run_;
};

} // namespace dormouse
