#pragma once

/// Bytes that never change, with a media type: WHATWG `Blob`, and `File`, which has a name besides.
///
/// Copies and slices share the bytes, so they cost nothing, and a small slice keeps the whole alive. May be
/// read by many threads at once.

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace dormouse {

class blob {
public:
  blob() = default; ///< no bytes, no type

  /// The type is lower-cased; it is empty if it has anything but the characters U+0020 to U+007E (File API,
  /// Blob constructor). Nothing else is checked.
  explicit blob(std::string bytes, std::string_view type = {});
  explicit blob(std::string_view bytes, std::string_view type = {});
  explicit blob(const char* text, std::string_view type = {});
  explicit blob(std::span<const std::byte> bytes, std::string_view type = {});

  std::size_t size() const noexcept { return size_; } ///< in bytes
  const std::string& type() const noexcept { return type_; }

  /// A copy of the bytes, as they are: nothing is decoded.
  std::string text() const;

  /// Valid as long as any blob that shares them.
  std::span<const std::byte> bytes() const noexcept;

  /// The bytes from `start` up to and without `end`, counted from the end if negative and kept within the
  /// blob (File API, `slice`). The type is the one given here, not that of the whole.
  blob slice(std::int64_t start = 0, std::int64_t end = std::numeric_limits<std::int64_t>::max(),
             std::string_view type = {}) const;

  /// The same bytes and the same type.
  friend bool operator==(const blob& a, const blob& b) noexcept;

private:
  std::shared_ptr<const std::string> whole_; ///< null if there are none
  std::size_t begin_ = 0;
  std::size_t size_ = 0;
  std::string type_;
};

/// A blob with a file name: what a form carries. Any name will do, but a form escapes CR, LF and '"' in it.
class file : public blob {
public:
  file() = default;
  file(blob content, std::string name) : blob(std::move(content)), name_(std::move(name)) {}

  const std::string& name() const noexcept { return name_; }

  friend bool operator==(const file& a, const file& b) noexcept {
    return static_cast<const blob&>(a) == b && a.name_ == b.name_;
  }

private:
  std::string name_;
};

} // namespace dormouse
