#pragma once

/// Undoes the content codings of a response's body (RFC 9110 section 8.4) in slices. A server wrote these
/// bytes, and a few of them may unfold into very many (R21): no call does more than a slice of work, so that
/// whoever calls can look after others between two.

#include <dormouse/serialization/error.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace dormouse {

class content_decoder {
public:
  /// What a request says it accepts.
  static constexpr std::string_view accepted = "deflate, gzip, br, zstd";

  /// For the values of Content-Encoding, one list. Null if there is nothing to undo, and if a coding is not
  /// known or there are more than five: Fetch then hands out the bytes as they are. No stage of it, nor what
  /// goes in, may have more than `max_bytes`.
  static std::unique_ptr<content_decoder> make(std::string_view codings, std::size_t max_bytes);

  content_decoder(const content_decoder&) = delete;
  content_decoder& operator=(const content_decoder&) = delete;
  ~content_decoder();

  /// More of the body as it was sent, when there is no more to do with what came before.
  void feed(std::string_view bytes);

  /// Whether `next` has more to do before the next `feed`.
  bool has_more() const noexcept { return has_more_; }

  /// One slice of the decoded body; it may be empty, and is good until the next call. Errors: `too_large`;
  /// `corrupt` if it is not in its coding.
  expected<std::string_view> next();

  /// Whether all that began has ended, once there is no more to come. Of a body without any bytes, it has.
  bool is_whole() const noexcept;

private:
  struct stage;

  explicit content_decoder(std::size_t max_bytes);
  expected<bool> fill(std::size_t at);

  const std::size_t max_bytes_;
  std::vector<std::unique_ptr<stage>> stages_; ///< as they are undone
  std::string sent_;                           ///< what the first one has yet to look at
  std::size_t looked_at_ = 0;                  ///< of it
  std::size_t sent_bytes_ = 0;
  std::size_t left_ = 0; ///< of this slice: bytes that any stage may yet make
  bool has_more_ = false;
};

} // namespace dormouse
