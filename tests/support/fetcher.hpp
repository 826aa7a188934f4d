#pragma once

/// A durable object that fetches what it is told to and keeps every result it gets, so that a test can say
/// "exactly one".

#include "eventually.hpp"
#include "outcome.hpp"

#include <dormouse/dormouse.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dormouse::test {

/// One fetch, as a value that can be an argument.
struct order {
  std::string tag; ///< the result is kept under it
  std::string url;
  std::string method = "GET";
  std::string body = {};
  dormouse::headers headers = {};
  std::string idempotency_key = {};
  std::int64_t timeout_ms = 0;  ///< 0: the default
  std::int64_t deadline_ms = 0; ///< 0: none
  std::uint32_t max_retries = 3;
  std::int64_t initial_delay_ms = 10;
  fetch_priority priority = fetch_priority::normal;
  redirect_mode redirect = redirect_mode::follow;
  abort_signal signal = {};
  std::string queue = {};
  std::int64_t delay_ms = 0;
  std::int64_t not_before_ms = 0; ///< since the epoch
  dormouse::delivery delivery = dormouse::delivery::at_least_once;
  dormouse::sharing sharing = dormouse::sharing::none;
  std::string jar = {}; ///< empty: none

  template <class Archive> void serialize(Archive& ar) {
    ar(tag, url, method, body, headers, idempotency_key, timeout_ms, deadline_ms, max_retries,
       initial_delay_ms, priority, redirect);
    ar(signal, queue, delay_ms, not_before_ms, delivery, sharing, jar);
  }

  fetch_init init() const {
    using std::chrono::milliseconds;
    fetch_init out{.method = method,
                   .headers = headers,
                   .retry = {.max_retries = max_retries, .initial_delay = milliseconds(initial_delay_ms)},
                   .redirect = redirect,
                   .idempotency_key = idempotency_key,
                   .priority = priority,
                   .delivery = delivery,
                   .sharing = sharing,
                   .delay = milliseconds(delay_ms),
                   .signal = signal,
                   .queue = queue};
    if (!body.empty()) out.body = body;
    if (timeout_ms != 0) out.timeout = milliseconds(timeout_ms);
    if (deadline_ms != 0) out.deadline = milliseconds(deadline_ms);
    if (not_before_ms != 0)
      out.not_before = std::chrono::system_clock::time_point(milliseconds(not_before_ms));
    return out;
  }
};

class fetcher : public durable_object {
public:
  /// How many continuations are still to throw.
  static inline std::atomic<int> refusals{0};
  static inline std::atomic<int> continuations_run{0};
  /// How often `give_up` and `touch` have begun. Turns of one object run one at a time: when the next one
  /// begins, the commit of this one is on its way.
  static inline std::atomic<int> turns_begun{0};

  void send(order what) {
    ++orders_;
    auto described =
        what.jar.empty() ? fetch(what.url, what.init()) : browser(what.jar).fetch(what.url, what.init());
    described.then<&fetcher::on_result>(what.tag);
  }
  void send_all(std::vector<order> all) {
    for (auto& each : all)
      send(std::move(each));
  }
  void send_and_throw(order what) {
    send(std::move(what));
    throw std::runtime_error("changed my mind");
  }
  /// A body that is made here: what comes as an argument is bounded too.
  void send_bytes(order what, std::uint64_t bytes) {
    what.body = std::string(bytes, 'b');
    send(std::move(what));
  }
  void on_result(fetch_result result, std::string tag) {
    ++continuations_run;
    results_[tag].push_back(std::move(result));
    sequence_.push_back(tag);
    refuse();
  }

  void give_up(abort_controller which, std::string why) {
    ++turns_begun;
    abort(which, std::move(why));
  }
  void send_then_give_up(order what, abort_controller which, std::string why) {
    send(std::move(what));
    give_up(which, std::move(why));
  }
  void give_up_then_send(abort_controller which, std::string why, order what) {
    give_up(which, std::move(why));
    send(std::move(what));
  }
  void give_up_and_throw(abort_controller which) {
    give_up(which, "changed my mind");
    throw std::runtime_error("changed my mind");
  }
  void leave() { destroy(); }
  bool has_given_up(abort_signal signal) const { return aborted(signal); }
  void touch() { ++turns_begun; }

  later<std::string> ask(order what) {
    ++orders_;
    return fetch(what.url, what.init()).then<&fetcher::on_answer>();
  }
  std::string on_answer(fetch_result result) {
    ++continuations_run;
    ++answers_;
    refuse();
    return result ? result->text() : std::string(to_string(result.error().code));
  }
  /// Two fetches, one behind the other, and the reply behind both.
  later<std::string> ask_twice(order what) {
    auto url = what.url;
    return fetch(what.url, what.init()).then<&fetcher::on_first>(url);
  }
  later<std::string> on_first(fetch_result, std::string url) {
    return fetch(url).then<&fetcher::on_answer>();
  }

  std::vector<fetch_result> results(std::string tag) const {
    auto found = results_.find(tag);
    return found == results_.end() ? std::vector<fetch_result>() : found->second;
  }
  /// Tags in the order their results came.
  std::vector<std::string> sequence() const { return sequence_; }
  std::uint64_t count() const { return sequence_.size(); }
  std::uint32_t orders() const { return orders_; }
  std::uint32_t answers() const { return answers_; }

  template <class Archive> void serialize(Archive& ar) { ar(results_, sequence_, orders_, answers_); }

  using methods =
      dormouse::methods<"FETCHER", method<"send", &fetcher::send>, method<"send_all", &fetcher::send_all>,
                        method<"send_and_throw", &fetcher::send_and_throw>,
                        method<"send_bytes", &fetcher::send_bytes>, method<"on_result", &fetcher::on_result>,
                        method<"give_up", &fetcher::give_up>,
                        method<"send_then_give_up", &fetcher::send_then_give_up>,
                        method<"give_up_then_send", &fetcher::give_up_then_send>,
                        method<"give_up_and_throw", &fetcher::give_up_and_throw>,
                        method<"has_given_up", &fetcher::has_given_up>, method<"touch", &fetcher::touch>,
                        method<"leave", &fetcher::leave>, method<"ask", &fetcher::ask>,
                        method<"on_answer", &fetcher::on_answer>, method<"ask_twice", &fetcher::ask_twice>,
                        method<"on_first", &fetcher::on_first>, method<"results", &fetcher::results>,
                        method<"sequence", &fetcher::sequence>, method<"count", &fetcher::count>,
                        method<"orders", &fetcher::orders>, method<"answers", &fetcher::answers>>;

private:
  static void refuse() {
    if (refusals > 0 && refusals-- > 0) throw std::runtime_error("the continuation refuses");
  }

  std::map<std::string, std::vector<fetch_result>> results_;
  std::vector<std::string> sequence_;
  std::uint32_t orders_ = 0;
  std::uint32_t answers_ = 0;
};

/// Waits until a result has come under the tag. Throws if it does not, or if there is more than one.
inline fetch_result result_under(const object_ref<fetcher>& object, const std::string& tag) {
  std::vector<fetch_result> all;
  if (!eventually([&] {
        all = value_of(object.call<&fetcher::results>(tag));
        return !all.empty();
      }))
    throw std::runtime_error("no result for " + tag);
  if (all.size() != 1) throw std::runtime_error("more than one result for " + tag);
  return std::move(all.front());
}

/// Sends an order, its tag being its key, and waits for the result.
inline fetch_result fetched(const object_ref<fetcher>& object, order what) {
  auto tag = what.tag;
  value_of(object.call<&fetcher::send>(std::move(what)));
  return result_under(object, tag);
}

/// The error of a result. Throws if it is a response.
inline fetch_error failed(const fetch_result& result) {
  if (result)
    throw std::runtime_error("a response where an error was expected: " + std::to_string(result->status()));
  return result.error();
}

/// The response of a result. Throws if it is an error.
inline response answered(const fetch_result& result) {
  if (!result) throw std::runtime_error("an error where a response was expected: " + result.error().message);
  return *result;
}

inline bool all_came(const object_ref<fetcher>& object, std::uint64_t count) {
  return eventually([&] { return value_of(object.call<&fetcher::count>()) >= count; });
}

} // namespace dormouse::test
