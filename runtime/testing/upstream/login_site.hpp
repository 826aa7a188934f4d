#pragma once

/// A small web site that wants a login, for a client with a cookie jar.
///
/// The way of most of them: the form comes with a cookie of its own and a hidden
/// token that belongs to it (so that nobody else's page can post it), and the right
/// password turns that into a session, which is a cookie that scripts cannot read and
/// that is sent below /site only.

#include "upstream/reply.hpp"
#include "upstream/request_reader.hpp"
#include "upstream/token_book.hpp"

#include <string>
#include <string_view>

namespace dormouse::samples {

class login_site {
public:
  /// GET: the form. POST: 303 to the account and a session, or 403.
  [[nodiscard]] reply login(const incoming_request& request);

  /// GET: the page of the session's user, or 401.
  [[nodiscard]] reply account(const incoming_request& request);

  /// POST: ends the session, and 303 to the form.
  [[nodiscard]] reply logout(const incoming_request& request);

private:
  [[nodiscard]] reply show_form(const incoming_request& request);
  [[nodiscard]] reply check_login(const incoming_request& request);
  [[nodiscard]] std::string csrf_of(std::string_view presession) const;

  // The token of the form is computed, so that forms nobody posts cost nothing.
  std::string secret_ = random_token();
  token_book<std::string> sessions_; ///< the user of each
};

} // namespace dormouse::samples
