#include "unix_time.hpp"

#include <dormouse/actors/proxy_fetch.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace dormouse {
namespace {

using std::chrono::milliseconds;

/// When a fetch may go out; 0: at once.
expected<std::int64_t> start_of(const request& what, std::int64_t now_ms, std::int64_t deadline_ms) {
  constexpr milliseconds furthest_named = std::chrono::hours(24 * 366);
  const auto named = what.not_before() ? in_ms(*what.not_before()) : 0;
  if (named > now_ms + furthest_named.count())
    return fail(errc::invalid_request, fmt::format("fetch not_before is {} ms ahead; the limit is {} ms",
                                                   named - now_ms, furthest_named.count()));
  const auto start = std::max(now_ms + what.delay().count(), named);
  if (deadline_ms != 0 && start >= deadline_ms)
    return fail(
        errc::invalid_request,
        fmt::format("fetch delay or not_before lets it go {} ms behind its deadline", start - deadline_ms));
  return start > now_ms ? start : 0;
}

} // namespace

expected<void> check_jar_name(std::string_view name) {
  if (name.empty() || name.size() > max_jar_name_bytes || !is_valid_utf8(name))
    return fail(errc::invalid_request,
                fmt::format("cookie jar {:?} has {} bytes; a name is 1..{} bytes of UTF-8",
                            name.substr(0, 100), name.size(), max_jar_name_bytes));
  return {};
}

expected<fetch_message> make_fetch_message(fetch_input input, fetch_init init,
                                           std::chrono::milliseconds default_timeout,
                                           std::chrono::system_clock::time_point now) {
  const auto* own = input.as_request();
  if (!init.timeout && (own == nullptr || !own->timeout()))
    init.timeout = default_timeout; // before the check, which is for it too
  auto checked = request::make(std::move(input), std::move(init));
  if (!checked) return unexpected<error>(checked.error());
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
  auto start = start_of(*checked, out.created_ms, out.deadline_ms);
  if (!start) return unexpected<error>(start.error());
  out.extra = {.queue = checked->queue(),
               .not_before_ms = *start,
               .delivery = checked->delivery(),
               .sharing = checked->sharing(),
               .signal = checked->signal(),
               .jar = {}};
  if (checked->body().present() && checked->body().bytes().empty()) out.body_is_blob = has_empty_body;
  out.headers = std::move(*checked).headers();
  out.body = std::move(*checked).body().bytes();
  out.body_bytes = out.body.size();
  return out;
}

proxy_fetch::proxy_fetch(fetch_queue& queue, proxy_fetch_config config)
    : queue_(queue), config_(std::move(config)) {
  if (!config_.jar.empty()) value_or_throw(check_jar_name(config_.jar));
}

pending proxy_fetch::operator()(fetch_input input, fetch_init init) const {
  auto fetch = value_or_throw(make_fetch_message(
      std::move(input), std::move(init), config_.timeout.value_or(queue_.default_timeout()), queue_.now()));
  if (fetch.extra.queue.empty()) fetch.extra.queue = config_.queue;
  fetch.extra.jar = config_.jar;
  return pending(queue_, config_.return_address, std::move(fetch));
}

proxy_fetch create_proxy_fetch(fetch_queue& queue, proxy_fetch_config config) {
  return proxy_fetch(queue, std::move(config));
}

std::size_t pending::enqueue(fetch_message fetch, std::string_view binding, std::string_view method,
                             std::string context) {
  value_or_throw(validate(return_to_));
  if (return_to_.binding != binding)
    throw failure(
        {errc::unknown_method,
         fmt::format(
             "the continuation {}.{} belongs to another class than the object {} that the result returns to",
             binding, method, to_string(return_to_))});
  value_or_throw(fetch.path.push({return_to_, std::string(method), std::move(context)}));
  return value_or_throw(queue_.enqueue(std::move(fetch)));
}

} // namespace dormouse
