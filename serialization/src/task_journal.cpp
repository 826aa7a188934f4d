#include <dormouse/serialization/task_journal.hpp>
#include <dormouse/serialization/url.hpp>

#include <algorithm>

namespace dormouse {

std::string_view to_string(step_kind kind) noexcept {
  switch (kind) {
  case step_kind::fetch:
    return "fetch";
  case step_kind::call:
    return "call";
  case step_kind::call_own:
    return "own call";
  case step_kind::sleep:
    return "sleep";
  case step_kind::now:
    return "now";
  case step_kind::uuid:
    return "uuid";
  case step_kind::random:
    return "random";
  case step_kind::promise:
    return "promise";
  case step_kind::side_effect:
    return "side effect";
  }
  return "unknown";
}

std::string_view to_string(task_state state) noexcept {
  switch (state) {
  case task_state::running:
    return "running";
  case task_state::stuck:
    return "stuck";
  case task_state::completed:
    return "completed";
  case task_state::failed:
    return "failed";
  case task_state::cancelled:
    return "cancelled";
  }
  return "unknown";
}

std::string to_string(const journal_step& step) {
  std::string out(to_string(step.kind));
  if (step.target.empty()) return out;
  const auto space = std::min(step.target.find(' '), step.target.size() - 1);
  if (step.kind == step_kind::fetch) // "GET https://..."
    return out + ' ' + step.target.substr(0, space + 1) +
           shown_url(std::string_view(step.target).substr(space + 1));
  return out + ' ' + step.target;
}

} // namespace dormouse
