#pragma once

/// Content a test can recompute: the value and the body that belong to a key.
///
/// A proxy that mixes up two answers is caught only when answers differ and the
/// test knows which one to expect. So each key has a value (a 64-bit hash of its
/// bytes), and a body of any size is the alphabet repeated, starting at a letter
/// the key decides. Nothing is stored per key; both are computed on demand.

#include <cstdint>
#include <string>
#include <string_view>

namespace dormouse::samples {

/// FNV-1a over the bytes of the key, finished with the murmur3 mixer.
[[nodiscard]] std::uint64_t value_of(std::string_view key) noexcept;

/// The letter of the alphabet (0 to 25) at which the body of `key` starts.
[[nodiscard]] std::uint32_t first_letter_of(std::string_view key) noexcept;

/// A run of the repeated alphabet that starts at letter `position % 26`; the
/// longest stretch available without a copy, 64 KiB or a little less.
[[nodiscard]] std::string_view alphabet_from(std::uint64_t position) noexcept;

/// The whole body `/k/<key>?bytes=<size>` answers, for tests to compare with.
[[nodiscard]] std::string body_of(std::string_view key, std::uint64_t size);

} // namespace dormouse::samples
