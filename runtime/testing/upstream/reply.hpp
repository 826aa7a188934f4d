#pragma once

/// What is answered, before it is framed: a connection turns it into bytes.

#include "upstream/answer_body.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace dormouse::samples {

struct reply {
  std::uint16_t status = 200;
  /// A literal, or a text of the request that is answered.
  std::string_view content_type = "application/json";
  answer_body body;
  std::string extra_headers; ///< whole lines, each with its line end
};

[[nodiscard]] reply text_reply(std::uint16_t status, std::string_view content_type, std::string text);

/// `{"error":"<message>"}`
[[nodiscard]] reply error_reply(std::uint16_t status, std::string_view message);

/// 405, when `allowed` (as in an Allow header) is what the path takes.
[[nodiscard]] reply wrong_method(std::string_view allowed);

void add_header(reply& to, std::string_view name, std::string_view value);

} // namespace dormouse::samples
