#pragma once

/// The runtime: owns a directory on disk, and runs the durable objects in it.
///
///   dormouse::runtime runtime({.directory = "stars", .allow = {"api.github.com"}});
///   runtime.define<repo_watch>();
///   auto watch = runtime.get<repo_watch>("me");
///   watch.call<&repo_watch::refresh>("actor-framework/actor-framework").get();
///
/// Starting recovers what an earlier process left, however it ended: queued fetches go on, stored results are
/// delivered as soon as the class of their object is defined. All members are thread-safe. Warnings go to the
/// spdlog logger "dormouse" if the program has registered one, else to standard error.

#include <dormouse/actors/object_ref.hpp>
#include <dormouse/actors/proxy_fetch.hpp>
#include <dormouse/actors/unique_id.hpp>
#include <dormouse/runtime/dead_letters.hpp>
#include <dormouse/runtime/object_list.hpp>
#include <dormouse/runtime/options.hpp>
#include <dormouse/runtime/stats.hpp>
#include <dormouse/runtime/tasks.hpp>

#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace caf {
class actor_system;
}

namespace dormouse {

struct ports;

/// A handle whose class is known only by name: for tools and for callers that learn an address at run time.
class untyped_ref {
public:
  untyped_ref(std::shared_ptr<router> routes, address to, const class_descriptor* type)
      : router_(std::move(routes)), address_(std::move(to)), type_(type) {}

  const address& where() const noexcept { return address_; }

  /// As `object_ref::call`, the method named by its wire name. Throws `failure{unknown_method}`; arguments
  /// that do not decode to the method's parameters give `bad_arguments` in the future.
  template <class R, class... Args> std::future<R> call(std::string_view method, const Args&... args) const {
    auto sink = std::make_unique<detail::promise_sink<R>>();
    auto future = sink->future();
    router_->call(address_, find(method), encode(args...), std::move(sink));
    return future;
  }

private:
  const method_descriptor& find(std::string_view method) const;

  std::shared_ptr<router> router_;
  address address_;
  const class_descriptor* type_;
};

class runtime {
public:
  /// Opens the directory and starts, with an actor system of its own.
  /// Throws `failure`: `directory_locked`, `directory_unusable`, `newer_format`, `corrupt`, `invalid_option`,
  /// `overloaded` if the system does not give it the threads that it needs.
  explicit runtime(options settings);

  /// The same inside an actor system that the caller already has; it must outlive the runtime.
  runtime(caf::actor_system& system, options settings);

  /// With parts of the outside world replaced: for the project's own tests.
  runtime(options settings, ports replaced);

  runtime(runtime&&) noexcept;
  runtime& operator=(runtime&&) noexcept;

  /// `stop()`; on any thread. On one of the runtime's own, or in code that it runs, it does not wait: the
  /// runtime ends on a thread that is made for that, and until then its directory is in use. In a child
  /// process that was forked while it ran it does nothing: the runtime is the parent's.
  ~runtime();

  /// Registers classes under their bindings and delivers what is waiting for their objects. Defining the same
  /// class again does nothing. Classes whose objects call each other, or answer each other's tasks, belong
  /// into one call: all of them are known before any of their objects is woken. An object that runs between
  /// two calls, with a message that an earlier process left, finds no class for what it calls:
  /// `unknown_binding`. If the class was renamed from other bindings, their objects are moved first, on this
  /// thread, which takes as long as reading and writing them all; a call that was interrupted goes on where
  /// it was. Define such a class before others that run. See docs/objects.md. Throws `failure`:
  /// `invalid_binding` if another class has the binding or an old one, or an object is there under both
  /// names; `storage_error`, `stopped`.
  template <class... T>
    requires(sizeof...(T) > 0)
  void define() { define({&describe<T>()...}); }
  void define(const class_descriptor& type) { define({&type}); }
  void define(std::initializer_list<const class_descriptor*> types);

  /// A handle to an object, which need not exist yet. Throws `failure`: `unknown_binding` (not defined),
  /// `invalid_instance_id`, `invalid_binding` if another class is defined for the binding.
  template <class T> object_ref<T> get(std::string instance_id) const {
    address to{std::string(T::methods::binding), std::move(instance_id)};
    check(to, &describe<T>());
    return object_ref<T>(routes(), std::move(to));
  }

  /// The same with the class known by its binding only.
  untyped_ref get(const address& to) const;

  /// The fetch queue as seen from outside any object: `create_proxy_fetch(runtime.queue(), {.return_address =
  /// ...})`. `.then<>()` on its fetches blocks until the fetch is durable. Lives as long as the runtime.
  fetch_queue& queue();

  /// Messages that were given up on. The handle may outlive the runtime and then throws `stopped`.
  dormouse::dead_letters dead_letters() const;

  /// The objects of a binding that are on disk, asleep or awake, by instance id; the class need not be
  /// defined. One whose first commit is under way is not there yet, and one that was only read from has never
  /// been written. Reads the disk on the caller's thread. A walk over several pages sees what is created and
  /// destroyed behind its cursor and misses what is before it.
  /// Throws `failure`: `invalid_binding`, `invalid_request` for a limit out of range, `storage_error`,
  /// `stopped`.
  object_page objects(std::string_view binding, const object_list_options& which = {}) const;

  template <class T> object_page objects(const object_list_options& which = {}) const {
    return objects(T::methods::binding, which);
  }

  /// Durable tasks (R16, R17): listing, results, cancelling, promises. The handle may outlive the runtime and
  /// then throws `stopped`.
  dormouse::tasks tasks() const;

  /// R20: refuses new calls (`stopped`), lets running turns finish and commits drain, leaves fetches queued
  /// on disk, and closes the store. Does not wait for a slow server. When it returns, every object has been
  /// destroyed and no code of the program's runs any more (R33). Further calls do nothing. Throws
  /// `failure{would_block}` in a turn, a handler or an observer, which it would have to wait for.
  ///
  /// R23: waits for `options::stop_grace` at most. What has not ended by then is named in the log, and here;
  /// it runs on, with the directory locked and everything that it uses in memory until the process ends, even
  /// behind the destructor.
  std::vector<stuck_turn> stop();

  /// R22: the object is no more quarantined, and no suspect: what has killed the process is forgotten. It
  /// wakes with the next call; what is in its inbox, and its tasks, go on with the next start. Throws
  /// `failure`: `invalid_binding`, `invalid_instance_id`, `storage_error`, `stopped`.
  void release(const address& object);

  runtime_stats stats() const;

private:
  struct implementation;

  void leave() noexcept;
  static void end(std::unique_ptr<implementation> of) noexcept;

  /// `wanted`: the class that it must be; null: any.
  const class_descriptor* check(const address& to, const class_descriptor* wanted) const;
  std::shared_ptr<router> routes() const;

  std::unique_ptr<implementation> self_;
};

} // namespace dormouse
