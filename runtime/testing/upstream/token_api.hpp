#pragma once

/// An API behind short-lived bearer tokens (RFC 6749, RFC 6750), for a client that has
/// to get one, lose it, and get another in the middle of its work.
///
/// A token ends by the clock, after `expires_in`, or after `uses` requests, which lets a
/// test see it expire without waiting.

#include "upstream/reply.hpp"
#include "upstream/request_reader.hpp"
#include "upstream/token_book.hpp"

#include <chrono>
#include <cstdint>
#include <string>

namespace dormouse::samples {

class token_api {
public:
  /// POST with client_id and client_secret, urlencoded or JSON: a token, or 401.
  [[nodiscard]] reply token(const incoming_request& request);

  /// POST with refresh_token, urlencoded or JSON: another token for the same client, or 400.
  [[nodiscard]] reply refresh(const incoming_request& request);

  /// GET, with a token: who it is for.
  [[nodiscard]] reply profile(const incoming_request& request);

  /// GET, with a token: one page of the client's orders, and where the next one is.
  [[nodiscard]] reply orders(const incoming_request& request);

private:
  using clock = std::chrono::steady_clock;

  struct access {
    std::string client;
    clock::time_point ends;
    std::uint64_t uses_left = 0;
  };

  [[nodiscard]] std::string new_access(const std::string& client, const answer_plan& plan);
  /// The client; empty when the request has no token, or one that has ended.
  [[nodiscard]] std::string client_of(const incoming_request& request);

  token_book<access> access_;
  token_book<std::string> refresh_; ///< the client of each
};

} // namespace dormouse::samples
