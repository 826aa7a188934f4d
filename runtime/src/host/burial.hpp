#pragma once

/// Messages that are given up: moved from the inbox of an object to the dead letters, in a commit of the
/// object.

#include "host/actor_messages.hpp"
#include "host/runtime_core.hpp"
#include "schedule/schedule_book.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

namespace dormouse {

/// Whose doing it is that a message cannot be handled.
enum class fault : std::uint8_t {
  handler,
  disk, ///< the row is damaged: it is counted among those
};

struct burial {
  write_set writes;
  std::vector<std::unique_ptr<reply_sink>>
      callers; ///< who waited for what the handler would have come to, if anybody: they hear why
  std::optional<delivery_order> waiting_object; ///< the same, if it is an object
  bool is_damaged = false;
  error why;
};

/// The letter keeps only the way to the handler, so that a retry answers nobody twice. Of the answer to a
/// call the record is closed in `book`, whose changes belong into the same commit; if the call has been
/// closed already, whoever waits has been told. Nothing if there is no such row any more. Error:
/// `storage_error`.
expected<std::optional<burial>> bury(runtime_core& core, const address& of, schedule_book& book,
                                     envelope& what, const error& why, fault whose);

} // namespace dormouse
