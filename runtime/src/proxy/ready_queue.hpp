#pragma once

/// Which fetch goes next (R12). A fetch goes when its named queue has a free place and its origin has one, is
/// not held and has a token left. Named queues take turns. Within one, of 21 fetches 16 are high, 4 normal
/// and 1 low while there is work of all three, so nothing starves; within a priority the oldest goes first.
/// Picking and adding cost the logarithm of what waits, however many origins there are.
///
/// Times are of the wall clock, in ms, and come from the caller.

#include <dormouse/serialization/request.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace dormouse {

class ready_queue {
public:
  struct origin_rules {
    std::size_t max_in_flight = 256;
    double per_second = 0; ///< 0: no limit of rate
    double burst = 1;      ///< how many may go at once after a pause
  };
  using rules_of = std::function<origin_rules(const std::string& origin)>;

  static constexpr std::int64_t until_told = std::numeric_limits<std::int64_t>::max();

  /// Where a fetch stands. `id` orders by age.
  struct place {
    std::string queue;
    std::string origin;
    fetch_priority priority = fetch_priority::normal;
    std::uint64_t id = 0;
  };

  explicit ready_queue(rules_of rules) : rules_(std::move(rules)) {}
  ready_queue(const ready_queue&) = delete;
  ready_queue& operator=(const ready_queue&) = delete;

  /// Of a named queue; one that was not told of has none.
  void limit_queue(const std::string& queue, std::size_t max_in_flight);

  void add(const place& at, std::int64_t now_ms);

  /// Takes the next one out, and a place of its queue and its origin with it; nothing if all that waits has
  /// to wait on.
  std::optional<std::uint64_t> take(std::int64_t now_ms);

  /// Takes a fetch out that will not go; false if it was not there.
  bool remove(const place& at, std::int64_t now_ms);

  /// Gives the places of one that was taken back.
  void release(const std::string& queue, const std::string& origin, std::int64_t now_ms);

  /// The same for one that did not go out: its token too.
  void release_unused(const std::string& queue, const std::string& origin, std::int64_t now_ms);

  /// Nothing goes to this origin before then.
  void hold(const std::string& origin, std::int64_t until_ms, std::int64_t now_ms);

  /// At most so many at a time, whatever the rules say; nothing: as the rules say.
  void narrow(const std::string& origin, std::optional<std::size_t> max_in_flight, std::int64_t now_ms);

  /// When something that waits for a time may go; `until_told` if nothing does.
  std::int64_t next_ms() const noexcept { return timers_.empty() ? until_told : timers_.begin()->first; }

  std::size_t origins() const noexcept { return origins_.size(); }

private:
  static constexpr std::size_t priorities = 3;

  struct lane;
  struct origin_state;
  using heads = std::set<std::pair<std::uint64_t, lane*>>; ///< the first of each lane that may go

  struct queue_state {
    std::size_t limit = std::numeric_limits<std::size_t>::max();
    std::size_t in_flight = 0;
    std::uint32_t turn = 0; ///< 0..20: whose turn it is
    std::array<heads, priorities> ready;
  };

  /// What waits for one origin in one queue.
  struct lane {
    origin_state* origin = nullptr;
    queue_state* queue = nullptr;
    std::array<std::set<std::uint64_t>, priorities> waiting;
    std::array<std::optional<std::uint64_t>, priorities> offered; ///< how it stands in `ready`
  };

  struct origin_state {
    std::string name;
    origin_rules rules;
    std::optional<std::size_t> narrowed;
    std::size_t in_flight = 0;
    double tokens = 0;
    std::int64_t counted_ms = 0; ///< up to when tokens are counted
    std::int64_t held_ms = 0;
    std::int64_t timer_ms = until_told; ///< how it stands in `timers_`
    std::map<queue_state*, lane> lanes;
  };

  using origin_map = std::unordered_map<std::string, origin_state>;

  origin_map::iterator find_or_add(const std::string& origin, std::int64_t now_ms);
  std::optional<std::uint64_t> take_from(queue_state& queue, std::int64_t now_ms);

  /// Brings what is offered of an origin up to date; forgets one with nothing to do.
  void refresh(origin_map::iterator at, std::int64_t now_ms);
  void set_timer(origin_state& origin, std::int64_t at_ms);

  rules_of rules_;
  std::map<std::string, queue_state> queues_; ///< stays small: they are named in the options
  std::string last_queue_;
  origin_map origins_;
  std::set<std::pair<std::int64_t, origin_state*>> timers_;
};

} // namespace dormouse
