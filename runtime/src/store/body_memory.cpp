#include "store/body_memory.hpp"

#include <dormouse/serialization/crc32c.hpp>

#include <vector>

namespace dormouse {

held_body::held_body(held_body&& other) noexcept
    : bytes_(std::move(other.bytes_)),
      summed_(std::exchange(other.summed_, 0)),
      crc_(std::exchange(other.crc_, 0)),
      home_(std::move(other.home_)),
      room_(std::exchange(other.room_, 0)) {
  other.bytes_.clear();
}

held_body& held_body::operator=(held_body&& other) noexcept {
  if (this != &other) {
    let_go();
    bytes_ = std::move(other.bytes_);
    summed_ = std::exchange(other.summed_, 0);
    crc_ = std::exchange(other.crc_, 0);
    home_ = std::move(other.home_);
    room_ = std::exchange(other.room_, 0);
    other.bytes_.clear();
  }
  return *this;
}

bool held_body::grow(std::size_t bytes_in_all) {
  if (bytes_in_all <= room_) return true;
  if (!home_ || !home_->claim(bytes_in_all - room_)) return false;
  room_ = bytes_in_all;
  bytes_.reserve(bytes_in_all);
  return true;
}

void held_body::append(std::string_view more) {
  bytes_.append(more);
  if (room_ != 0) (void)crc();
}

std::uint32_t held_body::crc() noexcept {
  crc_ = crc32c(std::string_view(bytes_).substr(summed_), crc_);
  summed_ = bytes_.size();
  return crc_;
}

void held_body::let_go() noexcept {
  if (room_ != 0) {
    bytes_ = std::string();
    home_->give_back(std::exchange(room_, 0));
  }
  bytes_.clear();
  summed_ = 0;
  crc_ = 0;
}

std::string held_body::take() noexcept {
  auto taken = std::move(bytes_);
  let_go();
  return taken;
}

void body_memory::keep(std::uint64_t number, held_body body) {
  std::lock_guard guard(mutex_);
  auto [at, is_new] = kept_.try_emplace(number);
  if (!is_new) return;
  at->second = {std::move(body.bytes_), std::exchange(body.room_, 0)};
  kept_bytes_ += at->second.room;
}

std::optional<std::string> body_memory::take(std::uint64_t number) {
  std::lock_guard guard(mutex_);
  auto found = kept_.extract(number);
  if (found.empty()) return std::nullopt;
  kept_bytes_ -= found.mapped().room;
  used_ -= found.mapped().room;
  return std::move(found.mapped().bytes);
}

bool body_memory::claim(std::size_t bytes) {
  std::vector<bodies::node_type> gone; // freed when the lock is
  std::lock_guard guard(mutex_);
  if (bytes > most_ || used_ - kept_bytes_ > most_ - bytes) return false;
  while (used_ > most_ - bytes) {
    gone.push_back(kept_.extract(kept_.begin()));
    kept_bytes_ -= gone.back().mapped().room;
    used_ -= gone.back().mapped().room;
  }
  used_ += bytes;
  return true;
}

void body_memory::give_back(std::size_t bytes) noexcept {
  std::lock_guard guard(mutex_);
  used_ -= bytes;
}

std::size_t body_memory::used() const {
  std::lock_guard guard(mutex_);
  return used_;
}

} // namespace dormouse
