#pragma once

/// The base of every durable object class.
///
/// An object lives for ever under its address and is in memory only while it has something to do. Each
/// message it handles is a turn: turns of one object run one at a time, and what a turn did - the change of
/// state and rows, the fetches - is one atomic, durable commit, or none of it if the handler throws (R1, R3).
/// Nothing a turn produced is visible anywhere before its commit is durable (R4).
///
/// A class gives its state a `template <class Archive> void serialize(Archive& ar)`, registers its methods
/// (methods.hpp), and is default-constructible: the constructor runs on every wake, before the state is
/// loaded.
///
/// Threads: member functions run on a scheduler thread of the runtime, never two at once for one object. Do
/// not block in them: fetch.

#include <dormouse/actors/browser.hpp>
#include <dormouse/actors/encode_arguments.hpp>
#include <dormouse/actors/object_host.hpp>
#include <dormouse/actors/object_id.hpp>
#include <dormouse/actors/outgoing_call.hpp>
#include <dormouse/actors/pending.hpp>
#include <dormouse/actors/proxy_fetch.hpp>
#include <dormouse/actors/schedule.hpp>
#include <dormouse/actors/storage.hpp>
#include <dormouse/actors/task_context.hpp>
#include <dormouse/actors/unique_id.hpp>

#include <chrono>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace dormouse {

class durable_object {
public:
  durable_object() = default;
  durable_object(const durable_object&) = delete;
  durable_object& operator=(const durable_object&) = delete;
  virtual ~durable_object();

  /// Runs once in the object's life, before its first turn, as a committing turn of its own. If it throws,
  /// the caller gets the error and the object does not exist yet: the next use tries again (R2).
  virtual void on_create();

  /// Runs on every activation, `on_create` included, before the first turn (R2). A committing turn of its
  /// own. If it throws, the caller gets the error.
  virtual void on_wake();

protected:
  /// Asks the outside world. Nothing happens before `.then<&T::method>(context...)` names the continuation,
  /// and nothing goes out before this turn's commit is durable. Throws `failure` for misuse and limits (R12,
  /// R13); the turn is then undone. With a `request`, what `init` gives takes the place of the request's own
  /// and the rest is kept, as in `request(input, init)`.
  pending fetch(fetch_input input, fetch_init init = {});

  template <class Never = void> pending fetch(const fetch_input&, const fetch_init& = {}) const {
    static_assert(!std::is_same_v<Never, Never>,
                  "dormouse: a const method is a read-only turn; it cannot fetch");
    std::terminate(); // never compiled: the assertion fails first
  }

  /// fetch() with cookies: those of the named jar go along, and what responses set is kept in it. A jar is
  /// part of this object's durable state and changes with the turn that handled the response. See
  /// browser.hpp.
  dormouse::browser browser(std::string jar = std::string(default_jar));

  /// The same over a fetch that was set up with `create_proxy_fetch`.
  dormouse::browser browser(const proxy_fetch& fetch, std::string jar = std::string(default_jar));

  /// Calls a method of another object, of this class or another. Nothing happens before
  /// `.then<&T::method>(context...)` names the continuation; then the call is part of this turn's commit, is
  /// carried out exactly once in effect, and its answer comes as a `call_result<R>`: after any number of
  /// hibernations and restarts, and however many objects it went through (R15). Calls from one object to
  /// another arrive in order.
  template <auto Called, class U, class... Args>
  outgoing_call<Called> call(const object_id<U>& to, Args&&... args) {
    return outgoing_call<Called>(host(), to.where(), describe_call<Called, U>(std::forward<Args>(args)...));
  }

  /// Gives up waiting for the answer to a call that was made `within()` a time limit: in this turn's commit
  /// its continuation gets `call_error{cancelled}`, once, in a turn of its own, and the answer is dropped
  /// when it comes. The object that is called is not interrupted. False if the call has its answer, or has
  /// been given up. Throws `failure`: `corrupt`, `storage_error`.
  bool cancel_call(const call_id& which);

  /// A call without an answer. If the handler throws it is tried again later, as a `post` is. Only for
  /// committing methods. Throws `failure`: `invalid_instance_id`, `unknown_binding`, `too_large`,
  /// `overloaded`.
  template <auto Called, class U, class... Args> void send(const object_id<U>& to, Args&&... args) {
    static_assert(!detail::member_traits<std::remove_cv_t<decltype(Called)>>::is_const,
                  "dormouse: send() is for committing methods; a const method would do nothing");
    value_or_throw(host().enqueue_call(to.where(), describe_call<Called, U>(std::forward<Args>(args)...)));
  }

  /// Has a committing method of this object called at a time to come, or at one after the other: see
  /// schedule.hpp. The schedule is part of this turn's commit; the value is enough to cancel it in any later
  /// turn. If the method throws, that turn is undone and tried again after 2 s, 4 s, and so on to 64 s, each
  /// a quarter more or less; after 6 retries that tick goes to the dead letters, and one that recurs goes on
  /// with its next. Throws `failure`: `too_large` (arguments over `options::max_inline_bytes`), `queue_full`
  /// (`options::max_schedules`), `invalid_request`.
  template <auto Method, class... Args> schedule_id schedule(when at, Args&&... args) {
    return schedule<Method>(schedule_options{.at = std::move(at)}, std::forward<Args>(args)...);
  }

  /// The same with a name, which takes the place of this object's schedule of that name, or with other
  /// wishes.
  template <auto Method, class... Args> schedule_id schedule(schedule_options how, Args&&... args) {
    using traits = detail::member_traits<std::remove_cv_t<decltype(Method)>>;
    using owner = typename traits::class_type;
    static_assert(owner::methods::template contains<Method>,
                  "dormouse: the scheduled method is not registered: add method<\"name\", &T::function> to "
                  "the class's methods");
    static_assert(!traits::is_const,
                  "dormouse: a scheduled method cannot be const: nobody would see what it returns");
    return add_schedule(std::move(how), owner::methods::binding, owner::methods::template name_of<Method>(),
                        detail::encode_arguments<Method>(std::forward<Args>(args)...));
  }

  /// Whether there was one: not if it has had its last call, was cancelled, or lost its name to another. Part
  /// of this turn's commit.
  bool cancel_schedule(const schedule_id& which);
  bool cancel_schedule(const std::string& name);

  /// This object's schedules, the next one first, at most `limit`; also for const methods.
  std::vector<schedule_info> schedules(std::size_t limit = 1'000) const;

  /// The time that the schedule was for that caused this turn, which may be long past; nothing if none did.
  std::optional<std::chrono::system_clock::time_point> tick() const;

  /// Begins a durable task of this object, when this method has returned, as a part of its turn. The id is a
  /// value: with it the task can be asked for its result, or cancelled, for as long as
  /// `options::task_results_kept_for` says (runtime::tasks). Throws `failure{too_large}`.
  template <auto Task, class... Args> task_id start(Args&&... args) {
    using traits = detail::member_traits<std::remove_cv_t<decltype(Task)>>;
    static_assert(traits::is_task,
                  "dormouse: start() is for tasks: static task<R> name(task_context<T>, args...)");
    return value_or_throw(host().start_task(traits::class_type::methods::template name_of<Task>(),
                                            detail::encode_arguments<Task>(std::forward<Args>(args)...)));
  }

  /// Settles a promise that a task of this or another object made. Part of this turn's commit; the first to
  /// settle it wins, and what comes later does nothing. Throws `failure`: as `send`.
  template <class R, class Value> void resolve(const promise_id<R>& id, Value&& value) {
    static_assert(std::is_convertible_v<Value, R>, "dormouse: the promise takes another type");
    const R converted(std::forward<Value>(value));
    settle(id, encode(converted));
  }
  void resolve(const promise_id<void>& id) { settle(id, std::string()); }

  /// The task gets `call_failed` with this text, from this object.
  void reject(const any_promise_id& id, std::string why);

  /// Throws `task_cancelled` where the task waits; one that is stuck just ends. Part of this turn's commit. A
  /// task that has ended stays as it is.
  void cancel(const task_id& id, std::string reason = {});

  /// What is in a jar; also for const methods. Valid until the turn ends. Throws `failure`: `invalid_request`
  /// for a name that is not 1..64 bytes of UTF-8, `corrupt`, `storage_error`.
  const cookie_jar& cookies(const std::string& jar = std::string(default_jar)) const;

  /// Key-value rows beside the state, for what is too much to be read and written as a whole; see
  /// storage.hpp. Rows change with this turn's commit. A const method has a view that only reads. Valid until
  /// the turn ends.
  dormouse::storage storage() { return dormouse::storage(host()); }
  storage_view storage() const { return storage_view(host()); }

  /// Ends the fetches that carry this controller's signal: each of them gets `fetch_error{ABORTED}` when this
  /// turn is durable, unless its result is stored already. Aborting twice is aborting once. `reason` goes
  /// into the error's text; limit: `max_abort_reason_bytes`.
  void abort(const abort_controller& controller, std::string reason = {});

  /// Whether a fetch with this signal would be aborted at once.
  bool aborted(const abort_signal& signal) const;

  /// The default queue, for `create_proxy_fetch`.
  fetch_queue& queue();

  /// Leaves memory as soon as no message is queued and no commit is in flight, instead of after `idle_after`
  /// (R5).
  void hibernate();

  /// Ends this object with this turn: its commit erases state, rows of storage, jars, schedules and tasks,
  /// together. What the turn sends out still goes, and its caller gets the reply. What others send from then
  /// on, or have sent and was not handled yet, finds a new object, which begins with `on_create`. Results and
  /// answers that this one has asked for are dropped when they come, and counted in `stats().late_dropped`,
  /// also if there is a new object by then; who waits behind them gets `not_found`. If the turn throws or its
  /// commit fails nothing has happened. Not in `on_create` and `on_wake`: they fail with `invalid_request`.
  void destroy();

  template <class Never = void> void destroy() const {
    static_assert(!std::is_same_v<Never, Never>,
                  "dormouse: a const method is a read-only turn; it cannot destroy its object");
  }

  /// In `on_create` and `on_wake`: other messages wait, in the order in which they came, until a later turn
  /// has called `ready()`. Responses and answers for the object do not wait: initialisation may fetch, and
  /// call other objects, and the turn that has what it needs says `ready()`. A blocked object stays awake.
  /// After `timeout` (1 ms to 24 h) those who wait get `timeout`, and the object leaves memory: the next use
  /// tries again. Posts and sends stay in the inbox and are tried again later, as if a handler had failed.
  /// Throws `failure{invalid_request}`. See docs/objects.md for what it takes to survive a restart.
  void block_until_ready(std::chrono::milliseconds timeout = std::chrono::seconds(30));

  /// Messages wait no longer, with the end of this turn; nothing if they do not. If the turn throws they go
  /// on waiting.
  void ready();

  template <class Never = void> void ready() const {
    static_assert(!std::is_same_v<Never, Never>,
                  "dormouse: a const method is a read-only turn; it cannot make its object ready");
  }

  const address& self_address() const;
  /// A random instance id that no other object has: see unique_id.hpp.
  static std::string unique_id() { return dormouse::unique_id(); }

  const std::string& instance_id() const { return self_address().instance_id; }

  /// The runtime's wall clock; virtual time in simulation.
  std::chrono::system_clock::time_point now() const;

private:
  friend struct object_access;

  template <auto Called, class U, class... Args> static call_message describe_call(Args&&... args) {
    static_assert(
        std::is_same_v<typename detail::member_traits<std::remove_cv_t<decltype(Called)>>::class_type, U>,
        "dormouse: the method is not one of the object's class");
    call_message what;
    what.method = U::methods::template name_of<Called>();
    what.arguments = detail::encode_arguments<Called>(std::forward<Args>(args)...);
    return what;
  }

  schedule_id add_schedule(schedule_options how, std::string_view binding, std::string_view method,
                           std::string arguments);
  void settle(const any_promise_id& id, call_result<std::string> outcome);

  turn_host& host() const; ///< throws `failure{invalid_request}` outside of a turn

  turn_host* host_ = nullptr;
};

/// For the runtime: binds an object to the turn it is in.
struct object_access {
  static void enter(durable_object& object, turn_host* host) noexcept { object.host_ = host; }
};

} // namespace dormouse
