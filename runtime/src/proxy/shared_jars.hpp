#pragma once

/// The cookie jars that go along with the attempts under way: attempts whose jars have the same bytes share
/// one copy. It lives as long as one of them.
///
/// Belongs to one thread; what it hands out is let go on others.

#include "ports/http_transport.hpp"

#include <dormouse/serialization/crc32c.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>

namespace dormouse {

class shared_jars {
public:
  std::shared_ptr<const stored_jar> share(std::string bytes) {
    if (known_.size() >= clean_at_) {
      std::erase_if(known_, [](const auto& each) { return each.second.expired(); });
      clean_at_ = 2 * known_.size() + least_known;
    }
    auto& known = known_[crc32c(bytes)];
    if (auto jar = known.lock(); jar && jar->bytes == bytes) return jar;
    auto jar = std::make_shared<const stored_jar>(stored_jar{std::move(bytes)});
    known = jar;
    return jar;
  }

  std::size_t size() const noexcept { return known_.size(); }

private:
  static constexpr std::size_t least_known = 64;

  std::unordered_map<std::uint32_t, std::weak_ptr<const stored_jar>> known_; ///< by checksum
  std::size_t clean_at_ = least_known;
};

} // namespace dormouse
