#pragma once

/// Messages that were given up on, kept on disk until somebody decides: a result or a post whose handler
/// threw five times, a tick of a schedule whose handler threw seven times, one for a method that the class
/// does not have any more, and rows whose bytes failed their checks.
///
///   for (const auto& letter : runtime.dead_letters().list())
///     if (letter.object.binding == "ORDER") runtime.dead_letters().retry(letter.id);
///
/// All members are thread-safe, block until what they did is durable, and are not for turns and handlers.
/// They throw `failure`: `not_found`, `storage_error`, `stopped`.

#include <dormouse/serialization/address.hpp>
#include <dormouse/serialization/messages.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace dormouse {

class front_desk;

/// How much of a fetch a dead letter shows.
enum class secrets : std::uint8_t {
  hidden, ///< URLs as `shown_url` gives them, and "..." for the value of each `is_secret_header`
  shown,
};

struct dead_letter_failure {
  std::chrono::system_clock::time_point time;
  std::string what;
};

struct dead_letter_entry {
  std::uint64_t id = 0; ///< grows with time
  address object;       ///< whom it was for; empty if that cannot be read
  std::string method;   ///< the wire name of the handler; empty if that cannot be read
  std::string reason;   ///< of the last failure
  std::chrono::system_clock::time_point time;
  std::vector<dead_letter_failure>
      history; ///< how the handler failed each time, and how the process died in it

  std::optional<request_summary> request; ///< of a fetch; its secrets are shown if that is asked for
  std::optional<fetch_result> result;     ///< the same; a large body is left out by `list`
  std::string arguments;                  ///< of a post or a schedule, encoded
};

class dead_letters {
public:
  static constexpr std::size_t most_listed = 1'000;

  explicit dead_letters(std::shared_ptr<front_desk> desk) : desk_(std::move(desk)) {}

  /// The oldest ones with an id greater than `after`, at most `limit` (1..1,000; else
  /// `failure{invalid_request}`). For the next page pass the last id.
  std::vector<dead_letter_entry> list(std::uint64_t after = 0, std::size_t limit = 100,
                                      secrets how = secrets::hidden) const;

  /// One of them, with its whole body. Throws `failure{corrupt}` if the letter itself or the file of its body
  /// is damaged.
  dead_letter_entry get(std::uint64_t id, secrets how = secrets::hidden) const;

  /// Back into the inbox of its object, or, a tick, among its schedules, with all its tries before it; it is
  /// delivered now or, if its class is not defined, when it is. Throws `failure{corrupt}` for one whose bytes
  /// are damaged: it can only be discarded; `failure{unknown_method}` for a post or a call to a method that
  /// the class still does not have.
  void retry(std::uint64_t id);

  void discard(std::uint64_t id);

private:
  std::shared_ptr<front_desk> desk_;
};

} // namespace dormouse
