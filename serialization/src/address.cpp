#include <dormouse/serialization/address.hpp>
#include <dormouse/serialization/error.hpp>

#include <fmt/format.h>

#include <cstdint>

namespace dormouse {
namespace {

/// Long ids and control bytes must not flood or break a log line.
std::string printable(std::string_view text) {
  constexpr std::size_t shown = 128;
  std::string out;
  for (char c : text.substr(0, shown)) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f || c == '\\')
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    else
      out += c;
  }
  if (text.size() > shown) out += "...";
  if (!is_valid_utf8(out)) { // cut inside a sequence, or never well-formed
    std::string ascii;
    for (char c : out)
      ascii += static_cast<unsigned char>(c) < 0x80 ? std::string(1, c)
                                                    : fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    return ascii;
  }
  return out;
}

} // namespace

bool is_valid_utf8(std::string_view text) noexcept {
  std::size_t i = 0;
  while (i < text.size()) {
    auto lead = static_cast<unsigned char>(text[i]);
    std::size_t extra = 0;
    std::uint32_t code = 0;
    std::uint32_t least = 0;
    if (lead < 0x80) {
      ++i;
      continue;
    }
    if ((lead & 0xe0U) == 0xc0) {
      extra = 1, code = lead & 0x1fU, least = 0x80;
    } else if ((lead & 0xf0U) == 0xe0) {
      extra = 2, code = lead & 0x0fU, least = 0x800;
    } else if ((lead & 0xf8U) == 0xf0) {
      extra = 3, code = lead & 0x07U, least = 0x10000;
    } else {
      return false;
    }
    if (text.size() - i <= extra) return false;
    for (std::size_t k = 1; k <= extra; ++k) {
      auto next = static_cast<unsigned char>(text[i + k]);
      if ((next & 0xc0U) != 0x80) return false;
      code = (code << 6U) | (next & 0x3fU);
    }
    if (code < least || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return false;
    i += extra + 1;
  }
  return true;
}

expected<void> validate(const address& where) {
  if (!is_valid_binding(where.binding))
    return fail(errc::invalid_binding, fmt::format("binding '{}' is not [A-Za-z_][A-Za-z0-9_]{{0,{}}}",
                                                   printable(where.binding), max_binding_bytes - 1));
  if (where.instance_id.empty())
    return fail(errc::invalid_instance_id,
                fmt::format("the instance id for binding {} is empty; it must have 1..{} bytes",
                            where.binding, max_instance_id_bytes));
  if (where.instance_id.size() > max_instance_id_bytes)
    return fail(errc::invalid_instance_id,
                fmt::format("instance id '{}' for binding {} has {} bytes; the limit is {}",
                            printable(where.instance_id), where.binding, where.instance_id.size(),
                            max_instance_id_bytes));
  if (!is_valid_utf8(where.instance_id))
    return fail(errc::invalid_instance_id,
                fmt::format("instance id '{}' for binding {} is not well-formed UTF-8",
                            printable(where.instance_id), where.binding));
  return {};
}

std::string to_string(const address& where) {
  return printable(where.binding) + "/" + printable(where.instance_id);
}

} // namespace dormouse
