#pragma once

#include <string>

namespace dormouse::detail {

/// Whether anybody can register names directly below `domain`, so that a cookie for all of it would reach
/// strangers: "com", "co.uk", "github.io". Every name without a dot is one, and so is the empty name.
/// `domain` is lower case; A-labels or UTF-8.
bool is_public_suffix(const std::string& domain);

/// The part of `domain` that somebody has registered: "example.co.uk" of "a.b.example.co.uk". Of a public
/// suffix, an IP address or a name without a dot: itself. `domain` as above.
std::string site_of(const std::string& domain);

} // namespace dormouse::detail
