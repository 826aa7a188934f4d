#include <dormouse/actors/user_code.hpp>

#include <fmt/format.h>

#include <utility>

namespace dormouse {
namespace {

constinit thread_local const user_code* innermost = nullptr;

} // namespace

std::string to_string(const user_code& what) {
  return fmt::format("{}{}{}{}{}{}", what.role, what.scope, what.scope.empty() ? "" : ".", what.name,
                     what.object != nullptr ? " of object " : "",
                     what.object != nullptr ? to_string(*what.object) : std::string());
}

const user_code* running_user_code() noexcept { return innermost; }

user_code_mark::user_code_mark(const user_code& what) noexcept : before_(std::exchange(innermost, &what)) {}

user_code_mark::~user_code_mark() { innermost = before_; }

error describe_thrown(const user_code& by) noexcept {
  try {
    auto why = describe_caught(by.object != nullptr ? *by.object : address());
    if (why.type.empty()) return why; // a failure: it says all itself
    const bool is_exception = !why.message.starts_with("something that is not a std::exception");
    why.message = fmt::format("{} threw{}{}", to_string(by), is_exception ? ": " : " ", why.message);
    return why;
  } catch (...) { // no memory to say more
    return {errc::handler_failed, {}};
  }
}

void refuse_to_wait(std::string_view what) {
  if (innermost == nullptr) return;
  throw failure({errc::would_block,
                 fmt::format("{} waits for {}, and may wait for its own thread: user code of the runtime "
                             "must not block",
                             to_string(*innermost), what),
                 innermost->object != nullptr ? *innermost->object : address()});
}

} // namespace dormouse
