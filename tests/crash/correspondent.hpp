#pragma once

/// Objects that write to each other in every way there is, and remember what they sent and what came:
/// numbered notes, calls with a time limit of which half are too late, tasks with a promise, a side effect
/// and a new journal. What comes twice, not at all, or out of turn shows in their states.

#include "crash/crash_settings.hpp"

#include <dormouse/dormouse.hpp>

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace dormouse::test {

inline constexpr std::uint64_t correspondent_count = 10;

inline std::string correspondent_id(std::uint64_t index) { return "c" + std::to_string(index); }
inline std::string order_key(std::uint64_t number) { return "order-" + std::to_string(number); }

inline options correspondent_options(const std::filesystem::path& directory) {
  auto out = crash_options(directory);
  out.task_results_kept_for = std::chrono::milliseconds(0);
  out.call_results_kept_for = std::chrono::hours(1);
  return out;
}

class clerk : public durable_object {
public:
  void take(std::string from, std::uint64_t number) {
    auto& last = last_[from];
    out_of_turn_ += number == last + 1 ? 0 : 1;
    last = number;
  }
  void confirm(promise_id<std::uint64_t> whom, std::uint64_t number) { resolve(whom, number); }

  std::uint64_t last_of(std::string from) const { return last_.contains(from) ? last_.at(from) : 0; }
  std::uint64_t out_of_turn() const { return out_of_turn_; }

  static task<std::uint64_t> look_up(task_context<clerk> self, std::int64_t ms) {
    if (ms > 0) co_await self.sleep_for(std::chrono::milliseconds(ms));
    co_return 1;
  }

  template <class Archive> void serialize(Archive& ar) { ar(last_, out_of_turn_); }
  using methods = dormouse::methods<
      "CLERK", dormouse::method<"take", &clerk::take>, dormouse::method<"confirm", &clerk::confirm>,
      dormouse::method<"last_of", &clerk::last_of>, dormouse::method<"out_of_turn", &clerk::out_of_turn>,
      dormouse::method<"look_up", &clerk::look_up>>;

private:
  std::map<std::string, std::uint64_t> last_;
  std::uint64_t out_of_turn_ = 0;
};

class correspondent : public durable_object {
public:
  void write() {
    const auto number = ++sent_;
    const auto to = object_id<clerk>("clerk");
    send<&clerk::take>(to, instance_id(), number);
    const bool comes_late = number % 2 == 0;
    outcomes_.push_back(0);
    call<&clerk::look_up>(to, std::int64_t{comes_late ? 40 : 0})
        .within(std::chrono::milliseconds(comes_late ? 5 : 60'000))
        .then<&correspondent::on_answer>(number);
    if (number % 4 == 1) {
      ++begun_;
      (void)start<&correspondent::round>(std::uint32_t{3});
    }
  }
  void on_answer(call_result<std::uint64_t> answer, std::uint64_t number) {
    ++outcomes_.at(number - 1);
    wrong_ += answer.has_value() || answer.error().code == errc::timeout ? 0 : 1;
  }

  /// With a key.
  std::uint64_t order() { return ++orders_; }

  void end_round() { ++ended_; }
  static task<void> round(task_context<correspondent> self, std::uint32_t times) {
    const auto number = co_await self.side_effect([times] { return std::uint64_t{times}; });
    auto confirmed = self.promise<std::uint64_t>();
    co_await self.call<&clerk::confirm>(object_id<clerk>("clerk"), confirmed.id(), number);
    if (co_await confirmed != times) throw std::logic_error("another number was confirmed");
    if (times > 1) co_await self.continue_as<&correspondent::round>(times - 1);
    co_await self.call<&correspondent::end_round>();
  }

  std::uint64_t sent() const { return sent_; }
  std::vector<std::uint32_t> outcomes() const { return outcomes_; }
  std::uint64_t orders() const { return orders_; }
  std::uint64_t unfinished() const { return begun_ - ended_ + wrong_; }

  template <class Archive> void serialize(Archive& ar) {
    ar(sent_, outcomes_, wrong_, orders_, begun_, ended_);
  }
  using methods = dormouse::methods<"CORRESPONDENT", dormouse::method<"write", &correspondent::write>,
                                    dormouse::method<"on_answer", &correspondent::on_answer>,
                                    dormouse::method<"order", &correspondent::order>,
                                    dormouse::method<"end_round", &correspondent::end_round>,
                                    dormouse::method<"round", &correspondent::round>,
                                    dormouse::method<"sent", &correspondent::sent>,
                                    dormouse::method<"outcomes", &correspondent::outcomes>,
                                    dormouse::method<"orders", &correspondent::orders>,
                                    dormouse::method<"unfinished", &correspondent::unfinished>>;

private:
  std::uint64_t sent_ = 0;
  std::vector<std::uint32_t> outcomes_; ///< of calls: how often
  std::uint64_t wrong_ = 0;
  std::uint64_t orders_ = 0;
  std::uint64_t begun_ = 0;
  std::uint64_t ended_ = 0;
};

} // namespace dormouse::test
