#pragma once

/// Proxy workers that misbehave.

#include "gate.hpp"
#include "ports/ports.hpp"

#include <atomic>
#include <functional>
#include <memory>
#include <stdexcept>
#include <utility>

namespace dormouse::test {

using wrap_transport = decltype(ports::wrap_transport);

/// What the transports of a runtime share with the test; outlives a worker's thread that was left behind.
struct transport_script {
  gate starts;                     ///< the transports of the first workers hang here
  std::atomic<int> misbehaving{1}; ///< how many workers are still to misbehave, in the order they are made
  std::atomic<int> misbehaved{0};  ///< transfers that met a transport that misbehaves
  std::atomic<int> gone{0};        ///< misbehaving transports that were destroyed
  std::atomic<int> answered_twice{0};
};

namespace detail {

class hanging_transport final : public http_transport {
public:
  hanging_transport(std::shared_ptr<transport_script> script, std::unique_ptr<http_transport> inner)
      : script_(std::move(script)), inner_(std::move(inner)) {}
  ~hanging_transport() override {
    inner_.reset();
    ++script_->gone;
  }

  void start(transfer next, completion done) override {
    ++script_->misbehaved;
    script_->starts.pass();
    inner_->start(std::move(next), std::move(done));
  }
  void cancel(std::uint64_t token) override { inner_->cancel(token); }

private:
  std::shared_ptr<transport_script> script_;
  std::unique_ptr<http_transport> inner_;
};

class throwing_transport final : public http_transport {
public:
  throwing_transport(std::shared_ptr<transport_script> script, std::unique_ptr<http_transport> inner)
      : script_(std::move(script)), inner_(std::move(inner)) {}
  ~throwing_transport() override {
    inner_.reset();
    ++script_->gone;
  }

  /// The second transfer ends the worker while the first is on its way.
  void start(transfer next, completion done) override {
    if (++script_->misbehaved > 1) throw std::runtime_error("the transport broke");
    inner_->start(std::move(next), std::move(done));
  }
  void cancel(std::uint64_t token) override { inner_->cancel(token); }

private:
  std::shared_ptr<transport_script> script_;
  std::unique_ptr<http_transport> inner_;
};

class stuttering_transport final : public http_transport {
public:
  stuttering_transport(std::shared_ptr<transport_script> script, std::unique_ptr<http_transport> inner)
      : script_(std::move(script)), inner_(std::move(inner)) {}

  void start(transfer next, completion done) override {
    inner_->start(std::move(next), [script = script_, done = std::move(done)](transfer_outcome&& outcome) {
      auto stranger = outcome;
      stranger.token += 1'000'000; // an attempt that never was
      auto duplicate = outcome;
      done(std::move(stranger));
      done(std::move(outcome));
      done(std::move(duplicate));
      ++script->answered_twice;
    });
  }
  void cancel(std::uint64_t token) override { inner_->cancel(token); }

private:
  std::shared_ptr<transport_script> script_;
  std::unique_ptr<http_transport> inner_;
};

template <class Transport> wrap_transport first_workers(std::shared_ptr<transport_script> script) {
  return [script = std::move(script)](
             std::size_t, std::unique_ptr<http_transport> inner) -> std::unique_ptr<http_transport> {
    if (script->misbehaving > 0 && script->misbehaving-- > 0)
      return std::make_unique<Transport>(script, std::move(inner));
    return inner;
  };
}

} // namespace detail

/// The thread of the first workers hangs as soon as it is given something, until `starts` opens.
inline wrap_transport hangs(std::shared_ptr<transport_script> script) {
  return detail::first_workers<detail::hanging_transport>(std::move(script));
}

/// The first workers die of an exception when they are given the second thing.
inline wrap_transport throws(std::shared_ptr<transport_script> script) {
  return detail::first_workers<detail::throwing_transport>(std::move(script));
}

/// Every outcome is told twice, and one of an attempt that nobody made.
inline wrap_transport stutters(std::shared_ptr<transport_script> script) {
  return [script = std::move(script)](
             std::size_t, std::unique_ptr<http_transport> inner) -> std::unique_ptr<http_transport> {
    return std::make_unique<detail::stuttering_transport>(script, std::move(inner));
  };
}

} // namespace dormouse::test
