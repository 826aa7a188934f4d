#include <dormouse/actors/proxy_fetch.hpp>

#include <fmt/format.h>

namespace dormouse {

expected<fetch_message> make_fetch_message(fetch_input input, fetch_init init, std::chrono::milliseconds default_timeout,
                                           std::chrono::system_clock::time_point now) {
  const auto* own = input.as_request();
  if (!init.timeout && (own == nullptr || !own->timeout()))
    init.timeout = default_timeout; // before the check, which is for it too
  auto checked = request::make(std::move(input), std::move(init));
  if (!checked)
    return unexpected<error>(checked.error());
  fetch_message out;
  out.method = checked->method();
  out.url = checked->url();
  out.timeout_ms = checked->timeout()->count();
  out.created_ms = std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count();
  out.deadline_ms = checked->deadline() ? out.created_ms + checked->deadline()->count() : 0;
  out.retry = checked->retry();
  out.redirect = checked->redirect();
  out.idempotency_key = checked->idempotency_key();
  out.priority = checked->priority();
  out.headers = std::move(*checked).headers();
  out.body = std::move(*checked).body().bytes();
  out.body_bytes = out.body.size();
  return out;
}

pending proxy_fetch::operator()(fetch_input input, fetch_init init) const {
  auto fetch = value_or_throw(
    make_fetch_message(std::move(input), std::move(init), config_.timeout.value_or(queue_.default_timeout()), queue_.now()));
  return pending(queue_, config_.return_address, std::move(fetch));
}

proxy_fetch create_proxy_fetch(fetch_queue& queue, proxy_fetch_config config) {
  return proxy_fetch(queue, std::move(config));
}

std::size_t pending::submit(std::string_view binding, std::string_view method, std::string context) {
  value_or_throw(validate(return_to_));
  if (return_to_.binding != binding)
    throw failure({errc::unknown_method, fmt::format("the continuation {}.{} belongs to another class than the object {} that the result returns to",
                                                     binding, method, to_string(return_to_))});
  auto fetch = fetch_; // `then` may be said twice: two fetches
  value_or_throw(fetch.path.push({return_to_, std::string(method), std::move(context)}));
  return value_or_throw(queue_.enqueue(std::move(fetch)));
}

} // namespace dormouse
