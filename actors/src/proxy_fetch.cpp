#include <dormouse/actors/proxy_fetch.hpp>

#include <dormouse/serialization/url.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace dormouse {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds longest_time = std::chrono::hours(24);
constexpr milliseconds longest_deadline = std::chrono::hours(24 * 366);
constexpr std::uint32_t most_retries = 100;

/// WHATWG Fetch 2.2.1: only these six are upper-cased; the rest are case-sensitive (RFC 9110 section 9.1).
std::string normalized_method(const std::string& method) {
  for (std::string_view known : {"DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT"})
    if (iequals(method, known))
      return std::string(known);
  return method;
}

expected<void> check_time(std::string_view name, milliseconds value, milliseconds longest) {
  if (value < milliseconds(1) || value > longest)
    return fail(errc::invalid_request, fmt::format("fetch {} is {} ms; it must be 1..{} ms", name, value.count(), longest.count()));
  return {};
}

} // namespace

expected<fetch_message> make_fetch_message(const std::string& url, fetch_init init, milliseconds default_timeout,
                                           std::chrono::system_clock::time_point now) {
  fetch_message out;
  auto parsed = parse_url(url);
  if (!parsed)
    return unexpected<error>(parsed.error());
  if (!parsed->user.empty() || !parsed->password.empty())
    return fail(errc::invalid_url, "URL includes credentials; use an Authorization header (WHATWG Fetch, request constructor)");
  out.url = parsed->target() + (parsed->fragment.empty() ? "" : "#" + parsed->fragment);
  out.method = normalized_method(init.method);
  if (!is_token(out.method))
    return fail(errc::invalid_request, fmt::format("fetch method {:?} is not a token of RFC 9110", out.method.substr(0, 64)));
  for (std::string_view forbidden : {"CONNECT", "TRACE", "TRACK"})
    if (iequals(out.method, forbidden))
      return fail(errc::invalid_request, fmt::format("fetch method {} is forbidden (WHATWG Fetch)", forbidden));
  if (init.body.present() && (out.method == "GET" || out.method == "HEAD"))
    return fail(errc::invalid_request, fmt::format("a {} fetch cannot have a body", out.method));
  auto timeout = init.timeout.value_or(default_timeout);
  if (auto good = check_time("timeout", timeout, longest_time); !good)
    return unexpected<error>(good.error());
  if (init.deadline)
    if (auto good = check_time("deadline", *init.deadline, longest_deadline); !good)
      return unexpected<error>(good.error());
  if (init.retry.max_retries > most_retries)
    return fail(errc::invalid_request, fmt::format("fetch retry.max_retries is {}; the limit is {}", init.retry.max_retries, most_retries));
  for (auto delay : {init.retry.initial_delay, init.retry.max_delay})
    if (delay < milliseconds(0) || delay > longest_time)
      return fail(errc::invalid_request, fmt::format("fetch retry delay is {} ms; it must be 0..{} ms", delay.count(), longest_time.count()));
  // They belong to the connection, not to the caller: a wrong one would let a request end where the server thinks another begins.
  for (std::string_view reserved : {"Connection", "Content-Length", "Expect", "Host", "Keep-Alive", "TE", "Trailer", "Transfer-Encoding", "Upgrade"})
    if (init.headers.has(reserved))
      return fail(errc::invalid_header, fmt::format("header {} is set by the connection and cannot be set by a fetch (WHATWG Fetch, forbidden request-header)", reserved));
  out.headers = std::move(init.headers);
  if (!init.idempotency_key.empty()) {
    headers checked;
    if (auto good = checked.try_append("Idempotency-Key", init.idempotency_key); !good)
      return unexpected<error>(good.error());
    // A header strips what is around its value. The key is kept as it was given, so it must have nothing to strip.
    if (checked.begin()->second != init.idempotency_key)
      return fail(errc::invalid_header, "the Idempotency-Key of a fetch begins or ends with white space or a line end");
    out.idempotency_key = std::move(init.idempotency_key);
  }
  if (init.body.present() && !init.body.content_type().empty() && !out.headers.has("Content-Type"))
    out.headers.append("Content-Type", init.body.content_type());
  out.body = std::move(init.body).bytes();
  out.body_bytes = out.body.size();
  out.timeout_ms = timeout.count();
  auto now_ms = std::chrono::duration_cast<milliseconds>(now.time_since_epoch()).count();
  out.created_ms = now_ms;
  out.deadline_ms = init.deadline ? now_ms + init.deadline->count() : 0;
  out.retry = init.retry;
  out.redirect = init.redirect;
  out.priority = init.priority;
  return out;
}

pending proxy_fetch::operator()(const fetch_input& input) const {
  return (*this)(input, input.init().value_or(fetch_init{}));
}

pending proxy_fetch::operator()(const fetch_input& input, fetch_init init) const {
  auto fetch = value_or_throw(
    make_fetch_message(input.url(), std::move(init), config_.timeout.value_or(queue_.default_timeout()), queue_.now()));
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
