#pragma once

/// The questions that setting and sending a cookie have in common (RFC 6265bis sections 5.1.2 to 5.1.4
/// and 5.7).

#include <dormouse/serialization/cookie.hpp>
#include <dormouse/serialization/error.hpp>
#include <dormouse/serialization/url.hpp>

#include <string>
#include <string_view>

namespace dormouse::detail {

/// `invalid_cookie`: "cookie 'a' is refused: <why>".
unexpected<error> refuse_cookie(std::string_view name, std::string_view why);

/// Without spaces and tabs at either end.
std::string_view strip_blanks(std::string_view text) noexcept;

/// Judged by its spelling, which a `url` has settled: no name ends in a number.
bool is_ip_address(std::string_view host) noexcept;

/// Whether cookies with Secure may come from and go to `where`: https, or the machine itself.
bool is_secure(const url& where) noexcept;

/// 5.1.3. Both in lower case.
bool domain_matches(std::string_view host, std::string_view domain) noexcept;

/// 5.1.4: the path of a cookie that names none.
std::string default_path(const url& from);

/// 5.1.4.
bool path_matches(std::string_view request_path, std::string_view cookie_path) noexcept;

/// Whether `from` may set this cookie: its host is the cookie's or lies below it, the domain is no public
/// suffix, and Secure comes from a secure origin (5.7 steps 9, 10 and 13). Error: `invalid_cookie`.
expected<void> may_set(const url& from, const cookie& what);

/// The URL that the program sets a cookie for. Errors: `invalid_cookie` if the attributes name none,
/// `invalid_url`.
expected<url> set_by(std::string_view name, const cookie_attributes& attributes);

/// A Domain attribute as it is compared: without a leading dot and as a URL has a host, in ASCII and in lower
/// case. One that is no host is only put in lower case; no host is in it.
std::string canonical_domain(std::string_view attribute);

} // namespace dormouse::detail
