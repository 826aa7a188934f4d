#pragma once

/// What a request asks the test upstream to do, read from its target.
///
/// The behaviour of every answer (how late, which status, how large, how broken)
/// is spelled out in the query string, so a test needs no second channel to set
/// the upstream up, and two tests never disturb each other as long as their keys
/// differ.

#include "upstream/compression.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace dormouse::samples {

enum class route : std::uint8_t {
  unknown,
  // Work: counted, and open to every parameter.
  key,
  echo,
  headers,
  plain,
  redirect,
  redirect_chain,
  set_cookie,
  cookies,
  // Work as well, of paths with a mind of their own.
  upload,
  repo,
  linked_page,
  site_login,
  site_account,
  site_logout,
  auth_token,
  auth_refresh,
  api_profile,
  api_orders,
  // Control: never counted, always answered at once.
  counters,
  summary,
  reset,
};

enum class answer_mode : std::uint8_t {
  normal,
  // A whole answer, sent in an unusual way.
  chunked,   ///< chunked transfer encoding
  slow_body, ///< content-length, in pieces with a pause between them
  // No whole answer.
  drop,      ///< close without a byte
  abort,     ///< the same, with a TCP reset
  drop_body, ///< head and half the body, then close
  hang,      ///< nothing until the client gives up
};

struct answer_plan {
  route where = route::unknown;
  answer_mode mode = answer_mode::normal;
  bool with_answered = false; ///< /counters
  coding encoding = coding::identity;
  std::optional<std::uint16_t> status; ///< that of the path if not given
  std::uint16_t fail_status = 503;
  std::uint32_t chunks = 10;
  std::chrono::milliseconds delay{0};
  std::optional<std::chrono::milliseconds> chunk_pause;
  std::optional<std::uint64_t> bytes;
  std::uint64_t fail_first = 0;
  std::uint64_t hops = 0;                 ///< /redirect_chain
  std::uint64_t page = 1;                 ///< /api/orders
  std::uint64_t rate_limit = 5000;        ///< /repos
  std::uint64_t uses = ~std::uint64_t{0}; ///< of a token of /auth
  std::chrono::seconds expires_in{60};    ///< the same
  std::string key;                        ///< what the request counts as
  std::string retry_after;
  std::string location;      ///< /redirect
  std::string extra_headers; ///< whole lines: what set_cookie and header asked for
  std::string_view problem;  ///< a fixed text, empty when all is well
};

/// Never throws on bad input: `problem` names the first bad parameter, and
/// `where` is `unknown` for a path nobody serves. Parameters nobody knows are
/// ignored, so that a client may add its own.
[[nodiscard]] answer_plan read_plan(std::string_view target);

/// Whether the mode leaves the client without a whole answer.
[[nodiscard]] bool breaks_answer(answer_mode mode) noexcept;

/// Whether requests of this route are counted as work.
[[nodiscard]] bool is_work(route where) noexcept;

/// Whether this route is answered by `applications`.
[[nodiscard]] bool is_application(route where) noexcept;

} // namespace dormouse::samples
