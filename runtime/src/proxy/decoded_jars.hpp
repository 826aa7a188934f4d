#pragma once

/// The cookie jars that a worker has read last, decoded. A jar is read for each attempt and seldom changes,
/// and to decode 200 cookies takes as long as all else that a fetch costs. They are found by all of their
/// bytes, so what is found is what decoding them would give, whoever's they are.
///
/// Belongs to one worker's thread.

#include <dormouse/serialization/codec.hpp>
#include <dormouse/serialization/cookie_jar.hpp>
#include <dormouse/serialization/crc32c.hpp>

#include <cstddef>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace dormouse {

class decoded_jars {
public:
  /// Of the jars as they are stored; those used last are kept.
  explicit decoded_jars(std::size_t most_bytes) : most_bytes_(most_bytes) {}

  /// Empty bytes are an empty jar. Errors: those of decoding.
  expected<std::shared_ptr<const cookie_jar>> read(const std::string& bytes) {
    if (auto found = by_bytes_.find(bytes); found != by_bytes_.end()) {
      last_used_.splice(last_used_.begin(), last_used_, found->second);
      return found->second->jar;
    }
    auto decoded = bytes.empty() ? expected<cookie_jar>() : decode<cookie_jar>(bytes);
    if (!decoded) return unexpected<error>(decoded.error());
    auto jar = std::make_shared<const cookie_jar>(std::move(*decoded));
    if (bytes.size() > most_bytes_) return jar;
    bytes_ += bytes.size();
    last_used_.push_front({bytes, jar});
    by_bytes_.emplace(last_used_.front().bytes, last_used_.begin());
    for (; bytes_ > most_bytes_; last_used_.pop_back()) {
      bytes_ -= last_used_.back().bytes.size();
      by_bytes_.erase(last_used_.back().bytes);
    }
    return jar;
  }

  std::size_t bytes() const noexcept { return bytes_; }

private:
  struct entry {
    std::string bytes;
    std::shared_ptr<const cookie_jar> jar;
  };
  struct checksum {
    std::size_t operator()(std::string_view bytes) const noexcept { return crc32c(bytes); }
  };

  const std::size_t most_bytes_;
  std::size_t bytes_ = 0;
  std::list<entry> last_used_; ///< the last one first
  std::unordered_map<std::string_view, std::list<entry>::iterator, checksum> by_bytes_;
};

} // namespace dormouse
