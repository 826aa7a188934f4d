#pragma once

/// What an `object_ref` needs from the runtime: a way to an address.

#include <dormouse/actors/class_descriptor.hpp>
#include <dormouse/serialization/address.hpp>
#include <dormouse/serialization/error.hpp>

#include <memory>
#include <string>
#include <string_view>

namespace dormouse {

/// Takes exactly one reply. Called on a thread of the runtime: keep it short, do not block, do not throw
/// (user code behind it goes through `run_user_code`).
class reply_sink {
public:
  virtual ~reply_sink() = default;
  virtual void resolve(expected<std::string>&& reply) = 0;
};

class router {
public:
  virtual ~router() = default;

  /// Delivers a call; the sink is resolved when the turn's commit is durable (for a read-only turn: when
  /// everything it could have seen is). Thread-safe; never blocks on the object. Every failure goes to the
  /// sink.
  virtual void call(const address& to, const method_descriptor& method, std::string arguments,
                    std::unique_ptr<reply_sink> sink) = 0;

  /// The same, but that what the first such call with this key came to is the reply to all of them; see
  /// `call_options`.
  virtual void call_once(const address& to, const method_descriptor& method, std::string arguments,
                         std::string key, std::unique_ptr<reply_sink> sink) = 0;

  /// Stores a call durably, resolves the sink (with nothing), and then delivers it, exactly once in effect.
  virtual void post(const address& to, const method_descriptor& method, std::string arguments,
                    std::unique_ptr<reply_sink> sink) = 0;

  /// The handler of an asynchronous call threw; to be logged and counted.
  virtual void handler_threw(const error&) noexcept {}
};

} // namespace dormouse
