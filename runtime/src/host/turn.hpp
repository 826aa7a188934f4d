#pragma once

/// One turn of one object: what a handler did, collected until the turn commits or is thrown away. It knows nothing of how effects
/// become bytes. It checks each fetch as the handler makes it, so that a limit is an error at the call, before anything is committed (R12, R13).

#include "host/runtime_core.hpp"

#include <dormouse/actors/object_host.hpp>

#include <vector>

namespace dormouse {

/// A checked fetch with its id and its place in the queue counted. Errors: `blocked`, `too_large`, `queue_full`, `stopped`.
expected<void> admit_fetch(runtime_core& core, fetch_message& fetch);

class turn final : public turn_host {
public:
  turn(runtime_core& core, const address& self) : core_(core), self_(self) {}
  turn(const turn&) = delete;
  turn& operator=(const turn&) = delete;

  /// Undone unless its fetches were taken.
  ~turn() override { undo(); }

  /// Gives the fetches' places in the queue back. To be done before anybody hears that the turn failed.
  void undo() noexcept;

  expected<std::size_t> enqueue(fetch_message&& fetch) override;
  std::chrono::milliseconds default_timeout() const override { return core_.settings.default_timeout; }
  std::chrono::system_clock::time_point now() const override { return core_.clock->now(); }
  const address& self() const override { return self_; }
  void hibernate() override { hibernate_ = true; }

  bool wants_hibernation() const noexcept { return hibernate_; }
  std::vector<fetch_message>& fetches() noexcept { return fetches_; }
  std::vector<fetch_message> take_fetches() noexcept { return std::exchange(fetches_, {}); }

private:
  runtime_core& core_;
  const address& self_;
  std::vector<fetch_message> fetches_;
  bool hibernate_ = false;
};

} // namespace dormouse
