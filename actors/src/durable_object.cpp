#include <dormouse/actors/durable_object.hpp>

namespace dormouse {

durable_object::~durable_object() = default;

void durable_object::on_create() {}

void durable_object::on_wake() {}

pending durable_object::fetch(fetch_input input, fetch_init init) {
  return create_proxy_fetch(host(), {.return_address = self_address()})(std::move(input), std::move(init));
}

fetch_queue& durable_object::queue() {
  return host();
}

void durable_object::hibernate() {
  host().hibernate();
}

const address& durable_object::self_address() const {
  return host().self();
}

std::chrono::system_clock::time_point durable_object::now() const {
  return host().now();
}

turn_host& durable_object::host() const {
  if (host_ == nullptr)
    throw failure({errc::invalid_request, "an object can use its runtime only inside a turn, not in its constructor, destructor or serialize()"});
  return *host_;
}

} // namespace dormouse
