#include "host/open_calls.hpp"

#include "host/turn.hpp"

#include <dormouse/serialization/codec.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace dormouse {
namespace {

constexpr std::chrono::milliseconds longest = std::chrono::hours(24 * 366);

} // namespace

expected<call_id> open_calls::open(admitted_call& what, std::size_t place, std::chrono::milliseconds within) {
  auto& message = what.message;
  if (within < std::chrono::milliseconds(1) || within > longest)
    return fail(errc::invalid_request,
                fmt::format("the call of {}.{} is waited for within {} ms; that must be 1..{}",
                            what.to->binding, message.method, within.count(), longest.count()));
  open_call record{what.to, message.method, within.count(), {}};
  auto& hop = *message.path.top();
  (void)record.path.push(hop); // an empty path has room
  schedule_message timer;
  timer.method = call_methods::timeout;
  timer.arguments = encode(record);
  timer.tick_ms = timer.due_ms = clock_.now_ms() + within.count();
  auto id = schedules_.add(std::move(timer));
  if (!id) return unexpected<error>(id.error());
  hop.method = call_methods::answer;
  hop.context = encode(id->number);
  opened_.push_back({id->number, place, std::move(record)});
  return call_id{id->number};
}

expected<bool> open_calls::cancel(const call_id& which) {
  if (which.number == 0) return false;
  const schedule_id id{which.number, {}};
  auto row = schedules_.find(id);
  if (!row) return unexpected<error>(row.error());
  if (!*row || (*row)->method != call_methods::timeout) return false;
  auto record = read_open_call(**row);
  if (!record) return unexpected<error>(record.error());
  if (auto gone = schedules_.cancel(id); !gone) return gone;
  cancelled_.emplace_back(which.number, std::move(*record));
  return true;
}

void open_calls::complete(const std::vector<admitted_call>& calls) {
  for (auto& [number, place, record] : opened_) {
    auto path = calls.at(place).message.path;
    if (path.size() == 1) continue; // nobody waits behind it: the record is whole
    (void)path.pop();
    (void)path.push(*record.path.pop()); // in the place of the one that was taken off
    record.path = std::move(path);
    schedules_.set_arguments({number, {}}, encode(record));
    for (auto& [given_up, its_record] : cancelled_) // in the turn that made it
      if (given_up == number) its_record = record;
  }
  opened_.clear();
}

std::vector<waiting_reply> open_calls::take_cancelled() {
  std::vector<waiting_reply> out;
  for (auto& [number, record] : std::exchange(cancelled_, {})) {
    call_error why{errc::cancelled,
                   fmt::format("the call of {}.{} of object {} was given up", record.called.binding,
                               record.method, to_string(record.called)),
                   record.called};
    out.push_back({std::move(record.path), tl::unexpected<call_error>(std::move(why))});
  }
  return out;
}

void open_calls::go_back(std::pair<std::size_t, std::size_t> to) noexcept {
  opened_.erase(opened_.begin() + static_cast<std::ptrdiff_t>(to.first), opened_.end());
  cancelled_.erase(cancelled_.begin() + static_cast<std::ptrdiff_t>(to.second), cancelled_.end());
}

expected<open_call> read_open_call(const schedule_message& row) {
  auto record = decode<open_call>(row.arguments);
  if (!record) return fail(errc::corrupt, "the record of an open call: " + record.error().message);
  if (record->path.empty()) return fail(errc::corrupt, "the record of an open call has no continuation");
  return record;
}

call_error timed_out(const open_call& what) {
  return {errc::timeout,
          fmt::format("the call of {}.{} of object {} had no answer within the {} ms of its within()",
                      what.called.binding, what.method, to_string(what.called), what.within_ms),
          what.called};
}

expected<bool> is_wanted(schedule_book& schedules, envelope& what) {
  auto& hop = *what.answer->path.top();
  auto number = what.open_call;
  if (number == 0) {
    if (hop.method != call_methods::answer) return true;
    auto named = decode<std::uint64_t>(hop.context);
    if (!named || *named == 0) return fail(errc::corrupt, "an answer that names no call");
    number = *named;
  }
  auto row = schedules.find({number, {}});
  if (!row) return unexpected<error>(row.error());
  if (!*row || (*row)->method != call_methods::timeout) return false;
  if (what.open_call != 0) return true; // it was tried before
  auto record = read_open_call(**row);
  if (!record) return unexpected<error>(record.error());
  auto continuation = *record->path.pop();
  hop.method = std::move(continuation.method);
  hop.context = std::move(continuation.context);
  what.open_call = number;
  return true;
}

} // namespace dormouse
