#include "schedule/schedule_signals.hpp"

#include "host/actor_messages.hpp"

#include <caf/send.hpp>

#include <utility>

namespace dormouse {

void schedule_signals::attach(caf::actor scheduler) {
  std::unique_lock lock(mutex_);
  scheduler_ = std::move(scheduler);
  rang_ = false;
  ring(std::move(lock));
}

void schedule_signals::close() {
  std::lock_guard guard(mutex_);
  scheduler_ = nullptr;
}

void schedule_signals::written(const keys::due_parts& row) {
  std::unique_lock lock(mutex_);
  if (!told_.earliest || row < *told_.earliest) told_.earliest = row;
  ring(std::move(lock));
}

void schedule_signals::aside(const keys::due_parts& row) {
  std::unique_lock lock(mutex_);
  told_.aside.push_back(row);
  ring(std::move(lock));
}

void schedule_signals::over(const keys::due_parts& row) {
  std::unique_lock lock(mutex_);
  told_.over.push_back(row);
  ring(std::move(lock));
}

void schedule_signals::defined(const class_descriptor& type) {
  std::unique_lock lock(mutex_);
  told_.defined.emplace_back(type.binding);
  for (auto old : type.old_bindings)
    told_.defined.emplace_back(old);
  ring(std::move(lock));
}

schedule_signals::told schedule_signals::take() {
  std::lock_guard guard(mutex_);
  rang_ = false;
  return std::exchange(told_, {});
}

void schedule_signals::ring(std::unique_lock<std::mutex> lock) {
  if (std::exchange(rang_, true) || !scheduler_) return;
  const auto to = scheduler_; // it may end meanwhile
  lock.unlock();
  caf::anon_send(to, scheduler_look{});
}

} // namespace dormouse
