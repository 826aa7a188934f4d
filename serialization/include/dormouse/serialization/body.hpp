#pragma once

/// What a request carries: bytes, and the content type that goes with them unless the caller names another (WHATWG Fetch).

#include <cstddef>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dormouse {

/// `application/x-www-form-urlencoded` pairs, in order.
struct form {
  std::vector<std::pair<std::string, std::string>> fields;

  form(std::initializer_list<std::pair<std::string, std::string>> pairs) : fields(pairs) {}

  /// The WHATWG URL serializer: space becomes '+', everything but `[A-Za-z0-9*-._]` is percent-encoded.
  std::string encoded() const;
};

class body {
public:
  body() = default;
  body(std::string text);            ///< `text/plain;charset=UTF-8`
  body(std::string_view text);       ///< `text/plain;charset=UTF-8`
  body(const char* text);            ///< `text/plain;charset=UTF-8`
  body(const form& pairs);           ///< `application/x-www-form-urlencoded;charset=UTF-8`
  body(std::span<const std::byte> bytes); ///< no content type
  body(const std::vector<std::byte>& bytes); ///< no content type

  const std::string& bytes() const& noexcept { return bytes_; }
  std::string bytes() && noexcept { return std::move(bytes_); }
  const std::string& content_type() const noexcept { return content_type_; }
  bool present() const noexcept { return present_; } ///< an empty text is a body; no body is none

private:
  std::string bytes_;
  std::string content_type_;
  bool present_ = false;
};

} // namespace dormouse
