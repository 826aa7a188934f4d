#include <dormouse/serialization/codec.hpp>
#include <dormouse/serialization/crc32c.hpp>

#include <fmt/format.h>

#include <cstdlib>
#include <limits>

namespace dormouse {
namespace {

template <class T> void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

template <class T> T get(std::string_view in, std::size_t at) {
  T value{};
  std::memcpy(&value, in.data() + at, sizeof value);
  return value;
}

constexpr std::size_t version_at = 4;
constexpr std::size_t type_at = 5;
constexpr std::size_t length_at = 6;
constexpr std::size_t crc_at = 10;

/// The checksum covers version, type and length too, so that a flipped header bit cannot pass.
std::uint32_t checksum(std::string_view frame) {
  return crc32c(frame.substr(frame_header_bytes), crc32c(frame.substr(version_at, crc_at - version_at)));
}

} // namespace

std::string seal(frame_type type, std::string_view payload, std::string_view rest) {
  const auto bytes = payload.size() + rest.size();
  if (bytes > std::numeric_limits<std::uint32_t>::max())
    std::abort(); // unreachable: callers bound payloads by max_body_bytes
  std::string out;
  out.reserve(frame_header_bytes + bytes);
  out += frame_magic;
  put(out, frame_version);
  put(out, static_cast<std::uint8_t>(type));
  put(out, static_cast<std::uint32_t>(bytes));
  put(out, std::uint32_t{0});
  out += payload;
  out += rest;
  auto crc = checksum(out);
  std::memcpy(out.data() + crc_at, &crc, sizeof crc);
  return out;
}

expected<std::string_view> unseal(frame_type type, std::string_view frame) {
  if (frame.size() < frame_header_bytes)
    return fail(errc::corrupt, fmt::format("frame of {} bytes is shorter than its {}-byte header",
                                           frame.size(), frame_header_bytes));
  if (frame.substr(0, frame_magic.size()) != frame_magic)
    return fail(errc::corrupt, "frame does not start with its magic number");
  auto version = get<std::uint8_t>(frame, version_at);
  if (version > frame_version)
    return fail(errc::newer_format, fmt::format("frame has format version {}; this program reads up to {}",
                                                version, frame_version));
  if (version == 0) return fail(errc::corrupt, "frame has format version 0");
  auto length = get<std::uint32_t>(frame, length_at);
  if (length != frame.size() - frame_header_bytes)
    return fail(errc::corrupt, fmt::format("frame says {} payload bytes but has {}", length,
                                           frame.size() - frame_header_bytes));
  if (get<std::uint32_t>(frame, crc_at) != checksum(frame))
    return fail(errc::corrupt, "frame fails its CRC-32C");
  if (auto found = get<std::uint8_t>(frame, type_at); found != static_cast<std::uint8_t>(type))
    return fail(errc::corrupt,
                fmt::format("frame has type {} where {} was expected", found, static_cast<int>(type)));
  return frame.substr(frame_header_bytes);
}

} // namespace dormouse
