#include "upstream/repo_facts.hpp"

#include "upstream/sample_content.hpp"
#include "upstream/url_text.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <chrono>

namespace dormouse::samples {

namespace {

constexpr std::array<std::string_view, 6> languages{"C", "C++", "Go", "Python", "Rust", "TypeScript"};

constexpr std::string_view repos_prefix = "/repos/";

// RFC 9110, 13.1.2: weak comparison, so W/ makes no difference.
bool matches(std::string_view if_none_match, std::string_view etag) {
  while (!if_none_match.empty()) {
    const auto end = std::min(if_none_match.find(','), if_none_match.size());
    auto each = trimmed(if_none_match.substr(0, end));
    if_none_match.remove_prefix(std::min(if_none_match.size(), end + 1));
    if (each.starts_with("W/")) {
      each.remove_prefix(2);
    }
    if (each == "*" || each == etag) {
      return true;
    }
  }
  return false;
}

void add_rate_limit(reply& to, std::uint64_t limit, std::uint64_t used) {
  using namespace std::chrono;
  const auto in_an_hour = system_clock::now() + hours{1};
  add_header(to, "x-ratelimit-limit", std::to_string(limit));
  add_header(to, "x-ratelimit-remaining", std::to_string(limit - std::min(limit, used)));
  add_header(to, "x-ratelimit-used", std::to_string(std::min(limit, used)));
  add_header(to, "x-ratelimit-reset",
             std::to_string(duration_cast<seconds>(in_an_hour.time_since_epoch()).count()));
}

} // namespace

repo_facts repo_facts_of(std::string_view full_name) {
  const auto value = value_of(full_name);
  repo_facts facts;
  facts.stars = value % 100'000;
  facts.forks = (value >> 20U) % (facts.stars / 4 + 1);
  facts.open_issues = (value >> 40U) % 500;
  facts.language = languages[(value >> 52U) % languages.size()];
  facts.etag = '"' + std::to_string(value) + '"';
  return facts;
}

reply repo_reply(const incoming_request& request, std::uint64_t hit) {
  if (request.method != "GET" && request.method != "HEAD") {
    return wrong_method("GET, HEAD");
  }
  const auto limit = request.plan.rate_limit;
  reply answer;
  if (hit > limit) {
    answer = text_reply(403, "application/json", R"({"message":"API rate limit exceeded"})");
    add_rate_limit(answer, limit, hit);
    return answer;
  }
  const auto full_name = request.plan.key.substr(repos_prefix.size());
  const auto facts = repo_facts_of(full_name);
  if (matches(request.header("if-none-match"), facts.etag)) {
    answer.status = 304;
  } else {
    const auto slash = full_name.find('/');
    const nlohmann::json content{{"full_name", full_name},
                                 {"name", full_name.substr(slash + 1)},
                                 {"owner", {{"login", full_name.substr(0, slash)}}},
                                 {"stargazers_count", facts.stars},
                                 {"forks_count", facts.forks},
                                 {"open_issues_count", facts.open_issues},
                                 {"language", facts.language}};
    answer = text_reply(200, "application/json; charset=utf-8", content.dump());
  }
  add_header(answer, "etag", facts.etag);
  add_header(answer, "cache-control", "public, max-age=60");
  add_rate_limit(answer, limit, hit);
  return answer;
}

} // namespace dormouse::samples
