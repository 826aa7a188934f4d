#include "host/late_results.hpp"

#include "host/turn_commit.hpp"

#include <dormouse/actors/runtime_methods.hpp>
#include <dormouse/serialization/open_call.hpp>

#include <fmt/format.h>

#include <utility>

namespace dormouse {
namespace {

const return_path* path_of(const envelope& what) noexcept {
  return what.result ? &what.result->path : what.answer ? &what.answer->path : nullptr;
}

std::uint64_t life_of(const envelope& what) noexcept {
  const auto* path = path_of(what);
  return path != nullptr && path->top() != nullptr ? path->top()->incarnation : 0;
}

} // namespace

expected<void> aim_at_stored_life(runtime_core& core, return_path& path) {
  auto* top = path.top();
  if (top == nullptr || waiting_callers::is_caller(*top)) return {};
  top->object = core.present(std::move(top->object));
  auto stored = core.store->load_object(top->object);
  if (!stored && stored.error().code == errc::storage_error) return unexpected<error>(stored.error());
  if (stored && *stored) // one that is damaged cannot be destroyed either
    top->incarnation = (*stored)->facts.incarnation;
  return {};
}

expected<std::string> load_jar_of_life(runtime_core& core, const return_address& asker,
                                       std::string_view name) {
  const auto owner = core.present(asker.object);
  auto bytes = core.store->load_jar(owner, name);
  if (!bytes || bytes->empty() || asker.incarnation == 0) return bytes;
  // Behind the jar: the life that is there now was there when the jar was read, for none comes back.
  auto stored = core.store->load_object(owner);
  if (!stored) return unexpected<error>(std::move(stored).error());
  if (!*stored || (*stored)->facts.incarnation != asker.incarnation) return std::string();
  return bytes;
}

bool creates_nothing(const envelope& what) noexcept {
  return life_of(what) != 0 ||
         (!what.firing && what.method != nullptr && runtime_methods::is_about_begun_task(*what.method));
}

bool is_late(const envelope& what, std::uint64_t incarnation) noexcept {
  return life_of(what) != 0 && life_of(what) != incarnation;
}

late_result_commit::late_result_commit(runtime_core& core, const address& gone, envelope& what)
    : core_(core),
      why_{errc::not_found, fmt::format("object {} was destroyed before the {} that it had asked for came",
                                        to_string(gone), what.result ? "response" : "answer")} {
  core.store->erase_inbox(*this, gone, what.inbox_id, what.has_blob);
  auto rest = *path_of(what);
  auto own = *rest.pop();
  const auto* waits = rest.top();
  if (own.method == call_methods::remember) {
    own.object = gone;
    callers_ = core.callers.take_all(own);
  } else if (waits != nullptr && waiting_callers::is_caller(*waits)) {
    if (auto caller = core.callers.take(*waits)) callers_.push_back(std::move(caller));
  }
  if (waits != nullptr && !waiting_callers::is_caller(*waits))
    waiting_object_ =
        answer_object(core, writes, std::move(rest), unexpected<error>(with_origin(why_, gone)));
  dropped_ = std::move(what.result);
}

void late_result_commit::settle(const expected<void>& outcome) noexcept {
  if (outcome) { // if not, it is still in the inbox, and the next start finds it
    core_.counts.late_dropped.add();
    if (dropped_) core_.observe(&fetch_observer::dropped, *dropped_);
  }
  for (auto& caller : callers_)
    caller->resolve(unexpected<error>(why_));
  if (outcome && waiting_object_) core_.deliver(std::move(*waiting_object_));
}

} // namespace dormouse
