#pragma once

/// What a request carries: bytes, and the content type that goes with them unless the caller names another
/// (WHATWG Fetch, "extract a body").
///
/// A `body` is made of what one has: text, bytes, a `blob`, a `form`, a `form_data`, a `nlohmann::json`. It
/// is bytes from then on, exactly as they go out, and a value: copied and sent any number of times.

#include <dormouse/serialization/blob.hpp>
#include <dormouse/serialization/form.hpp>
#include <dormouse/serialization/form_data.hpp>

#include <nlohmann/json_fwd.hpp>

#include <concepts>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dormouse {

class body {
public:
  body() = default;
  body(std::string text);                    ///< `text/plain;charset=UTF-8`
  body(std::string_view text);               ///< `text/plain;charset=UTF-8`
  body(const char* text);                    ///< `text/plain;charset=UTF-8`
  body(const form& pairs);                   ///< `application/x-www-form-urlencoded;charset=UTF-8`
  body(const form_data& entries);            ///< `multipart/form-data; boundary=...`
  body(const blob& content);                 ///< the blob's type; no content type if it has none
  body(std::span<const std::byte> bytes);    ///< no content type
  body(const std::vector<std::byte>& bytes); ///< no content type

  /// As `json(value)`. Takes a `nlohmann::json` itself and nothing that merely converts to one: write
  /// `nlohmann::json{{"n", 1}}`.
  template <std::same_as<nlohmann::json> Json> body(const Json& value) : body(json(value)) {}

  /// The document without white space, `application/json`. Throws `failure{invalid_request}` if a text in it
  /// is not UTF-8 (RFC 8259 section 8.1).
  static body json(const nlohmann::json& value);

  const std::string& bytes() const& noexcept { return bytes_; }
  std::string bytes() && noexcept { return std::move(bytes_); }
  const std::string& content_type() const noexcept { return content_type_; }
  bool present() const noexcept { return present_; } ///< an empty text is a body; no body is none

  friend bool operator==(const body&, const body&) = default;

private:
  body(std::string bytes, std::string content_type)
      : bytes_(std::move(bytes)), content_type_(std::move(content_type)), present_(true) {}

  std::string bytes_;
  std::string content_type_;
  bool present_ = false;
};

} // namespace dormouse
