#include "upstream/upload_report.hpp"

#include "upstream/compression.hpp"
#include "upstream/json_text.hpp"
#include "upstream/multipart.hpp"

#include <string>
#include <utility>

namespace dormouse::samples {

namespace {

void append_sum(std::string& out, std::string_view bytes) {
  out += "\"bytes\":" + std::to_string(bytes.size()) + ",\"crc32\":\"" + crc32_of(bytes) + '"';
}

void append_part(std::string& out, const form_part& part) {
  out += "{\"name\":";
  append_json_string(out, part.name);
  if (part.filename) {
    out += ",\"filename\":";
    append_json_string(out, *part.filename);
  }
  out += ",\"type\":";
  append_json_string(out, part.type);
  out += ',';
  append_sum(out, part.content);
  out += '}';
}

} // namespace

reply upload_report(const incoming_request& request) {
  const auto type = request.header("content-type");
  std::string out = "{";
  append_sum(out, request.body);
  out += ",\"content_type\":";
  append_json_string(out, type);
  if (const auto boundary = boundary_of(type)) {
    const auto form = read_multipart(request.body, *boundary);
    if (!form.problem.empty()) {
      return error_reply(400, form.problem);
    }
    out += ",\"parts\":[";
    for (const auto& part : form.parts) {
      out += &part == form.parts.data() ? "" : ",";
      append_part(out, part);
    }
    out += ']';
  }
  out += '}';
  return text_reply(200, "application/json", std::move(out));
}

} // namespace dormouse::samples
