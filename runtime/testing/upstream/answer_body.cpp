#include "upstream/answer_body.hpp"

#include "upstream/sample_content.hpp"

#include <algorithm>
#include <utility>

namespace dormouse::samples {

std::string_view answer_body::run_at(std::uint64_t offset) const noexcept {
  const auto run = generated ? alphabet_from(first_letter + offset) : std::string_view{text}.substr(offset);
  return run.substr(0, std::min<std::uint64_t>(run.size(), size - offset));
}

answer_body text_body(std::string text) {
  answer_body body;
  body.size = text.size();
  body.text = std::move(text);
  return body;
}

answer_body generated_body(std::uint32_t first_letter, std::uint64_t size) {
  answer_body body;
  body.size = size;
  body.generated = true;
  body.first_letter = first_letter;
  return body;
}

} // namespace dormouse::samples
