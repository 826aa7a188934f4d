#include "proxy/inbox_delivery.hpp"

#include "proxy/fetch_commit.hpp"

#include <caf/send.hpp>
#include <fmt/format.h>

#include <utility>

namespace dormouse {
namespace {

constexpr std::size_t recovery_batch = 512;

} // namespace

expected<envelope_ptr> read_inbox_row(runtime_core& core, const class_descriptor& type, std::string_view key, std::string_view value) {
  auto parts = keys::parse_inbox(key);
  if (!parts)
    return fail(errc::corrupt, "the key is malformed");
  auto what = std::make_shared<envelope>();
  what->inbox_id = parts->id;
  auto result = core.store->read_result(value);
  if (result) {
    what->has_blob = result->body_is_blob != 0;
    what->result = std::make_unique<result_message>(std::move(*result));
    return what;
  }
  auto post = core.store->read_post(value);
  if (!post)
    return unexpected<error>(result.error());
  what->method = type.find(post->method);
  what->arguments = std::move(post->arguments);
  if (what->method == nullptr)
    return fail(errc::unknown_method, fmt::format("class {} has no method '{}'", type.binding, post->method));
  return what;
}

void inbox_delivery::define(const class_descriptor& type, std::set<std::uint64_t> being_stored) {
  walk next{&type, core_.store->scan(keys::inbox_of(type.binding)), std::move(being_stored)};
  core_.add_class(type); // behind the scan: a post is taken from here on, and it must not be in the walk as well
  walks_.insert_or_assign(std::string(type.binding), std::move(next));
}

void inbox_delivery::recover_some(const std::string& binding) {
  auto found = walks_.find(binding);
  if (found == walks_.end())
    return;
  auto& [type, rows, being_stored] = found->second;
  auto again = std::shared_ptr<void>(nullptr, [to = caf::actor_cast<caf::weak_actor_ptr>(core_.dispatcher), binding](void*) {
    if (auto alive = caf::actor_cast<caf::actor>(to))
      caf::anon_send(alive, recovery_ready{binding});
  });
  for (std::size_t taken = 0; taken < recovery_batch && rows->valid(); rows->next(), ++taken) {
    auto parts = keys::parse_inbox(rows->key());
    if (parts && being_stored.contains(parts->id))
      continue;
    auto what = read_inbox_row(core_, *type, rows->key(), rows->value());
    if (!what) {
      auto burial = std::make_unique<row_burial>(core_.counts);
      core_.store->bury(burial->writes, std::string(rows->key()), std::string(rows->value()), "inbox row: " + to_string(what.error()), core_.clock->now_ms());
      core_.store->submit(std::move(burial));
      continue;
    }
    (*what)->recovery = again;
    core_.deliver(parts->where, *type, std::move(*what));
  }
  if (!rows->valid())
    walks_.erase(found);
}

void inbox_delivery::deliver(std::unique_ptr<result_message> result) {
  const auto to = result->path.top()->object;
  const auto* type = core_.find_class(to.binding);
  if (type == nullptr) {
    core_.counts.undeliverable.add(); // it stays in the inbox until its class is defined
    return;
  }
  auto what = std::make_shared<envelope>();
  what->inbox_id = result->fetch_id;
  what->has_blob = result->body_is_blob != 0;
  what->result = std::move(result);
  core_.deliver(to, *type, std::move(what));
}

} // namespace dormouse
