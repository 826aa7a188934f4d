#pragma once

/// What handles talk to: it outlives the runtime, and answers `stopped` then.

#include "host/runtime_core.hpp"

#include <dormouse/actors/object_host.hpp>
#include <dormouse/actors/router.hpp>

#include <memory>
#include <shared_mutex>

namespace dormouse {

class front_desk final : public router {
public:
  explicit front_desk(std::shared_ptr<runtime_core> core) : core_(std::move(core)) {}

  void call(const address& to, const method_descriptor& method, std::string arguments,
            std::unique_ptr<reply_sink> sink) override;
  void call_once(const address& to, const method_descriptor& method, std::string arguments, std::string key,
                 std::unique_ptr<reply_sink> sink) override;
  void post(const address& to, const method_descriptor& method, std::string arguments,
            std::unique_ptr<reply_sink> sink) override;

  void handler_threw(const error& what) noexcept override {
    core_->note_thrown(core_->counts.thrown_by_handlers, what);
  }

  /// For callers that send to the activation themselves.
  /// Error: besides, `invalid_binding` for a method of another class than the one that is defined.
  expected<caf::actor> pin(const address& to, const method_descriptor& method);

  /// A fetch from outside any turn: durable on return.
  expected<std::size_t> enqueue(fetch_message&& fetch);

  /// An abort from outside any turn: durable on return.
  expected<void> abort(const abort_id& id, std::string reason);

  /// Uses the store from outside any turn. Throws `failure{stopped}`.
  template <class Use> auto with_store(Use use) {
    std::shared_lock guard(open_mutex_);
    if (!open_) throw failure({errc::stopped, "the runtime has stopped"});
    return use(*core_);
  }

  /// No use of the store from here on; waits for those under way.
  void close();

  present_address present(address where) const { return core_->present(std::move(where)); }

private:
  /// `key` empty: none.
  void hand_over(const address& to, const method_descriptor& method, std::string arguments, std::string key,
                 std::unique_ptr<reply_sink> sink);

  std::shared_ptr<runtime_core> core_;
  std::shared_mutex open_mutex_;
  bool open_ = true;
};

/// The runtime's queue as seen from outside.
class outside_queue final : public fetch_queue {
public:
  outside_queue(front_desk& desk, const runtime_core& core) : desk_(desk), core_(core) {}

  expected<std::size_t> enqueue(fetch_message&& fetch) override { return desk_.enqueue(std::move(fetch)); }
  expected<void> abort(const abort_id& id, std::string reason) override {
    return desk_.abort(id, std::move(reason));
  }
  std::chrono::milliseconds default_timeout() const override { return core_.settings.default_timeout; }
  std::chrono::system_clock::time_point now() const override { return core_.clock->now(); }

private:
  front_desk& desk_;
  const runtime_core& core_;
};

} // namespace dormouse
