#pragma once

/// Tokens that were handed out, with what each stands for.
///
/// A token is 128 random bits in hexadecimal, so that one of an earlier process is
/// never taken for one of this. When too many are out the oldest is forgotten, as if
/// it had expired. All on the server's thread.

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <random>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace dormouse::samples {

[[nodiscard]] inline std::string random_token() {
  std::random_device random;
  std::array<char, 33> digits{};
  static_cast<void>(std::snprintf(digits.data(), digits.size(), "%08x%08x%08x%08x", random(), random(),
                                  random(), random()));
  return digits.data();
}

template <class Record> class token_book {
public:
  [[nodiscard]] std::string issue(Record record) {
    if (order_.size() == most_tokens) {
      records_.erase(order_.front());
      order_.pop_front();
    }
    auto token = random_token();
    records_.emplace(token, std::move(record));
    order_.push_back(token);
    return token;
  }

  /// Null for a token that was never issued, or is forgotten.
  [[nodiscard]] Record* find(std::string_view token) {
    const auto found = records_.find(std::string{token});
    return found == records_.end() ? nullptr : &found->second;
  }

  void forget(std::string_view token) { records_.erase(std::string{token}); }

private:
  static constexpr std::size_t most_tokens = 100'000;

  std::unordered_map<std::string, Record> records_;
  std::deque<std::string> order_; ///< forgotten ones too, until they are the oldest
};

} // namespace dormouse::samples
