#include "host/turn.hpp"

#include <dormouse/serialization/url.hpp>

#include <fmt/format.h>

namespace dormouse {

expected<void> admit_fetch(runtime_core& core, fetch_message& fetch) {
  const auto& settings = core.settings;
  auto target = parse_url(fetch.url);
  if (!target)
    return unexpected<error>(target.error());
  if (auto allowed = core.policy.check(*target); !allowed) {
    core.counts.blocked.add();
    return unexpected<error>(allowed.error());
  }
  if (fetch.body.size() > settings.max_body_bytes)
    return fail(errc::too_large, fmt::format("the request body has {} bytes; the limit is options::max_body_bytes = {}", fetch.body.size(), settings.max_body_bytes));
  if (auto bytes = fetch.headers.wire_bytes(); bytes > settings.max_header_bytes)
    return fail(errc::too_large, fmt::format("the request headers have {} bytes; the limit is options::max_header_bytes = {}", bytes, settings.max_header_bytes));
  std::size_t message_bytes = fetch.url.size() + fetch.headers.wire_bytes() + fetch.idempotency_key.size();
  if (const auto* top = fetch.path.top())
    message_bytes += top->context.size();
  if (message_bytes > settings.max_inline_bytes)
    return fail(errc::too_large, fmt::format("the fetch message (URL, headers and the continuation's context) has {} bytes; the limit is options::max_inline_bytes = {}",
                                             message_bytes, settings.max_inline_bytes));
  if (!core.counts.queued_fetches.add_below(settings.max_queued_fetches))
    return fail(errc::queue_full, fmt::format("QUEUE_ERROR: {} fetches are queued, the limit of options::max_queued_fetches", settings.max_queued_fetches));
  fetch.id = core.store->next_id();
  return {};
}

void turn::undo() noexcept {
  core_.counts.queued_fetches.sub(fetches_.size());
  fetches_.clear();
}

expected<std::size_t> turn::enqueue(fetch_message&& fetch) {
  if (auto admitted = admit_fetch(core_, fetch); !admitted)
    return unexpected<error>(admitted.error());
  fetches_.push_back(std::move(fetch));
  return fetches_.size() - 1;
}

} // namespace dormouse
