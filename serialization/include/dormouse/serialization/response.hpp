#pragma once

/// What came back. An HTTP status is a response, never an error: 404 and 500 arrive here, with `ok()` false.

#include <dormouse/serialization/fetch_error.hpp>
#include <dormouse/serialization/headers.hpp>

#include <nlohmann/json_fwd.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

namespace dormouse {

class response {
public:
  response() = default;
  response(std::uint16_t status, dormouse::headers fields, std::string body, std::string final_url = {}, std::uint32_t redirects = 0)
    : status_(status), headers_(std::move(fields)), body_(std::move(body)), url_(std::move(final_url)), redirects_(redirects) {}

  std::uint16_t status() const noexcept { return status_; }
  bool ok() const noexcept { return status_ >= 200 && status_ <= 299; }
  const dormouse::headers& headers() const noexcept { return headers_; }
  const std::string& url() const noexcept { return url_; } ///< after redirects
  bool redirected() const noexcept { return redirects_ > 0; }

  const std::string& text() const& noexcept { return body_; } ///< the decoded body, as it is
  std::string text() && noexcept { return std::move(body_); }
  std::span<const std::byte> bytes() const noexcept { return std::as_bytes(std::span(body_)); }

  /// The body as JSON (RFC 8259). Throws `nlohmann::json::parse_error`. Include <nlohmann/json.hpp> to use the
  /// value; <dormouse/dormouse.hpp> does.
  nlohmann::json json() const;

  friend bool operator==(const response&, const response&) = default;

  template <class Archive>
  void serialize(Archive& ar) {
    ar(status_, headers_, body_, url_, redirects_);
  }

private:
  friend struct response_access;

  std::uint16_t status_ = 0;
  dormouse::headers headers_;
  std::string body_;
  std::string url_;
  std::uint32_t redirects_ = 0;
};

/// For the runtime: a body that is too large to be inline is stored beside the message and put back before anyone sees it.
struct response_access {
  static std::string& body(response& whole) noexcept { return whole.body_; }
};

} // namespace dormouse
