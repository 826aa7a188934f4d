#include "upstream/token_api.hpp"

#include "upstream/sample_orders.hpp"
#include "upstream/url_text.hpp"

#include <boost/beast/core/string.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <string_view>
#include <utility>

namespace dormouse::samples {

namespace {

using json = nlohmann::json;

constexpr std::size_t order_count = 10;
constexpr std::size_t page_size = 4;
constexpr std::size_t page_count = (order_count + page_size - 1) / page_size;

reply json_reply(std::uint16_t status, const json& content) {
  return text_reply(status, "application/json", content.dump());
}

// The texts among the members of a JSON object, or the pairs of a form.
name_values read_fields(const incoming_request& request) {
  if (!request.header("content-type").starts_with("application/json")) {
    return read_form(request.body);
  }
  name_values pairs;
  const auto content = json::parse(request.body, nullptr, false);
  if (content.is_object()) {
    for (const auto& [name, value] : content.items()) {
      if (value.is_string()) {
        pairs.emplace_back(name, value.get<std::string>());
      }
    }
  }
  return pairs;
}

std::string_view bearer_of(std::string_view authorization) {
  constexpr std::string_view scheme = "bearer ";
  const auto word = authorization.substr(0, scheme.size());
  return boost::beast::iequals({word.data(), word.size()}, {scheme.data(), scheme.size()})
             ? trimmed(authorization.substr(scheme.size()))
             : std::string_view{};
}

reply no_token() {
  auto answer = error_reply(401, "a bearer token is wanted, or has ended");
  add_header(answer, "www-authenticate", "Bearer error=\"invalid_token\"");
  return answer;
}

} // namespace

reply token_api::token(const incoming_request& request) {
  if (request.method != "POST") {
    return wrong_method("POST");
  }
  const auto fields = read_fields(request);
  const std::string client{find_value(fields, "client_id")};
  const auto given = find_value(fields, "client_secret");
  if (client.empty() || given.empty()) {
    return error_reply(400, "invalid_request");
  }
  if (const auto secret = secret_of(client); secret.empty() || given != secret) {
    return error_reply(401, "invalid_client");
  }
  return json_reply(200, {{"access_token", new_access(client, request.plan)},
                          {"token_type", "Bearer"},
                          {"expires_in", request.plan.expires_in.count()},
                          {"refresh_token", refresh_.issue(client)}});
}

reply token_api::refresh(const incoming_request& request) {
  if (request.method != "POST") {
    return wrong_method("POST");
  }
  const auto fields = read_fields(request);
  const auto* client = refresh_.find(find_value(fields, "refresh_token"));
  if (client == nullptr) {
    return error_reply(400, "invalid_grant");
  }
  return json_reply(200, {{"access_token", new_access(*client, request.plan)},
                          {"token_type", "Bearer"},
                          {"expires_in", request.plan.expires_in.count()}});
}

reply token_api::profile(const incoming_request& request) {
  if (request.method != "GET" && request.method != "HEAD") {
    return wrong_method("GET, HEAD");
  }
  const auto client = client_of(request);
  if (client.empty()) {
    return no_token();
  }
  return json_reply(200, {{"client_id", client}, {"orders", order_count}});
}

reply token_api::orders(const incoming_request& request) {
  if (request.method != "GET" && request.method != "HEAD") {
    return wrong_method("GET, HEAD");
  }
  const auto client = client_of(request);
  if (client.empty()) {
    return no_token();
  }
  const auto page = request.plan.page;
  auto listed = json::array();
  const auto all = orders_of(client, order_count);
  for (auto at = (page - 1) * page_size; at < std::min(page * page_size, order_count); ++at) {
    listed.push_back({{"id", all[at].id}, {"item", all[at].item}, {"price", price_of(all[at])}});
  }
  json content{{"page", page}, {"pages", page_count}, {"orders", std::move(listed)}, {"next", nullptr}};
  std::string next;
  if (page < page_count) {
    next = "http://" + std::string{request.header("host")} + "/api/orders?page=" + std::to_string(page + 1);
    content["next"] = next;
  }
  auto answer = json_reply(200, content);
  if (!next.empty()) {
    add_header(answer, "link", "<" + next + ">; rel=\"next\"");
  }
  return answer;
}

std::string token_api::new_access(const std::string& client, const answer_plan& plan) {
  return access_.issue({client, clock::now() + plan.expires_in, plan.uses});
}

std::string token_api::client_of(const incoming_request& request) {
  const auto token = bearer_of(request.header("authorization"));
  auto* found = access_.find(token);
  if (found == nullptr) {
    return {};
  }
  if (clock::now() >= found->ends || found->uses_left == 0) {
    access_.forget(token);
    return {};
  }
  --found->uses_left;
  return found->client;
}

} // namespace dormouse::samples
