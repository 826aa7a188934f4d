#include "host/burial.hpp"

#include "host/open_calls.hpp"
#include "host/turn_commit.hpp"

#include <dormouse/serialization/open_call.hpp>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace dormouse {
namespace {

class burial_commit final : public pending_commit {
public:
  explicit burial_commit(runtime_core& core) : core_(core) {}

  void settle(const expected<void>& outcome) noexcept override {
    if (outcome) {
      core_.counts.dead_letters.add();
      core_.counts.corrupt_rows.add(damaged ? 1 : 0);
      core_.counts.schedules.sub(closes_call ? 1 : 0);
    }
    for (auto& caller : callers)
      caller->resolve(unexpected<error>(why));
    if (outcome && waiting_object)
      core_.deliver(std::move(*waiting_object));
  }

  std::vector<std::unique_ptr<reply_sink>> callers; ///< who waited for the reply, if anybody
  std::optional<delivery_order> waiting_object; ///< the same, if it is an object
  bool closes_call = false; ///< the record of the call that it was the answer to goes with it
  error why;
  bool damaged = false;

private:
  runtime_core& core_;
};

} // namespace

void bury(runtime_core& core, const address& of, envelope& what, const error& why, fault whose) {
  auto key = keys::inbox(of, what.inbox_id);
  auto row = core.store->get(key);
  if (!row || !*row)
    return;
  auto commit = std::make_unique<burial_commit>(core);
  if (what.result || what.answer) {
    auto& path = what.result ? what.result->path : what.answer->path;
    auto rest = path;
    auto own = rest.pop();
    const auto* waits = rest.top();
    const bool rewrites = what.open_call != 0 || (waits != nullptr && !waiting_callers::is_caller(*waits));
    if (own->method == call_methods::remember) {
      own->object = of;
      commit->callers = core.callers.take_all(*own);
    } else if (waits != nullptr && waiting_callers::is_caller(*waits)) {
      if (auto caller = core.callers.take(*waits))
        commit->callers.push_back(std::move(caller));
    } else if (waits != nullptr) {
      commit->waiting_object = answer_object(core, commit->writes, std::move(rest), tl::unexpected<call_error>(call_error{why.code, why.message, of}));
    }
    if (rewrites) {
      path = {};
      (void)path.push(std::move(*own)); // an empty path has room
      *row = what.result ? seal_value(frame_type::result, *what.result) : seal_value(frame_type::reply, *what.answer);
    }
    if (what.open_call != 0)
      commit->closes_call = close_stored_call(*core.store, commit->writes, of, what.open_call);
  }
  core.store->bury(commit->writes, std::move(key), std::move(**row), to_string(why), core.clock->now_ms(), what.history);
  commit->why = why;
  commit->damaged = whose == fault::disk;
  core.store->submit(std::move(commit));
}

} // namespace dormouse
