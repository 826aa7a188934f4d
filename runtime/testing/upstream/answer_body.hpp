#pragma once

/// The body of an answer: a text, or a stretch of the repeated alphabet that is
/// never built in memory.

#include <cstdint>
#include <string>
#include <string_view>

namespace dormouse::samples {

struct answer_body {
  std::uint64_t size = 0;
  std::string text; ///< the body itself, unless it is generated
  bool generated = false;
  std::uint32_t first_letter = 0; ///< of a generated body

  /// The bytes from `offset` on, as many as there are without a copy: at least one
  /// when `offset` is below `size`.
  [[nodiscard]] std::string_view run_at(std::uint64_t offset) const noexcept;
};

[[nodiscard]] answer_body text_body(std::string text);
[[nodiscard]] answer_body generated_body(std::uint32_t first_letter, std::uint64_t size);

} // namespace dormouse::samples
