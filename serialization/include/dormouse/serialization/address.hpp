#pragma once

/// Where an object lives, for ever: the binding its class is registered under and its instance id.

#include <dormouse/serialization/expected.hpp>

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace dormouse {

inline constexpr std::size_t max_binding_bytes = 64;
inline constexpr std::size_t max_instance_id_bytes = 1024;

/// Whether `name` is `[A-Za-z_][A-Za-z0-9_]{0,63}`. Usable at compile time: `methods<>` checks itself with
/// it.
constexpr bool is_valid_binding(std::string_view name) noexcept {
  if (name.empty() || name.size() > max_binding_bytes || (name[0] >= '0' && name[0] <= '9')) return false;
  for (char c : name)
    if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'))
      return false;
  return true;
}

/// Whether `text` is well-formed UTF-8 (RFC 3629: no overlong forms, no surrogates, at most U+10FFFF).
bool is_valid_utf8(std::string_view text) noexcept;

struct address {
  std::string binding;
  std::string instance_id;

  friend auto operator<=>(const address&, const address&) = default;

  template <class Archive> void serialize(Archive& ar) { ar(binding, instance_id); }
};

/// Checks both parts. Errors: `invalid_binding`, `invalid_instance_id`, each naming the offending text and
/// the limit.
expected<void> validate(const address& where);

/// `"USER_DO/alice"`, with control characters and ill-formed bytes escaped, for logs and error texts.
std::string to_string(const address& where);

} // namespace dormouse

template <> struct std::hash<dormouse::address> {
  std::size_t operator()(const dormouse::address& where) const noexcept {
    std::size_t seed = std::hash<std::string_view>{}(where.binding);
    return std::hash<std::string_view>{}(where.instance_id) ^
           (seed + 0x9e3779b97f4a7c15ULL + (seed << 6U) + (seed >> 2U));
  }
};
