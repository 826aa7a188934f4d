#include "ascii.hpp"

#include <dormouse/serialization/blob.hpp>

#include <algorithm>

namespace dormouse {
namespace {

std::string normalized_type(std::string_view type) {
  const bool printable = std::all_of(type.begin(), type.end(), [](char c) { return c >= 0x20 && c <= 0x7e; });
  return printable ? ascii_lower(type) : std::string();
}

} // namespace

blob::blob(std::string bytes, std::string_view type) : size_(bytes.size()), type_(normalized_type(type)) {
  if (size_ != 0) whole_ = std::make_shared<const std::string>(std::move(bytes));
}

blob::blob(std::string_view bytes, std::string_view type) : blob(std::string(bytes), type) {}
blob::blob(const char* text, std::string_view type) : blob(std::string(text), type) {}
blob::blob(std::span<const std::byte> bytes, std::string_view type)
    : blob(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()), type) {}

std::string blob::text() const { return whole_ == nullptr ? std::string() : whole_->substr(begin_, size_); }

std::span<const std::byte> blob::bytes() const noexcept {
  return whole_ == nullptr ? std::span<const std::byte>()
                           : std::as_bytes(std::span(*whole_)).subspan(begin_, size_);
}

blob blob::slice(std::int64_t start, std::int64_t end, std::string_view type) const {
  const auto size = static_cast<std::int64_t>(size_);
  const auto within = [size](std::int64_t at) {
    return at < 0 ? std::max<std::int64_t>(at, -size) + size : std::min(at, size);
  };
  const auto from = within(start);
  blob out;
  out.type_ = normalized_type(type);
  out.size_ = static_cast<std::size_t>(std::max<std::int64_t>(within(end) - from, 0));
  if (out.size_ != 0) {
    out.whole_ = whole_;
    out.begin_ = begin_ + static_cast<std::size_t>(from);
  }
  return out;
}

bool operator==(const blob& a, const blob& b) noexcept {
  return a.type_ == b.type_ && std::ranges::equal(a.bytes(), b.bytes());
}

} // namespace dormouse
