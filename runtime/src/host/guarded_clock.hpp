#pragma once

/// The program's own clock, which must not throw but may: then it stands still, and somebody is told.

#include <dormouse/actors/user_code.hpp>
#include <dormouse/runtime/clock.hpp>

#include <atomic>
#include <functional>
#include <memory>
#include <utility>

namespace dormouse {

class guarded_clock final : public wall_clock {
public:
  guarded_clock(std::shared_ptr<const wall_clock> inner, std::function<void(const error&)> threw)
      : inner_(std::move(inner)), threw_(std::move(threw)) {}

  std::chrono::system_clock::time_point now() const override {
    using point = std::chrono::system_clock::time_point;
    point now;
    if (auto failed = run_user_code({.name = "wall_clock::now"}, [&] { now = inner_->now(); })) {
      threw_(*failed);
      return last_.load(std::memory_order_relaxed);
    }
    last_.store(now, std::memory_order_relaxed);
    return now;
  }

private:
  std::shared_ptr<const wall_clock> inner_;
  std::function<void(const error&)> threw_;
  mutable std::atomic<std::chrono::system_clock::time_point> last_{std::chrono::system_clock::now()};
};

} // namespace dormouse
