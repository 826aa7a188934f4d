#pragma once

/// What the runtime's actors say to each other. These messages never leave the process, so CAF need not know
/// how to serialize them.

#include "host/counters.hpp"
#include "ports/http_transport.hpp"
#include "store/dead_letter.hpp"

#include <dormouse/actors/class_descriptor.hpp>
#include <dormouse/actors/router.hpp>
#include <dormouse/serialization/messages.hpp>
#include <dormouse/serialization/schedule.hpp>

#include <caf/actor.hpp>
#include <caf/allowed_unsafe_message_type.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace dormouse {

/// A schedule that is due. The row on disk is the message: it is read when it is handled, for until then it
/// may be cancelled.
struct firing {
  schedule_id id;
  std::int64_t due_ms = 0;
  schedule_message row; ///< from when it is handled
};

/// The place of a message of which there are so many at a time; given back with its end.
class held_place {
public:
  virtual ~held_place() = default;

  /// The message waits, for how long nobody knows: its place is for others. What it holds from now on.
  virtual std::shared_ptr<held_place> step_aside(std::shared_ptr<held_place> self) = 0;
};

/// What a message counts for `max_mailbox_bytes`, until it ends.
class mailbox_room {
public:
  mailbox_room() = default;
  mailbox_room(std::shared_ptr<counter> of, std::size_t bytes) : of_(std::move(of)), bytes_(bytes) {
    of_->add(bytes_);
  }
  mailbox_room(mailbox_room&& other) noexcept { *this = std::move(other); }
  mailbox_room& operator=(mailbox_room&& other) noexcept {
    std::swap(of_, other.of_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~mailbox_room() {
    if (of_) of_->sub(bytes_);
  }

private:
  std::shared_ptr<counter> of_;
  std::size_t bytes_ = 0;
};

/// A message for an object: a call, a result, a stored post, or a firing.
struct envelope {
  // A call or a post.
  const method_descriptor* method = nullptr; ///< null: a result, whose method is on its return path
  std::string arguments;
  std::unique_ptr<reply_sink> sink; ///< null: nobody waits

  std::string key;  ///< of a call from outside: an idempotency key; empty: none
  return_path path; ///< of a call from another object: who gets the answer

  // A result, or an answer.
  std::unique_ptr<result_message> result;
  std::unique_ptr<reply_message> answer;

  // What is in the inbox is erased by the commit of the turn that handles it.
  std::uint64_t inbox_id = 0;  ///< 0: not in the inbox
  std::uint64_t open_call = 0; ///< of an answer that was wanted when it was last looked at: the record of its
                               ///< call (open_calls.hpp); 0: none
  bool left_on_disk = false;   ///< what is large of it: to be read before it is handled (mailbox_room.hpp)
  bool has_blob = false;    ///< the body of the result is not in it: it is loaded when the message is handled
  std::uint32_t deaths = 0; ///< how often in a row the process died in it (suspects.hpp)
  std::uint32_t failures = 0;           ///< how often the handler threw
  std::vector<dead_letter_try> history; ///< and what

  std::unique_ptr<dormouse::firing> firing; ///< null: not one

  mailbox_room room;
  std::shared_ptr<held_place>
      place; ///< released when the message has been handled; paces recovery, and firings

  void step_aside() {
    if (place) place = place->step_aside(place);
  }
};
using envelope_ptr = std::shared_ptr<envelope>;

/// A message for another object that is in its inbox when a commit is durable, and is handed to it then.
struct delivery_order {
  address to;
  const class_descriptor* type = nullptr; ///< null: not defined here; it stays in the inbox
  envelope_ptr what;
  std::shared_ptr<void> in_hand; ///< see `inbox_place`
};

// To an activation.
struct retire_if_idle {};
struct stop_activation {};
struct commits_drained {};
struct look_at_ready_gate {
  std::uint64_t number = 0; ///< of the gate's closing (ready_gate.hpp)
};
struct redeliver {
  envelope_ptr what;
};

struct turn_uncommitted { ///< the commit of the turn that handled it failed
  envelope_ptr what;
};
struct retry_held_back {};

// To the dispatcher.
struct queued_fetch {
  fetch_message fetch;
  std::int64_t due_ms = 0;
};
struct fetches_queued {
  std::shared_ptr<std::vector<queued_fetch>> fetches; ///< moved from
};
struct abort_request {
  abort_id id;
  abort_mark mark;
};
struct aborts_requested {                             ///< durable
  std::shared_ptr<std::vector<abort_request>> aborts; ///< moved from
};
struct attempt_marked {
  std::uint64_t fetch_id = 0;
  bool durable = false;
};
struct attempts_finished {
  std::size_t worker = 0;
  std::uint64_t generation = 0; ///< of the worker: one that was replaced has no say
  std::shared_ptr<std::vector<transfer_outcome>> outcomes; ///< moved from
};
struct result_stored {
  std::uint64_t fetch_id = 0;
  bool durable = false;
};
struct store_again {
  std::uint64_t fetch_id = 0;
};
struct fetch_moved {
  std::uint64_t fetch_id = 0;
  bool durable = false;
};
struct binding_renamed { ///< before such a class is defined
  const class_descriptor* type = nullptr;
  std::shared_ptr<void> acknowledge; ///< released when nothing more is written under an old name
};
struct classes_defined {
  std::vector<const class_descriptor*> types;
  std::shared_ptr<void> acknowledge; ///< released when the classes are known
};
struct classes_settled { ///< everything that was written before the classes were known is durable
  std::vector<const class_descriptor*> types;
};
struct recovery_ready {
  std::string binding; ///< empty: what is delivered last, one at a time
};
struct dispatcher_tick {};
struct worker_died {
  std::size_t worker = 0;
  std::uint64_t generation = 0;
  std::string reason;
};

// To a worker.
struct start_transfers {
  std::shared_ptr<std::vector<transfer>> transfers; ///< moved from
};

struct cancel_transfers {
  std::vector<std::uint64_t> tokens;
};

// To the scheduler.
struct scheduler_look {}; ///< something was told to `schedule_signals`
struct scheduler_tick {};

struct sweep_tick {};

} // namespace dormouse

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(dormouse::envelope_ptr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(dormouse::retire_if_idle)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(dormouse::stop_activation)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(dormouse::commits_drained)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(dormouse::look_at_ready_gate)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(dormouse::redeliver)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(dormouse::turn_uncommitted)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(dormouse::retry_held_back)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(dormouse::fetches_queued)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(dormouse::aborts_requested)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(dormouse::attempt_marked)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(dormouse::attempts_finished)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(dormouse::result_stored)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(dormouse::store_again)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(dormouse::fetch_moved)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(dormouse::binding_renamed)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(dormouse::classes_defined)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(dormouse::classes_settled)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(dormouse::recovery_ready)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(dormouse::dispatcher_tick)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(dormouse::worker_died)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(dormouse::start_transfers)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(dormouse::cancel_transfers)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(dormouse::scheduler_look)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(dormouse::scheduler_tick)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(dormouse::sweep_tick)
