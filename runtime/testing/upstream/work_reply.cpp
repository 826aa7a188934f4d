#include "upstream/work_reply.hpp"

#include "upstream/append_number.hpp"
#include "upstream/compression.hpp"
#include "upstream/cookie_pairs.hpp"
#include "upstream/json_text.hpp"
#include "upstream/sample_content.hpp"

#include <array>
#include <charconv>
#include <string>
#include <string_view>
#include <utility>

namespace dormouse::samples {

namespace {

constexpr std::uint64_t plain_size = 1024;

std::string key_json(const incoming_request& request, std::uint64_t hit) {
  std::string out;
  out.reserve(request.plan.key.size() + 96);
  out += "{\"key\":";
  append_json_string(out, request.plan.key);
  out += ",\"hit\":";
  append_number(out, hit);
  out += ",\"method\":\"";
  out += request.method; // a token: nothing in it needs escaping
  out += "\",\"value\":\"";
  append_number(out, value_of(request.plan.key));
  out += "\"}";
  return out;
}

std::string pairs_json(const name_values& pairs) {
  std::string out = "[";
  for (const auto& [name, value] : pairs) {
    out += out.size() > 1 ? ",[" : "[";
    append_json_string(out, name);
    out += ',';
    append_json_string(out, value);
    out += ']';
  }
  out += ']';
  return out;
}

bool redirects(std::uint16_t status) noexcept { return status / 100 == 3; }

std::uint16_t default_status(const answer_plan& plan) noexcept {
  const bool leads_on =
      plan.where == route::redirect || (plan.where == route::redirect_chain && plan.hops > 0);
  return leads_on ? 302 : 200;
}

// The last hop of a chain is a 200 whatever status the chain was asked to have.
std::uint16_t status_of(const answer_plan& plan, std::optional<std::uint16_t> failure) noexcept {
  const bool chain_ends = plan.where == route::redirect_chain && plan.hops == 0;
  return failure.value_or(chain_ends ? std::uint16_t{200} : plan.status.value_or(default_status(plan)));
}

void add_location(reply& answer, const answer_plan& plan) {
  if (!redirects(answer.status)) {
    return;
  }
  if (plan.where == route::redirect) {
    add_header(answer, "location", plan.location);
  } else if (plan.where == route::redirect_chain && plan.hops > 0) {
    add_header(answer, "location",
               "/redirect_chain?n=" + std::to_string(plan.hops - 1) +
                   "&status=" + std::to_string(plan.status.value_or(default_status(plan))));
  }
}

void fill_body(reply& answer, incoming_request& request, std::uint64_t hit) {
  switch (request.plan.where) {
  case route::plain:
    answer.content_type = "text/plain";
    answer.body = generated_body(0, plain_size);
    return;
  case route::echo: {
    const auto type = request.header("content-type");
    answer.content_type = type.empty() ? std::string_view{"application/octet-stream"} : type;
    answer.body = text_body(std::move(request.body));
    add_header(answer, "x-method", request.method);
    add_header(answer, "x-request-target", request.target);
    return;
  }
  case route::headers:
    answer.body = text_body(pairs_json(request.headers));
    return;
  case route::cookies:
    answer.body = text_body(pairs_json(read_cookies(request.header("cookie"))));
    return;
  default:
    answer.body = text_body(key_json(request, hit));
  }
}

} // namespace

reply work_reply(incoming_request& request, std::uint64_t hit, std::optional<std::uint16_t> failure,
                 applications& behind) {
  const auto& plan = request.plan;
  reply answer;
  if (is_application(plan.where) && !failure && !plan.status) {
    answer = behind.answer(request, hit);
  } else {
    answer.status = status_of(plan, failure);
    add_location(answer, plan);
    fill_body(answer, request, hit);
  }
  answer.extra_headers += plan.extra_headers;
  if (!plan.retry_after.empty() && (plan.fail_first == 0 || hit <= plan.fail_first)) {
    add_header(answer, "retry-after", plan.retry_after);
  }
  if (plan.bytes) {
    answer.content_type = "text/plain";
    answer.body = generated_body(first_letter_of(plan.key), *plan.bytes);
  }
  if (plan.encoding != coding::identity) {
    answer.body = text_body(compressed(answer.body, plan.encoding));
    add_header(answer, "content-encoding", name_of(plan.encoding));
  }
  return answer;
}

} // namespace dormouse::samples
