#pragma once

/// The one place where the runtime calls code of the program's: handlers, hooks, constructors, `serialize`,
/// tasks, the handlers of asynchronous calls, observers (R32).
///
/// Such code may throw anything, and may do what it must not, like waiting for a future whose turn needs the
/// very thread that waits. So whoever calls it says what it is, `run_user_code({&where, "COUNTER", "add"},
/// [&] { ... })`: what it throws, whatever that is, comes back as an `error`, and while it runs its thread
/// knows that it is in user code, and in which (`running_user_code`).

#include <dormouse/serialization/error.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace dormouse {

/// What is run. A view: it lives as long as the run.
struct user_code {
  const address* object = nullptr; ///< null: it belongs to none
  std::string_view scope;          ///< the class of a method; empty: a hook, a constructor, an observer
  std::string_view name;
  std::string_view role = {}; ///< "the handler of an async_call of ", in front of the name
};

/// `"COUNTER.add of object COUNTER/x"`.
std::string to_string(const user_code& what);

/// What runs on this thread, the innermost; null if nothing does.
const user_code* running_user_code() noexcept;

/// Says that it runs, as long as this lives.
class user_code_mark {
public:
  explicit user_code_mark(const user_code& what) noexcept;
  user_code_mark(const user_code_mark&) = delete;
  user_code_mark& operator=(const user_code_mark&) = delete;
  ~user_code_mark();

private:
  const user_code* before_;
};

/// What is being handled in a `catch (...)`, as the error of that code: a `failure` keeps its error, anything
/// else is `handler_failed` with the type and a text that names the code.
error describe_thrown(const user_code& by) noexcept;

/// Runs it. Nothing, or what it threw.
template <class F> std::optional<error> run_user_code(const user_code& what, F&& body) noexcept {
  const user_code_mark mark(what);
  try {
    std::forward<F>(body)();
    return std::nullopt;
  } catch (...) {
    return describe_thrown(what);
  }
}

/// Throws `failure{would_block}` in user code: what waits there may wait for its own thread. `what`:
/// `"runtime::stop()"`.
void refuse_to_wait(std::string_view what);

} // namespace dormouse
