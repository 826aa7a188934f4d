#pragma once

/// Orders that are worked off by a durable task each: reserve, pay, ship, and undo what was done if a step
/// fails. What each of them has done is in the state of its object, so that one that did something twice, or
/// stopped half way, shows.

#include "crash/crash_settings.hpp"

#include <dormouse/dormouse.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace dormouse::test {

enum class order_fate : std::uint8_t { shipped, refused, returned };

/// What is going to become of it: the upstream is told with each request.
inline order_fate fate_of(std::uint64_t number) {
  return number % 5 == 0 ? order_fate::refused : number % 7 == 0 ? order_fate::returned : order_fate::shipped;
}

inline std::string order_id(std::uint64_t number) { return "order-" + std::to_string(number); }

inline std::string upstream_key(std::string_view what, std::uint64_t number) {
  return std::string(what) + "-" + std::to_string(number);
}

class stock : public durable_object {
public:
  std::int64_t take(std::int64_t pieces) { return taken_ += pieces; }
  std::int64_t taken() const { return taken_; }

  template <class Archive> void serialize(Archive& ar) { ar(taken_); }
  using methods = dormouse::methods<"STOCK", dormouse::method<"take", &stock::take>,
                                    dormouse::method<"taken", &stock::taken>>;

private:
  std::int64_t taken_ = 0;
};

class purchase : public durable_object {
public:
  /// Twice is once.
  void place(std::string upstream, std::uint64_t number) {
    if (!done_.empty()) return;
    done_.emplace_back("placed");
    (void)start<&purchase::work_off>(upstream, number);
  }
  void note(std::string what) { done_.push_back(std::move(what)); }
  const std::vector<std::string>& done() const noexcept { return done_; }
  std::vector<std::string> report() const { return done_; }

  static task<void> work_off(task_context<purchase> self, std::string upstream, std::uint64_t number) {
    co_await self.call<&stock::take>(object_id<stock>("stock"), 1);
    co_await self.call<&purchase::note>("reserved");
    const auto fate = fate_of(number);
    auto paid = ask(self,
                    upstream + "/k/" + upstream_key("pay", number) +
                        (fate == order_fate::refused ? "?status=402" : ""),
                    co_await self.uuid());
    if (!(co_await paid).ok()) {
      co_await self.call<&stock::take>(object_id<stock>("stock"), -1);
      co_await self.call<&purchase::note>("refused");
      co_return;
    }
    co_await self.call<&purchase::note>("paid");
    co_await self.sleep_for(std::chrono::milliseconds(5)); // the parcel is packed
    auto sent = ask(self,
                    upstream + "/k/" + upstream_key("ship", number) +
                        (fate == order_fate::returned ? "?status=409" : ""),
                    co_await self.uuid());
    if (!(co_await sent).ok()) {
      auto refunded = ask(self, upstream + "/k/" + upstream_key("refund", number), co_await self.uuid());
      auto put_back = self.call<&stock::take>(object_id<stock>("stock"), -1);
      co_await all(refunded, put_back);
      co_await self.call<&purchase::note>("returned");
      co_return;
    }
    co_await self.call<&purchase::note>("shipped");
  }

  template <class Archive> void serialize(Archive& ar) { ar(done_); }
  using methods = dormouse::methods<
      "PURCHASE", dormouse::method<"place", &purchase::place>, dormouse::method<"note", &purchase::note>,
      dormouse::method<"report", &purchase::report>, dormouse::method<"work_off", &purchase::work_off>>;

private:
  static operation<response> ask(task_context<purchase> self, const std::string& url,
                                 const std::string& key) {
    return self.fetch(url, {.method = "POST",
                            .retry = {.max_retries = 20, .initial_delay = std::chrono::milliseconds(10)},
                            .idempotency_key = key});
  }

  std::vector<std::string> done_;
};

} // namespace dormouse::test
