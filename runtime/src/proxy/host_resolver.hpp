#pragma once

/// Names to addresses for one worker. The system's resolver blocks, for half a minute where a name server is
/// silent, and cannot be interrupted: each name is looked up once, however many transfers wait for it, on a
/// thread of its own, and of those there is a bounded number. Names under one domain have a quarter of them
/// at the most, so that whoever hands out names that are never answered holds up no others; what finds no
/// thread waits for one. A thread that hangs is left behind when the worker ends, holding nothing of it.
///
/// An answer is kept for a minute; that there is none, for a second.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace boost::asio {
class io_context;
}

namespace dormouse {

/// Belongs to the thread of its loop.
class host_resolver {
public:
  static constexpr std::size_t most_lookups = 64; ///< at a time
  static constexpr std::size_t most_lookups_of_domain = most_lookups / 4;
  static constexpr std::size_t most_kept = 1024; ///< answers; as many again that there is none
  static constexpr std::chrono::seconds keeps_addresses{60};
  static constexpr std::chrono::seconds keeps_failures{1};

  struct answer {
    std::vector<std::string> addresses; ///< as text; one of IPv6 without brackets
    std::string error;                  ///< why there are none
  };
  using lookup = std::function<answer(const std::string& name)>; ///< called on any thread
  using completion = std::function<void(const answer&)>;

  /// What the system's resolver says.
  static answer look_up(const std::string& name);

  explicit host_resolver(boost::asio::io_context& loop, lookup how = &host_resolver::look_up);
  host_resolver(const host_resolver&) = delete;
  host_resolver& operator=(const host_resolver&) = delete;

  /// Waits for nobody; nothing is called any more.
  ~host_resolver();

  /// Null if it has to be asked for. Good until the resolver is used again.
  const answer* known(const std::string& name);

  /// `done` is called once, later, from the loop. The number is for `forget`.
  std::uint64_t ask(const std::string& name, completion done);

  /// Whoever has asked does not want to know any more.
  void forget(const std::string& name, std::uint64_t number);

private:
  struct crew;
  struct kept {
    answer what;
    std::chrono::steady_clock::time_point until;
  };

  void start_lookups();
  void deliver();
  void keep(const std::string& name, const answer& what);

  std::shared_ptr<crew> crew_; ///< what the threads share
  std::unordered_map<std::string, std::vector<std::pair<std::uint64_t, completion>>> asked_;
  std::unordered_map<std::string, kept> kept_;
  std::deque<std::pair<std::chrono::steady_clock::time_point, std::string>> addresses_; ///< in `kept_`
  std::deque<std::pair<std::chrono::steady_clock::time_point, std::string>> failures_;
  std::uint64_t next_number_ = 1;
};

} // namespace dormouse
