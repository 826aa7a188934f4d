#include <dormouse/serialization/address.hpp>
#include <dormouse/serialization/request.hpp>
#include <dormouse/serialization/url.hpp>

#include <fmt/format.h>

namespace dormouse {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds longest_time = std::chrono::hours(24);
constexpr milliseconds longest_deadline = std::chrono::hours(24 * 366);
constexpr std::uint32_t most_retries = 100;

/// WHATWG Fetch 2.2.1: only these six are upper-cased; the rest are case-sensitive (RFC 9110 section 9.1).
std::string normalized_method(std::string method) {
  for (std::string_view known : {"DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT"})
    if (iequals(method, known)) return std::string(known);
  return method;
}

expected<void> check_method(const std::string& method) {
  if (!is_token(method))
    return fail(errc::invalid_request,
                fmt::format("fetch method {:?} is not a token of RFC 9110", method.substr(0, 64)));
  for (std::string_view forbidden : {"CONNECT", "TRACE", "TRACK"})
    if (iequals(method, forbidden))
      return fail(errc::invalid_request,
                  fmt::format("fetch method {} is forbidden (WHATWG Fetch)", forbidden));
  return {};
}

expected<void> check_time(std::string_view name, std::optional<milliseconds> value, milliseconds longest) {
  if (value && (*value < milliseconds(1) || *value > longest))
    return fail(errc::invalid_request,
                fmt::format("fetch {} is {} ms; it must be 1..{} ms", name, value->count(), longest.count()));
  return {};
}

expected<void> check_retry(const retry_policy& retry) {
  if (retry.max_retries > most_retries)
    return fail(errc::invalid_request, fmt::format("fetch retry.max_retries is {}; the limit is {}",
                                                   retry.max_retries, most_retries));
  for (auto delay : {retry.initial_delay, retry.max_delay})
    if (delay < milliseconds(0) || delay > longest_time)
      return fail(errc::invalid_request, fmt::format("fetch retry delay is {} ms; it must be 0..{} ms",
                                                     delay.count(), longest_time.count()));
  return {};
}

/// They belong to the connection, not to the caller: a wrong one would let a request end where the server
/// thinks another begins.
expected<void> check_headers(const headers& fields) {
  for (std::string_view reserved : {"Connection", "Content-Length", "Expect", "Host", "Keep-Alive", "TE",
                                    "Trailer", "Transfer-Encoding", "Upgrade"})
    if (fields.has(reserved))
      return fail(errc::invalid_header, fmt::format("header {} is set by the connection and cannot be set by "
                                                    "a fetch (WHATWG Fetch, forbidden request-header)",
                                                    reserved));
  return {};
}

expected<void> check_idempotency_key(const std::string& key) {
  if (key.empty()) return {};
  headers checked;
  if (auto good = checked.try_append("Idempotency-Key", key); !good) return good;
  // A header strips what is around its value. The key is kept as it was given, so it must have nothing to
  // strip.
  if (checked.fields().front().second != key)
    return fail(errc::invalid_header,
                "the Idempotency-Key of a fetch begins or ends with white space or a line end");
  return {};
}

expected<std::string> checked_url(const std::string& text) {
  auto parsed = parse_url(text);
  if (!parsed) return unexpected<error>(parsed.error());
  if (!parsed->user.empty() || !parsed->password.empty())
    return fail(errc::invalid_url,
                "URL includes credentials; use an Authorization header (WHATWG Fetch, request constructor)");
  return parsed->target() + (parsed->fragment.empty() ? "" : "#" + parsed->fragment);
}

} // namespace

request::request(fetch_input input, fetch_init init)
    : request(value_or_throw(make(std::move(input), std::move(init)))) {}

expected<request> request::make(fetch_input input, fetch_init init) {
  request out;
  if (auto* other = std::get_if<request>(&input.what_)) {
    out = std::move(*other);
  } else {
    auto url = checked_url(std::get<std::string>(input.what_));
    if (!url) return unexpected<error>(url.error());
    out.url_ = std::move(*url);
  }
  out.take(std::move(init));
  if (auto good = out.check(); !good) return unexpected<error>(good.error());
  return out;
}

void request::take(fetch_init&& init) {
  if (init.method) method_ = normalized_method(std::move(*init.method));
  if (init.headers) headers_ = std::move(*init.headers);
  if (init.body.present()) {
    body_ = std::move(init.body);
    if (!body_.content_type().empty() && !headers_.has("Content-Type"))
      headers_.append("Content-Type",
                      body_.content_type()); // cannot throw: a type is one of ours or a blob's, printable
  }
  if (init.timeout) timeout_ = init.timeout;
  if (init.deadline) deadline_ = init.deadline;
  retry_ = {.max_retries = init.retry.max_retries.value_or(retry_.max_retries),
            .initial_delay = init.retry.initial_delay.value_or(retry_.initial_delay),
            .max_delay = init.retry.max_delay.value_or(retry_.max_delay)};
  if (init.idempotency_key) idempotency_key_ = std::move(*init.idempotency_key);
  redirect_ = init.redirect.value_or(redirect_);
  priority_ = init.priority.value_or(priority_);
  delivery_ = init.delivery.value_or(delivery_);
  sharing_ = init.sharing.value_or(sharing_);
  delay_ = init.delay.value_or(delay_);
  if (init.not_before) not_before_ = init.not_before;
  if (init.signal) signal_ = std::move(*init.signal);
  if (init.queue) queue_ = std::move(*init.queue);
}

expected<void> request::check() const {
  if (auto good = check_method(method_); !good) return good;
  if (body_.present() && (method_ == "GET" || method_ == "HEAD"))
    return fail(errc::invalid_request, fmt::format("a {} fetch cannot have a body", method_));
  if (delay_ < milliseconds(0) || delay_ > longest_deadline)
    return fail(errc::invalid_request, fmt::format("fetch delay is {} ms; it must be 0..{} ms",
                                                   delay_.count(), longest_deadline.count()));
  if (sharing_ == dormouse::sharing::single_flight && method_ != "GET")
    return fail(errc::invalid_request,
                fmt::format("fetch sharing single_flight is for GET, not for {}", method_));
  if (sharing_ == dormouse::sharing::single_flight && delivery_ == dormouse::delivery::at_most_once)
    return fail(errc::invalid_request,
                "fetch sharing single_flight and delivery at_most_once exclude each other");
  if (!queue_.empty() && !is_valid_binding(queue_))
    return fail(errc::invalid_request,
                fmt::format("fetch queue {:?} is not a name of the form [A-Za-z_][A-Za-z0-9_]{{0,63}}",
                            queue_.substr(0, 100)));
  return check_time("timeout", timeout_, longest_time)
      .and_then([this] { return check_time("deadline", deadline_, longest_deadline); })
      .and_then([this] { return check_retry(retry_); })
      .and_then([this] { return check_headers(headers_); })
      .and_then([this] { return check_idempotency_key(idempotency_key_); });
}

} // namespace dormouse
