#pragma once

/// Callers whose reply comes later (R15). What is on disk is a number at the bottom of the return path; who
/// that is, only this process knows. A caller that died with its process leaves a number that finds nobody.

#include <dormouse/actors/router.hpp>
#include <dormouse/serialization/call_result.hpp>
#include <dormouse/serialization/return_path.hpp>

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

namespace dormouse {

class store;

/// Somebody who waited, and what they get.
struct waiting_reply {
  return_path path;
  call_result<std::string> reply;
};

class waiting_callers {
public:
  /// The hop that leads back to the caller; `id` is unique for ever.
  return_address add(std::uint64_t id, std::unique_ptr<reply_sink> sink);

  /// Whether a hop leads to a caller rather than to an object.
  static bool is_caller(const return_address& hop) noexcept { return hop.object.binding.empty(); }

  /// Whether it leads to a caller of an earlier process, who is gone.
  static bool is_of_the_past(const return_address& hop, const store& in);

  /// The caller, who is then no longer waiting; null if gone.
  std::unique_ptr<reply_sink> take(const return_address& hop);

  // Several may wait for one reply, that to a call with an idempotency key, and find it again after a
  // restart: they wait under the hop that it comes back to (call_memory.hpp).
  void add_to(const return_address& hop, std::unique_ptr<reply_sink> sink);
  std::vector<std::unique_ptr<reply_sink>> take_all(const return_address& hop);

  /// Tells everybody that no reply will come.
  void fail_all(const error& why);

  std::size_t size() const;

private:
  mutable std::mutex mutex_;
  std::unordered_map<std::uint64_t, std::unique_ptr<reply_sink>> sinks_;
  std::unordered_multimap<std::string, std::unique_ptr<reply_sink>> shared_; ///< by the encoded hop
};

} // namespace dormouse
