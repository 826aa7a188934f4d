#include "host/sweeper.hpp"

#include "host/runtime_core.hpp"

#include <caf/event_based_actor.hpp>
#include <caf/send.hpp>

#include <algorithm>

namespace dormouse {
namespace {

using std::chrono::milliseconds;

class sweeper final : public caf::event_based_actor {
public:
  sweeper(caf::actor_config& config, runtime_core& core)
      : event_based_actor(config),
        core_(core),
        interval_(std::clamp(core.settings.idle_after / 4, milliseconds(5), milliseconds(250))) {}

  caf::behavior make_behavior() override {
    delayed_send(this, interval_, sweep_tick{});
    return {[this](sweep_tick) {
      const auto& settings = core_.settings;
      for (const auto& idle : core_.directory.idle_ones(
               std::chrono::steady_clock::now() - settings.idle_after, settings.max_active_objects,
               settings.max_active_bytes, core_.store->committer().bytes()))
        caf::anon_send(idle, retire_if_idle{});
      delayed_send(this, interval_, sweep_tick{});
    }};
  }

private:
  runtime_core& core_;
  const milliseconds interval_;
};

} // namespace

caf::actor spawn_sweeper(runtime_core& core) { return core.system.spawn<sweeper, caf::hidden>(core); }

} // namespace dormouse
