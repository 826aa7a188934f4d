#include "upstream/request_reader.hpp"

#include <algorithm>
#include <cctype>
#include <string_view>
#include <utility>

namespace dormouse::samples {

namespace http = boost::beast::http;

namespace {

std::string_view view(boost::beast::string_view text) noexcept { return {text.data(), text.size()}; }

std::string lower_case(std::string_view name) {
  std::string lower{name};
  for (char& c : lower) {
    c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return lower;
}

bool looks_at_headers(route where) noexcept {
  return where == route::headers || where == route::cookies || where == route::echo || is_application(where);
}

bool looks_at_body(route where) noexcept {
  return where == route::echo || where == route::upload || where == route::site_login ||
         where == route::auth_token || where == route::auth_refresh;
}

} // namespace

request_reader::request_reader(incoming_request& request, const upstream_options& options)
    : request_{request}, header_room_{options.header_limit} {
  header_limit(static_cast<std::uint32_t>(options.header_limit));
  body_limit(options.body_limit);
  eager(true);
}

bool request_reader::take_expectation() noexcept { return std::exchange(expects_continue_, false); }

void request_reader::on_request_impl(http::verb /*method*/, text method_text, text target, int version,
                                     error_code& /*error*/) {
  request_.method = view(method_text);
  request_.plan = read_plan(view(target));
  if (request_.plan.where == route::echo || request_.plan.where == route::linked_page) {
    request_.target = view(target);
  }
  http_1_0_ = version == 10;
  header_room_ -= std::min(header_room_, target.size());
}

void request_reader::on_response_impl(int /*code*/, text /*reason*/, int /*version*/, error_code& /*error*/) {
}

void request_reader::on_field_impl(field name, text name_text, text value, error_code& error) {
  // The parser checks its limit against one read at a time; a head that
  // trickles in has to be added up here.
  const auto size = name_text.size() + value.size() + 4;
  if (size > header_room_) {
    error = http::error::header_limit;
    return;
  }
  header_room_ -= size;

  if (name == field::expect) {
    expects_continue_ = !http_1_0_ && boost::beast::iequals(value, "100-continue");
  } else if (name == field::unknown && boost::beast::iequals(name_text, "idempotency-key")) {
    request_.idempotency_key = view(value);
  }
  if (looks_at_headers(request_.plan.where)) {
    keep_header(view(name_text), view(value));
  }
}

// /headers shows what came; to everyone else several Cookie headers are one.
void request_reader::keep_header(std::string_view name, std::string_view value) {
  auto lower = lower_case(name);
  if (lower == "cookie" && request_.plan.where != route::headers) {
    for (auto& [each, joined] : request_.headers) {
      if (each == lower) {
        joined += "; ";
        joined += value;
        return;
      }
    }
  }
  request_.headers.emplace_back(std::move(lower), value);
}

void request_reader::on_header_impl(error_code& /*error*/) {}

void request_reader::on_body_init_impl(const boost::optional<std::uint64_t>& /*content_length*/,
                                       error_code& /*error*/) {}

std::size_t request_reader::on_body_impl(text body, error_code& /*error*/) {
  if (looks_at_body(request_.plan.where)) {
    request_.body += view(body);
  }
  return body.size();
}

void request_reader::on_chunk_header_impl(std::uint64_t /*size*/, text /*extensions*/,
                                          error_code& /*error*/) {}

std::size_t request_reader::on_chunk_body_impl(std::uint64_t /*remain*/, text body, error_code& error) {
  return on_body_impl(body, error);
}

void request_reader::on_finish_impl(error_code& /*error*/) {}

} // namespace dormouse::samples
