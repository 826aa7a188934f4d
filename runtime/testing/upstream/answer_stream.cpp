#include "upstream/answer_stream.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

namespace dormouse::samples {

namespace {

constexpr std::string_view chunk_end = "\r\n";
constexpr std::string_view last_chunk = "0\r\n\r\n";
constexpr std::string_view chunk_end_and_last = "\r\n0\r\n\r\n";

void append_chunk_head(std::string& out, std::uint64_t size) {
  std::array<char, 16> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), size, 16).ptr;
  out.append(digits.data(), end);
  out += "\r\n";
}

} // namespace

answer_stream::answer_stream(std::string head, answer_body body, const answer_framing& framing)
    : body_{std::move(body)},
      framing_{framing},
      prefix_{std::move(head)},
      body_end_{framing.truncated ? body_.size / 2 : body_.size} {
  frame_piece();
}

void answer_stream::next_piece() {
  prefix_.clear();
  piece_begin_ = piece_end_;
  written_ = 0;
  frame_piece();
}

void answer_stream::frame_piece() {
  const auto left = body_end_ - piece_begin_;
  const auto size = framing_.piece_limit == 0 ? left : std::min(left, framing_.piece_limit);
  piece_end_ = piece_begin_ + size;
  last_ = piece_end_ == body_end_;
  suffix_ = {};
  if (!framing_.chunked) {
    return;
  }
  if (size > 0) {
    append_chunk_head(prefix_, size);
    suffix_ = last_ ? chunk_end_and_last : chunk_end;
  } else {
    suffix_ = last_chunk; // a chunk of size 0 is the end, so there is no other
  }
}

std::uint64_t answer_stream::piece_size() const noexcept {
  return prefix_.size() + (piece_end_ - piece_begin_) + suffix_.size();
}

std::string_view answer_stream::run_at(std::uint64_t offset) const noexcept {
  const auto run = body_.run_at(offset);
  return run.substr(0, std::min<std::uint64_t>(run.size(), piece_end_ - offset));
}

answer_stream::gathered answer_stream::gather(std::span<boost::asio::const_buffer> out) const {
  gathered result;
  std::uint64_t skip = written_;
  const auto add = [&](std::string_view bytes) {
    const auto skipped = std::min<std::uint64_t>(skip, bytes.size());
    skip -= skipped;
    bytes.remove_prefix(skipped);
    if (bytes.empty()) {
      return true;
    }
    if (result.count == out.size()) {
      return false;
    }
    out[result.count] = boost::asio::const_buffer{bytes.data(), bytes.size()};
    ++result.count;
    return true;
  };

  bool fits = add(prefix_);
  // Straight to the first unwritten byte: a long body is not walked from its
  // start for every write.
  auto offset = piece_begin_ + std::min(skip, piece_end_ - piece_begin_);
  skip -= offset - piece_begin_;
  while (fits && offset < piece_end_) {
    const auto run = run_at(offset);
    fits = add(run);
    offset += run.size();
  }
  result.reaches_end = fits && add(suffix_);
  return result;
}

} // namespace dormouse::samples
