#pragma once

/// A gate that code under test passes through and a test opens and closes.

#include <condition_variable>
#include <cstddef>
#include <mutex>

namespace dormouse::test {

class gate {
public:
  /// Opens its gate at the end, so that a failing test does not leave somebody behind it.
  class closing {
  public:
    explicit closing(gate& which) : gate_(which) { gate_.close(); }
    closing(const closing&) = delete;
    closing& operator=(const closing&) = delete;
    ~closing() { gate_.open(); }

  private:
    gate& gate_;
  };

  gate() = default;
  gate(const gate&) = delete;
  gate& operator=(const gate&) = delete;
  /// Waits for those that have been let through and still stand in `pass`.
  ~gate() {
    std::unique_lock lock(mutex_);
    closed_ = false;
    opened_.notify_all();
    left_.wait(lock, [this] { return waiting_ == 0; });
  }

  void close() {
    std::lock_guard guard(mutex_);
    closed_ = true;
  }

  void open() {
    std::lock_guard guard(mutex_);
    closed_ = false;
    opened_.notify_all();
  }

  /// Blocks while it is closed.
  void pass() {
    std::unique_lock lock(mutex_);
    ++waiting_;
    opened_.wait(lock, [this] { return !closed_; });
    --waiting_;
    left_.notify_all();
  }

  std::size_t waiting() const {
    std::lock_guard guard(mutex_);
    return waiting_;
  }

private:
  mutable std::mutex mutex_;
  std::condition_variable opened_;
  std::condition_variable left_;
  bool closed_ = false;
  std::size_t waiting_ = 0;
};

} // namespace dormouse::test
