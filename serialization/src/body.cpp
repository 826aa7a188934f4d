#include <dormouse/serialization/body.hpp>

#include <fmt/format.h>

namespace dormouse {
namespace {

void append_encoded(std::string& out, std::string_view text) {
  for (char c : text) {
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '*' || c == '-' || c == '.' || c == '_')
      out += c;
    else if (c == ' ')
      out += '+';
    else
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
}

} // namespace

std::string form::encoded() const {
  std::string out;
  for (const auto& [name, value] : fields) {
    if (!out.empty())
      out += '&';
    append_encoded(out, name);
    out += '=';
    append_encoded(out, value);
  }
  return out;
}

body::body(std::string text) : bytes_(std::move(text)), content_type_("text/plain;charset=UTF-8"), present_(true) {}
body::body(std::string_view text) : body(std::string(text)) {}
body::body(const char* text) : body(std::string(text)) {}
body::body(const form& pairs)
  : bytes_(pairs.encoded()), content_type_("application/x-www-form-urlencoded;charset=UTF-8"), present_(true) {}
body::body(std::span<const std::byte> bytes)
  : bytes_(reinterpret_cast<const char*>(bytes.data()), bytes.size()), present_(true) {}
body::body(const std::vector<std::byte>& bytes) : body(std::span<const std::byte>(bytes)) {}

} // namespace dormouse
