#include "host/burial.hpp"

#include "host/turn_commit.hpp"

#include <dormouse/serialization/open_call.hpp>

#include <string>
#include <utility>

namespace dormouse {

expected<std::optional<burial>> bury(runtime_core& core, const address& of, schedule_book& book,
                                     envelope& what, const error& why, fault whose) {
  auto key = keys::inbox(of, what.inbox_id);
  auto row = core.store->get(key);
  if (!row) return unexpected<error>(row.error());
  if (!*row) return std::nullopt;
  burial out;
  bool is_told = false; // who waits behind the call
  if (what.open_call != 0) {
    auto closed = book.cancel({what.open_call, {}});
    if (!closed && closed.error().code == errc::storage_error) return unexpected<error>(closed.error());
    is_told = closed && !*closed;
  }
  if (what.result || what.answer) {
    auto& path = what.result ? what.result->path : what.answer->path;
    auto rest = path;
    auto own = rest.pop();
    const auto* waits = is_told ? nullptr : rest.top();
    const bool rewrites = what.open_call != 0 || (waits != nullptr && !waiting_callers::is_caller(*waits));
    if (own->method == call_methods::remember) {
      own->object = of;
      out.callers = core.callers.take_all(*own);
    } else if (waits != nullptr && waiting_callers::is_caller(*waits)) {
      if (auto caller = core.callers.take(*waits)) out.callers.push_back(std::move(caller));
    } else if (waits != nullptr) {
      out.waiting_object =
          answer_object(core, out.writes, std::move(rest), unexpected<error>(with_origin(why, of)));
    }
    if (rewrites) {
      path = {};
      (void)path.push(std::move(*own)); // an empty path has room
      *row = what.result ? seal_value(frame_type::result, *what.result)
                         : seal_value(frame_type::reply, *what.answer);
    }
  }
  core.store->bury(out.writes, std::move(key), std::move(**row), to_string(why), core.clock->now_ms(),
                   what.history);
  out.why = why;
  out.is_damaged = whose == fault::disk;
  return out;
}

} // namespace dormouse
