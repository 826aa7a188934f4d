#pragma once

/// What api.github.com says of a repository, made up from its name: numbers that a
/// test can recompute, an entity tag, and a rate limit that runs out.

#include "upstream/reply.hpp"
#include "upstream/request_reader.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace dormouse::samples {

struct repo_facts {
  std::uint64_t stars = 0;
  std::uint64_t forks = 0;
  std::uint64_t open_issues = 0;
  std::string_view language;
  std::string etag; ///< in its quotes
};

/// `full_name` is "owner/name".
[[nodiscard]] repo_facts repo_facts_of(std::string_view full_name);

/// For the path /repos/<owner>/<name>: 200, 304 on a matching If-None-Match, or 403
/// when `hit` is beyond the plan's rate limit.
[[nodiscard]] reply repo_reply(const incoming_request& request, std::uint64_t hit);

} // namespace dormouse::samples
