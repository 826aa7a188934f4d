#pragma once

/// Results and answers that come too late: for an object that was destroyed after it had asked.
///
/// A hop of a return path names the life of the object that asked (return_path.hpp). When what was asked for
/// comes, and the object under that address is another one, or there is none, it is dropped and counted. It
/// must not wake the object either: that would create it. Whoever waits behind the object, a caller or
/// another object, is told that it is gone.

#include "host/actor_messages.hpp"
#include "host/runtime_core.hpp"
#include "store/committer.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dormouse {

/// What is asked from outside of the object's turns, to be answered to it, is for the life that is stored
/// now; if there is none, for the next. Error: `storage_error` if it cannot be told which that is.
expected<void> aim_at_stored_life(runtime_core& core, return_path& path);

/// The jar that goes along with what `asker` has asked for, encoded: empty if there is none, or if the life
/// that asked has ended, whose jars have ended with it. Errors: `corrupt`, `storage_error`.
expected<std::string> load_jar_of_life(runtime_core& core, const return_address& asker,
                                       std::string_view name);

/// Whether it is for another life than this.
bool is_late(const envelope& what, std::uint64_t incarnation) noexcept;

/// Whether it makes no object that is not there: it is for a certain life, or about a task that an object
/// must have begun.
bool creates_nothing(const envelope& what) noexcept;

/// Takes what is late out of the inbox.
class late_result_commit final : public pending_commit {
public:
  late_result_commit(runtime_core& core, const address& gone, envelope& what);

  void settle(const expected<void>& outcome) noexcept override;

private:
  runtime_core& core_;
  error why_;
  std::vector<std::unique_ptr<reply_sink>> callers_; ///< who waited behind the object, if anybody
  std::optional<delivery_order> waiting_object_;     ///< the same, if it is an object
  std::unique_ptr<result_message> dropped_;          ///< of a fetch
};

} // namespace dormouse
