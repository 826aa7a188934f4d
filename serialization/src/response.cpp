#include "parameters.hpp"

#include <dormouse/serialization/response.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace dormouse {
namespace {

/// Of several the last one counts (WHATWG Fetch, "extract a MIME type").
std::string content_type_of(const headers& fields) {
  auto types = fields.get_all("Content-Type");
  return types.empty() ? std::string() : std::move(types.back());
}

form_data read_form(std::string_view body, const headers& fields) {
  const auto type = content_type_of(fields);
  const auto essence = essence_of(type);
  if (essence == "multipart/form-data") return value_or_throw(parse_multipart(body, type));
  if (essence == "application/x-www-form-urlencoded") return value_or_throw(parse_urlencoded(body));
  throw failure(
      {errc::invalid_request, fmt::format("the response is no form: its content type is {:?}, neither "
                                          "multipart/form-data nor application/x-www-form-urlencoded",
                                          std::string_view(type).substr(0, 200))});
}

} // namespace

void response::require_body() const {
  if (body_used_) throw failure({errc::invalid_request, "the body was already read"});
}

std::string response::take_body() {
  require_body();
  body_used_ = true;
  return std::exchange(body_, {});
}

const std::string& response::text() const& {
  require_body();
  return body_;
}

std::string response::text() && { return take_body(); }

std::span<const std::byte> response::bytes() const& { return std::as_bytes(std::span(text())); }

std::vector<std::byte> response::bytes() && {
  const auto taken = take_body();
  const auto bytes = std::as_bytes(std::span(taken));
  return {bytes.begin(), bytes.end()};
}

nlohmann::json response::json() const& { return nlohmann::json::parse(text()); }

nlohmann::json response::json() && { return nlohmann::json::parse(take_body()); }

blob response::blob() const& { return dormouse::blob(text(), content_type_of(headers_)); }

blob response::blob() && { return dormouse::blob(take_body(), content_type_of(headers_)); }

form_data response::form_data() const& { return read_form(text(), headers_); }

form_data response::form_data() && { return read_form(take_body(), headers_); }

} // namespace dormouse
