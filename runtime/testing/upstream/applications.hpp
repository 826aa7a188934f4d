#pragma once

/// What lives behind the paths that have a mind of their own: a site, an API.
///
/// It outlives a stop and a start of the server, as a database would; only the
/// server's thread uses it.

#include "upstream/login_site.hpp"
#include "upstream/reply.hpp"
#include "upstream/request_reader.hpp"
#include "upstream/token_api.hpp"

#include <cstdint>

namespace dormouse::samples {

class applications {
public:
  /// The answer to a request for one of their paths (`is_application`).
  [[nodiscard]] reply answer(const incoming_request& request, std::uint64_t hit);

private:
  login_site site_;
  token_api api_;
};

} // namespace dormouse::samples
