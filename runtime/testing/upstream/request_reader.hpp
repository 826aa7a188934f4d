#pragma once

/// One HTTP/1.1 request, read as its bytes arrive.
///
/// Beast's basic_parser knows the grammar and calls back for each part. A full
/// beast message would copy every header into a list; here only what the answer
/// needs is kept: the plan from the target always, headers and body for the paths
/// that look at them. That keeps a request cheap to read and to hold.

#include "upstream/answer_plan.hpp"
#include "upstream/upstream_options.hpp"
#include "upstream/url_text.hpp"

#include <boost/beast/core/error.hpp>
#include <boost/beast/core/string.hpp>
#include <boost/beast/http/basic_parser.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace dormouse::samples {

struct incoming_request {
  answer_plan plan;
  std::string method;
  std::string target; ///< /echo and /pages only
  std::string idempotency_key;
  std::string body;    ///< of paths that look at it
  name_values headers; ///< the same; names in lower case

  /// The first of that name, or what all of them say together if it is `cookie`;
  /// empty when there is none. For paths that look at headers.
  [[nodiscard]] std::string_view header(std::string_view name) const noexcept {
    return find_value(headers, name);
  }
};

class request_reader final : public boost::beast::http::basic_parser<true> {
public:
  request_reader(incoming_request& request, const upstream_options& options);

  /// The client waits for "100 Continue" before it sends the body. True once.
  [[nodiscard]] bool take_expectation() noexcept;

  [[nodiscard]] bool is_http_1_0() const noexcept { return http_1_0_; }

private:
  using error_code = boost::beast::error_code;
  using field = boost::beast::http::field;
  using text = boost::beast::string_view;

  void on_request_impl(boost::beast::http::verb method, text method_text, text target, int version,
                       error_code& error) override;
  void on_response_impl(int code, text reason, int version, error_code& error) override;
  void on_field_impl(field name, text name_text, text value, error_code& error) override;
  void on_header_impl(error_code& error) override;
  void on_body_init_impl(const boost::optional<std::uint64_t>& content_length, error_code& error) override;
  std::size_t on_body_impl(text body, error_code& error) override;
  void on_chunk_header_impl(std::uint64_t size, text extensions, error_code& error) override;
  std::size_t on_chunk_body_impl(std::uint64_t remain, text body, error_code& error) override;
  void on_finish_impl(error_code& error) override;

  void keep_header(std::string_view name, std::string_view value);

  incoming_request& request_;
  std::size_t header_room_;
  bool expects_continue_ = false;
  bool http_1_0_ = false;
};

} // namespace dormouse::samples
