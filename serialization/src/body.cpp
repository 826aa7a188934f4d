#include <dormouse/serialization/body.hpp>
#include <dormouse/serialization/error.hpp>

#include <nlohmann/json.hpp>

namespace dormouse {
namespace {

constexpr std::string_view text_type = "text/plain;charset=UTF-8";

} // namespace

body::body(std::string text) : body(std::move(text), std::string(text_type)) {}
body::body(std::string_view text) : body(std::string(text)) {}
body::body(const char* text) : body(std::string(text)) {}
body::body(const form& pairs) : body(pairs.encoded(), "application/x-www-form-urlencoded;charset=UTF-8") {}
body::body(const form_data& entries) {
  auto encoded = encode_multipart(entries);
  *this = body(std::move(encoded.bytes), std::move(encoded.content_type));
}
body::body(const blob& content) : body(content.text(), content.type()) {}
body::body(std::span<const std::byte> bytes)
    : body(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()), std::string()) {}
body::body(const std::vector<std::byte>& bytes) : body(std::span<const std::byte>(bytes)) {}

body body::json(const nlohmann::json& value) {
  try {
    return body(value.dump(), "application/json");
  } catch (const nlohmann::json::type_error& e) {
    throw failure({errc::invalid_request, std::string("the JSON document cannot be a body: ") + e.what()});
  }
}

} // namespace dormouse
