#pragma once

/// R13: what may be connected to. Three checks, because each alone can be walked around:
///   the host by name, when the fetch is asked for, when it goes out, and on every redirect hop;
///   a literal address, after its spelling has been undone (url.hpp);
///   the address that is really being connected to, after name resolution, in the socket callback.
/// A host that is listed by name may be private; one that only a wildcard covers may not.

#include <dormouse/serialization/error.hpp>
#include <dormouse/serialization/url.hpp>

#include <sys/socket.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dormouse {

enum class reach : std::uint8_t {
  public_only, ///< covered by a wildcard
  anywhere,    ///< listed by name
};

/// Whether an address is not part of the public Internet: loopback, private, link-local (the metadata
/// services), shared, multicast, reserved, documentation (RFC 6890 and IANA's special-purpose registries),
/// and IPv6 forms that carry such an IPv4 address.
bool is_special_address(const sockaddr& where) noexcept;

class url_policy {
public:
  /// Error: `invalid_option` naming the entry.
  static expected<url_policy> make(const std::vector<std::string>& allow);

  /// How far a connection for this URL may reach. Error: `blocked`, saying which option to change.
  expected<reach> check(const url& target) const;

private:
  struct entry {
    std::string host; ///< empty: any
    std::optional<std::uint16_t> port;
    bool subdomains = false; ///< `*.host`
  };

  std::vector<entry> entries_;
};

} // namespace dormouse
