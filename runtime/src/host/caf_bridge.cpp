#include "host/caf_visit.hpp"
#include "host/front_desk.hpp"

#include <dormouse/runtime/caf.hpp>

#include <caf/atom.hpp>
#include <caf/message.hpp>
#include <caf/sec.hpp>

namespace dormouse {
namespace {

constexpr auto error_category = caf::atom("dormouse");

class caf_sink final : public reply_sink {
public:
  explicit caf_sink(const caf::response_promise& promise) : to_(promise.source()), id_(promise.id()) {}

  /// Not through the promise: that belongs to its actor's thread.
  void resolve(expected<std::string>&& reply) override {
    if (!to_ || id_.is_async()) return;
    auto content = reply ? caf::make_message(caf_reply{std::move(*reply)})
                         : caf::make_message(to_caf_error(reply.error()));
    to_->enqueue(nullptr, id_.response_id(), std::move(content), nullptr);
  }

private:
  caf::strong_actor_ptr to_;
  caf::message_id id_;
};

} // namespace

caf::error to_caf_error(const error& what) {
  return caf::error(static_cast<std::uint8_t>(what.code), error_category,
                    caf::make_message(what.message, what.origin.binding, what.origin.instance_id, what.type));
}

error from_caf_error(const caf::error& what) {
  if (what.category() == error_category) {
    const auto& context = what.context();
    if (!context.match_elements<std::string, std::string, std::string, std::string>())
      return {static_cast<errc>(what.code()), {}};
    return {static_cast<errc>(what.code()),
            context.get_as<std::string>(0),
            {context.get_as<std::string>(1), context.get_as<std::string>(2)},
            context.get_as<std::string>(3)};
  }
  if (what == caf::sec::request_timeout)
    return {errc::timeout, "the object did not reply within the request's timeout"};
  return {errc::stopped, "CAF: " + caf::to_string(what)};
}

std::unique_ptr<reply_sink> make_caf_sink(const caf::response_promise& promise) {
  return std::make_unique<caf_sink>(promise);
}

caf::actor pin_for_call(caf::actor_system& system, router& routes, const address& to,
                        const method_descriptor& method) {
  auto activation = dynamic_cast<front_desk&>(routes).pin(to, method);
  if (activation) return *activation;
  caf_visit visit;
  return system.spawn<caf::hidden>(
      [why = to_caf_error(with_origin(activation.error(), to))](caf::event_based_actor*) -> caf::behavior {
        return {[why](const caf_call&) -> caf::result<caf_reply> { return why; }};
      });
}

} // namespace dormouse
