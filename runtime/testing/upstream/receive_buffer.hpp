#pragma once

/// Received bytes that wait to be parsed, in as little memory as they need.
///
/// With 20,000 connections the buffer decides what a connection costs, so it
/// starts at 1 KiB (most requests fit), doubles up to its limit only while a peer
/// keeps filling it, and gives its memory back when a connection goes to wait.

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>
#include <utility>

namespace dormouse::samples {

class receive_buffer {
public:
  explicit receive_buffer(std::size_t limit) : limit_{limit} {}

  [[nodiscard]] std::string_view bytes() const noexcept { return {storage_.get() + begin_, end_ - begin_}; }
  [[nodiscard]] bool empty() const noexcept { return begin_ == end_; }
  [[nodiscard]] bool at_limit() const noexcept { return end_ - begin_ >= limit_; }

  /// Room for the next read: never empty unless the buffer is at its limit.
  /// The room stays valid until the next call that is not `bytes()`.
  [[nodiscard]] std::span<char> prepare() {
    if (empty()) {
      begin_ = end_ = 0;
    }
    if (end_ == capacity_ && begin_ > 0) {
      std::memmove(storage_.get(), storage_.get() + begin_, end_ - begin_);
      end_ -= begin_;
      begin_ = 0;
    }
    if (end_ == capacity_ || filled_last_) {
      grow();
    }
    return {storage_.get() + end_, capacity_ - end_};
  }

  void commit(std::size_t count) noexcept {
    end_ += count;
    filled_last_ = end_ == capacity_;
  }

  void consume(std::size_t count) noexcept { begin_ += count; }

  void release_if_empty() noexcept {
    if (empty()) {
      *this = receive_buffer{limit_};
    }
  }

  /// A buffer that grew for one large request is not kept for small ones.
  void release_if_large() noexcept {
    if (capacity_ > first_capacity) {
      release_if_empty();
    }
  }

private:
  static constexpr std::size_t first_capacity = 1024;

  void grow() {
    const auto larger = std::min(limit_, std::max(first_capacity, capacity_ * 2));
    if (larger <= capacity_) {
      return;
    }
    // Left uninitialized: every byte that is read was received first.
    std::unique_ptr<char[]> fresh{new char[larger]};
    if (!empty()) {
      std::memcpy(fresh.get(), storage_.get() + begin_, end_ - begin_);
    }
    end_ -= begin_;
    begin_ = 0;
    storage_ = std::move(fresh);
    capacity_ = larger;
  }

  std::size_t limit_;
  std::size_t capacity_ = 0;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  bool filled_last_ = false; ///< the peer may have much more to say
  std::unique_ptr<char[]> storage_;
};

} // namespace dormouse::samples
