#include "host/mailbox_room.hpp"

#include "host/runtime_core.hpp"
#include "proxy/inbox_delivery.hpp"

#include <string>
#include <utility>

namespace dormouse {
namespace {

/// So little is not worth a read.
constexpr std::size_t small_bytes = 256;

/// The contexts of the runtime's own say what a message is of.
return_path without_context(return_path path) {
  if (auto* top = path.top(); top != nullptr && !top->method.starts_with('#')) top->context = {};
  return path;
}

std::size_t bytes_of(const result_message& what) {
  std::size_t bytes = what.extra.request.body.size() + what.extra.request.headers.wire_bytes();
  if (what.result)
    bytes += response_access::body(*what.result).size() + what.result->headers().wire_bytes();
  else
    bytes += what.result.error().message.size();
  for (const auto& each : what.extra.cookies)
    bytes += each.field.size();
  return bytes;
}

} // namespace

std::size_t bytes_in_memory(const envelope& what) {
  if (what.result) return bytes_of(*what.result);
  if (what.answer) return what.answer->answer ? what.answer->answer->size() : 0;
  return what.arguments.size();
}

void enter_mailbox(runtime_core& core, envelope& what) {
  if (what.inbox_id == 0) return;
  const auto bytes = bytes_in_memory(what);
  if (bytes <= small_bytes) return;
  if (core.mailbox_bytes->get() + bytes > core.settings.max_mailbox_bytes) return leave_on_disk(what);
  what.room = mailbox_room(core.mailbox_bytes, bytes);
}

void leave_on_disk(envelope& what) {
  if (what.inbox_id == 0 || what.left_on_disk || bytes_in_memory(what) <= small_bytes) return;
  if (what.result) {
    auto rest = std::make_unique<result_message>();
    rest->fetch_id = what.result->fetch_id;
    rest->path = without_context(std::move(what.result->path));
    what.result = std::move(rest);
  } else if (what.answer) {
    auto rest = std::make_unique<reply_message>();
    rest->id = what.answer->id;
    rest->path = without_context(std::move(what.answer->path));
    what.answer = std::move(rest);
  } else {
    what.arguments = std::string();
  }
  what.room = {};
  what.left_on_disk = true;
}

expected<bool> read_again(runtime_core& core, const class_descriptor& type, const address& of,
                          envelope& what) {
  const auto key = keys::inbox(of, what.inbox_id);
  auto row = core.store->get(key);
  if (!row) return unexpected<error>(row.error());
  if (!*row) return false;
  auto read = read_inbox_row(core, type, key, **row);
  if (!read) return unexpected<error>(read.error());
  auto& stored = **read;
  what.result = std::move(stored.result);
  what.answer = std::move(stored.answer);
  what.arguments = std::move(stored.arguments);
  what.path = std::move(stored.path);
  what.open_call = 0; // its path is as it was stored, too
  what.left_on_disk = false;
  return true;
}

} // namespace dormouse
