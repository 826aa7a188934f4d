#pragma once

/// For plain CAF actors: ask a durable object and get a typed reply or a `dormouse::error`.
///
///   dormouse::request_object<&counter::add>(self, ref, 5s, 1).then(
///       [](int total) { ... },
///       [](const dormouse::error& why) { ... });
///
/// The only public header that includes CAF (link `dormouse::caf`). The message goes straight to the object's
/// activation, so a read costs little more than a request between two plain actors. Errors of CAF itself
/// arrive as `timeout` or `stopped`.

#include <dormouse/actors/object_ref.hpp>

#include <caf/actor.hpp>
#include <caf/actor_system.hpp>
#include <caf/allowed_unsafe_message_type.hpp>
#include <caf/error.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/response_promise.hpp>
#include <caf/scoped_actor.hpp>

#include <memory>
#include <string>
#include <type_traits>
#include <utility>

namespace dormouse {

/// What is sent to an activation and what it answers. Not for direct use.
struct caf_call {
  const method_descriptor* method = nullptr;
  std::string arguments;
};
struct caf_reply {
  std::string bytes;
};

caf::error to_caf_error(const error& what);
error from_caf_error(const caf::error& what);

/// Answers a CAF request from any thread.
std::unique_ptr<reply_sink> make_caf_sink(const caf::response_promise& promise);

/// An actor that will answer exactly one `caf_call` sent to it: the object's activation, or one that answers
/// with an error.
caf::actor pin_for_call(caf::actor_system& system, router& routes, const address& to,
                        const method_descriptor& method);

namespace detail {

/// `on_error`: also for a value whose type refuses its bytes.
template <class R, class OnValue, class OnError>
auto on_reply(OnValue on_value, std::shared_ptr<OnError> on_error) {
  return [on_value = std::move(on_value), on_error = std::move(on_error)](const caf_reply& reply) mutable {
    if constexpr (std::is_void_v<R>) {
      on_value();
    } else {
      auto value = decode<R>(reply.bytes);
      if (value)
        on_value(std::move(*value));
      else
        (*on_error)(value.error());
    }
  };
}

template <class OnError> auto on_failure(std::shared_ptr<OnError> on_error) {
  return
      [on_error = std::move(on_error)](const caf::error& what) mutable { (*on_error)(from_caf_error(what)); };
}

} // namespace detail

/// The pending reply of `request_object`. Exactly one of the two handlers is called, in the requesting actor.
template <class R, class Handle> class object_response {
public:
  explicit object_response(Handle handle) : handle_(std::move(handle)) {}

  template <class OnValue, class OnError> void then(OnValue on_value, OnError on_error) {
    auto failed = std::make_shared<OnError>(std::move(on_error));
    handle_.then(detail::on_reply<R>(std::move(on_value), failed), detail::on_failure(failed));
  }

  template <class OnValue, class OnError> void await(OnValue on_value, OnError on_error) {
    auto failed = std::make_shared<OnError>(std::move(on_error));
    handle_.await(detail::on_reply<R>(std::move(on_value), failed), detail::on_failure(failed));
  }

  /// For a `caf::scoped_actor`: blocks.
  template <class OnValue, class OnError> void receive(OnValue on_value, OnError on_error) {
    refuse_to_wait("object_response::receive()");
    auto failed = std::make_shared<OnError>(std::move(on_error));
    handle_.receive(detail::on_reply<R>(std::move(on_value), failed), detail::on_failure(failed));
  }

private:
  Handle handle_;
};

/// Calls a method of an object from a CAF actor. `self`: a `caf::event_based_actor*`, any other actor pointer
/// with `request`, or a `caf::scoped_actor`. `timeout`: of std::chrono, or `caf::infinite`. (CAF 0.17 keeps
/// the asking actor until a timeout has passed, answered or not: an actor that is finished earlier ends with
/// `quit()` or `send_exit`.)
template <auto Method, class Self, class T, class Timeout, class... Args>
auto request_object(const Self& self, const object_ref<T>& ref, const Timeout& timeout, Args&&... args) {
  using result = typename object_ref<T>::template result_of<Method>;
  const auto& method = describe_method<T, Method>();
  // Before the object is told to expect a message: what a program serializes may throw.
  caf_call call{&method, detail::encode_arguments<Method>(std::forward<Args>(args)...)};
  auto handle = self->request(pin_for_call(self->home_system(), *ref.routes(), ref.where(), method),
                              caf::duration(timeout), std::move(call));
  return object_response<result, decltype(handle)>(std::move(handle));
}

} // namespace dormouse

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(dormouse::caf_call)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(dormouse::caf_reply)
