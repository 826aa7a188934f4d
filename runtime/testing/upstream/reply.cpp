#include "upstream/reply.hpp"

#include "upstream/json_text.hpp"

#include <utility>

namespace dormouse::samples {

reply text_reply(std::uint16_t status, std::string_view content_type, std::string text) {
  reply answer;
  answer.status = status;
  answer.content_type = content_type;
  answer.body = text_body(std::move(text));
  return answer;
}

reply error_reply(std::uint16_t status, std::string_view message) {
  std::string json = "{\"error\":";
  append_json_string(json, message);
  json += '}';
  return text_reply(status, "application/json", std::move(json));
}

reply wrong_method(std::string_view allowed) {
  auto answer = error_reply(405, "use " + std::string{allowed});
  add_header(answer, "allow", allowed);
  return answer;
}

void add_header(reply& to, std::string_view name, std::string_view value) {
  to.extra_headers += name;
  to.extra_headers += ": ";
  to.extra_headers += value;
  to.extra_headers += "\r\n";
}

} // namespace dormouse::samples
