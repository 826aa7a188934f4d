#pragma once

/// How much memory the messages have that wait in mailboxes and are on the disk besides: results, answers,
/// posts and calls of objects. Past `max_mailbox_bytes` they leave there what is large, and it is read when
/// their turn comes. What waits to be tried again does the same.
///
/// What stays in memory tells where a message belongs and what it is: its place in the inbox, the path of a
/// call, and of what comes back the path without the context of the continuation.

#include "host/actor_messages.hpp"

#include <cstddef>

namespace dormouse {

struct runtime_core;

/// What a message has besides its path, about.
std::size_t bytes_in_memory(const envelope& what);

/// It goes into a mailbox: whole, if there is room.
void enter_mailbox(runtime_core& core, envelope& what);

/// What is on the disk besides is not kept. To be read again before it is handled.
void leave_on_disk(envelope& what);

/// Reads what was left on the disk. False: it is not there any more. Errors: `corrupt`, `storage_error`,
/// `unknown_method`.
expected<bool> read_again(runtime_core& core, const class_descriptor& type, const address& of,
                          envelope& what);

} // namespace dormouse
