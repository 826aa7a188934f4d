#pragma once

/// Percent escapes and urlencoded pairs, undone.
///
/// Two dialects: in a path or a query of ours '+' is a plus sign, since a location
/// may well hold one; in an urlencoded form (WHATWG URL, 5.1) it is a space.

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dormouse::samples {

using name_values = std::vector<std::pair<std::string, std::string>>;

/// Percent escapes only. Nothing when one of them is bad.
[[nodiscard]] std::optional<std::string> unescape(std::string_view text);

/// The pairs of an urlencoded form, in order. A bad escape stands for itself.
[[nodiscard]] name_values read_form(std::string_view text);

/// The first value of that name; empty when there is none.
[[nodiscard]] std::string_view find_value(const name_values& pairs, std::string_view name) noexcept;

/// Without white space (space and tab) at its ends.
[[nodiscard]] std::string_view trimmed(std::string_view text) noexcept;

} // namespace dormouse::samples
