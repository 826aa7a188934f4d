#pragma once

/// One answer on its way out, cut into pieces.
///
/// A plain answer is a single piece: head and body, gathered into one write. A
/// slow or chunked answer is several, each with its own framing around a stretch
/// of the body. A generated body (`bytes=N`) is never built: its pieces point
/// into a shared block, so a gigabyte costs as little memory as a kilobyte.

#include "upstream/answer_body.hpp"

#include <boost/asio/buffer.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace dormouse::samples {

struct answer_framing {
  bool chunked = false;
  bool truncated = false;        ///< stop halfway and never finish
  std::uint64_t piece_limit = 0; ///< body bytes per piece, 0: all in one
};

class answer_stream {
public:
  answer_stream() = default;
  answer_stream(std::string head, answer_body body, const answer_framing& framing);

  [[nodiscard]] bool piece_done() const noexcept { return written_ == piece_size(); }
  [[nodiscard]] bool on_last_piece() const noexcept { return last_; }
  [[nodiscard]] bool truncated() const noexcept { return framing_.truncated; }
  void next_piece();

  /// Fills `out` with what is left of the piece, as far as it fits; returns how
  /// many buffers were filled and whether they reach the end of the piece.
  struct gathered {
    std::size_t count = 0;
    bool reaches_end = false;
  };
  [[nodiscard]] gathered gather(std::span<boost::asio::const_buffer> out) const;
  void written(std::size_t count) noexcept { written_ += count; }

private:
  void frame_piece();
  [[nodiscard]] std::uint64_t piece_size() const noexcept;
  [[nodiscard]] std::string_view run_at(std::uint64_t offset) const noexcept;

  answer_body body_;
  answer_framing framing_;
  std::string prefix_; ///< the head, or the head of a chunk
  std::string_view suffix_;
  std::uint64_t body_end_ = 0; ///< how far into the body this answer goes
  std::uint64_t piece_begin_ = 0;
  std::uint64_t piece_end_ = 0;
  std::uint64_t written_ = 0; ///< of this piece
  bool last_ = true;
};

} // namespace dormouse::samples
