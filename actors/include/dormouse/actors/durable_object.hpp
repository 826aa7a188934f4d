#pragma once

/// The base of every durable object class.
///
/// An object lives for ever under its address and is in memory only while it has something to do. Each message it handles is a
/// turn: turns of one object run one at a time, and what a turn did - the change of state, the fetches - is one atomic, durable
/// commit, or none of it if the handler throws (R1, R3). Nothing a turn produced is visible anywhere before its commit is
/// durable (R4).
///
/// A class gives its state a `template <class Archive> void serialize(Archive& ar)`, registers its methods (methods.hpp), and is
/// default-constructible: the constructor runs on every wake, before the state is loaded.
///
/// Threads: member functions run on a scheduler thread of the runtime, never two at once for one object. Do not block in them: fetch.

#include <dormouse/actors/browser.hpp>
#include <dormouse/actors/object_host.hpp>
#include <dormouse/actors/pending.hpp>
#include <dormouse/actors/proxy_fetch.hpp>

#include <chrono>
#include <exception>
#include <string>
#include <type_traits>

namespace dormouse {

class durable_object {
public:
  durable_object() = default;
  durable_object(const durable_object&) = delete;
  durable_object& operator=(const durable_object&) = delete;
  virtual ~durable_object();

  /// Runs once in the object's life, before its first turn, as a committing turn of its own. If it throws, the caller gets the error and
  /// the object does not exist yet: the next use tries again (R2).
  virtual void on_create();

  /// Runs on every activation, `on_create` included, before the first turn (R2). A committing turn of its own. If it throws, the caller
  /// gets the error.
  virtual void on_wake();

protected:
  /// Asks the outside world. Nothing happens before `.then<&T::method>(context...)` names the continuation, and nothing goes out
  /// before this turn's commit is durable. Throws `failure` for misuse and limits (R12, R13); the turn is then undone. With a
  /// `request`, what `init` gives takes the place of the request's own and the rest is kept, as in `request(input, init)`.
  pending fetch(fetch_input input, fetch_init init = {});

  template <class Never = void>
  pending fetch(const fetch_input&, const fetch_init& = {}) const {
    static_assert(!std::is_same_v<Never, Never>, "dormouse: a const method is a read-only turn; it cannot fetch");
    std::terminate(); // never compiled: the assertion fails first
  }

  /// fetch() with cookies: those of the named jar go along, and what responses set is kept in it. A jar is part of this object's durable state and
  /// changes with the turn that handled the response. See browser.hpp.
  dormouse::browser browser(std::string jar = std::string(default_jar));

  /// The same over a fetch that was set up with `create_proxy_fetch`.
  dormouse::browser browser(const proxy_fetch& fetch, std::string jar = std::string(default_jar));

  /// What is in a jar; also for const methods. Valid until the turn ends.
  const cookie_jar& cookies(const std::string& jar = std::string(default_jar)) const;

  /// Ends the fetches that carry this controller's signal: each of them gets `fetch_error{ABORTED}` when this turn is durable, unless its result is
  /// stored already. Aborting twice is aborting once. `reason` goes into the error's text; limit: `max_abort_reason_bytes`.
  void abort(const abort_controller& controller, std::string reason = {});

  /// Whether a fetch with this signal would be aborted at once.
  bool aborted(const abort_signal& signal) const;

  /// The default queue, for `create_proxy_fetch`.
  fetch_queue& queue();

  /// Leaves memory as soon as no message is queued and no commit is in flight, instead of after `idle_after` (R5).
  void hibernate();

  const address& self_address() const;
  const std::string& instance_id() const { return self_address().instance_id; }

  /// The runtime's wall clock; virtual time in simulation.
  std::chrono::system_clock::time_point now() const;

private:
  friend struct object_access;

  turn_host& host() const; ///< throws `failure{invalid_request}` outside of a turn

  turn_host* host_ = nullptr;
};

/// For the runtime: binds an object to the turn it is in.
struct object_access {
  static void enter(durable_object& object, turn_host* host) noexcept { object.host_ = host; }
};

} // namespace dormouse
