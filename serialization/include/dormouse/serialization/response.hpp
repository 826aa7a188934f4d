#pragma once

/// What came back. An HTTP status is a response, never an error: 404 and 500 arrive here, with `ok()` false.
/// There is no status text: HTTP/2 and later have none, so nothing should depend on it.
///
/// The body is all there, and may be read any number of times: `r.text()`. Reading it once, as everywhere in
/// JavaScript, is what an rvalue asks for: `std::move(r).text()` moves the body out instead of copying it,
/// and leaves the rest of the response as it is. From then on `body_used()` is true, and each further read,
/// and storing the response, throws `failure{invalid_request}`.

#include <dormouse/serialization/blob.hpp>
#include <dormouse/serialization/fetch_error.hpp>
#include <dormouse/serialization/form_data.hpp>
#include <dormouse/serialization/headers.hpp>

#include <nlohmann/json_fwd.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace dormouse {

class response {
public:
  response() = default;
  response(std::uint16_t status, dormouse::headers fields, std::string body, std::string final_url = {},
           std::uint32_t redirects = 0)
      : status_(status),
        headers_(std::move(fields)),
        body_(std::move(body)),
        url_(std::move(final_url)),
        redirects_(redirects) {}

  std::uint16_t status() const noexcept { return status_; }
  bool ok() const noexcept { return status_ >= 200 && status_ <= 299; }
  const dormouse::headers& headers() const noexcept { return headers_; }
  const std::string& url() const noexcept { return url_; } ///< after redirects
  bool redirected() const noexcept { return redirects_ > 0; }
  bool body_used() const noexcept { return body_used_; } ///< an rvalue was read

  /// The body with its content encoding undone, otherwise as it is: no character set is converted and no byte
  /// order mark removed.
  const std::string& text() const&;
  std::string text() &&;

  std::span<const std::byte> bytes() const&; ///< valid as long as the response and its body
  std::vector<std::byte> bytes() &&;

  /// The body as JSON (RFC 8259). Throws `nlohmann::json::parse_error`. Include <nlohmann/json.hpp> to use
  /// the value; <dormouse/dormouse.hpp> does.
  nlohmann::json json() const&;
  nlohmann::json json() &&;

  /// The body as a blob, with the type of `Content-Type`: lower-cased, so that a boundary in it is not to be
  /// relied on.
  dormouse::blob blob() const&;
  dormouse::blob blob() &&;

  /// The body as a form, if its `Content-Type` is `multipart/form-data` or
  /// `application/x-www-form-urlencoded`. Throws `failure`: `invalid_request` for another type, and as
  /// `parse_multipart` and `parse_urlencoded` say.
  dormouse::form_data form_data() const&;
  dormouse::form_data form_data() &&;

  friend bool operator==(const response&, const response&) = default;

  template <class Archive> void serialize(Archive& ar) {
    if constexpr (Archive::is_loading::value)
      body_used_ = false;
    else
      require_body();
    ar(status_, headers_, body_, url_, redirects_);
  }

private:
  friend struct response_access;

  void require_body() const;
  std::string take_body();

  std::uint16_t status_ = 0;
  dormouse::headers headers_;
  std::string body_;
  std::string url_;
  std::uint32_t redirects_ = 0;
  bool body_used_ = false; ///< not stored: what is stored has its body
};

/// For the runtime: a body that is too large to be inline is stored beside the message and put back before
/// anyone sees it.
struct response_access {
  static std::string& body(response& whole) noexcept { return whole.body_; }
  static const std::string& body(const response& whole) noexcept { return whole.body_; }

  /// And what may be hidden of one that is only looked at.
  static dormouse::headers& headers(response& whole) noexcept { return whole.headers_; }
  static std::string& url(response& whole) noexcept { return whole.url_; }
};

} // namespace dormouse
