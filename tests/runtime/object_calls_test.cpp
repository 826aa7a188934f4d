// Calls between objects: part of the turn's commit, exactly once in effect, in order, and answered through
// any number of hops (R15).

#include "eventually.hpp"
#include "outcome.hpp"
#include "storage_valve.hpp"
#include "store/keys.hpp"

#include <dormouse/dormouse.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <memory>
#include <numeric>

namespace dormouse::test::object_calls_test {
namespace {

struct debt : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Adds up, refuses what is negative, and can be told to grumble.
class account : public durable_object {
public:
  static inline std::atomic<int> grumbles{0};

  std::int64_t add(std::int64_t amount) {
    if (amount < 0) throw debt("no debts");
    if (grumbles > 0 && grumbles-- > 0) throw std::runtime_error("not now");
    return total_ += amount;
  }
  void note(std::uint32_t number) {
    if (grumbles > 0 && grumbles-- > 0) throw std::runtime_error("not now");
    notes_.push_back(number);
  }
  std::int64_t total() const { return total_; }
  std::vector<std::uint32_t> notes() const { return notes_; }

  template <class Archive> void serialize(Archive& ar) { ar(total_, notes_); }
  using methods = dormouse::methods<"ACCOUNT", method<"add", &account::add>, method<"note", &account::note>,
                                    method<"total", &account::total>, method<"notes", &account::notes>>;

private:
  std::int64_t total_ = 0;
  std::vector<std::uint32_t> notes_;
};

class teller : public durable_object {
public:
  static inline std::atomic<int> grumbles{0};

  later<std::string> deposit(object_id<account> to, std::int64_t amount) {
    return call<&account::add>(to, amount).then<&teller::on_total>(to.instance_id());
  }
  later<std::string> type_of_refusal(object_id<account> to) {
    return call<&account::add>(to, std::int64_t{-1}).then<&teller::on_refusal>();
  }
  std::string on_refusal(call_result<std::int64_t> total) { return total.error().type; }
  later<std::int64_t> hand_on(object_id<account> to, std::int64_t amount) {
    return call<&account::add>(to, amount).then<&teller::on_handed>();
  }
  call_result<std::int64_t> on_handed(call_result<std::int64_t> total) { return total; }
  std::string on_total(call_result<std::int64_t> total, std::string whose) {
    if (grumbles > 0 && grumbles-- > 0) throw std::runtime_error("the teller grumbles");
    ++answers_;
    if (!total) return "failed at " + to_string(total.error().origin) + ": " + total.error().message;
    return whose + " has " + std::to_string(*total);
  }
  later<std::int64_t> look(object_id<account> at) {
    return call<&account::total>(at).then<&teller::on_look>();
  }
  std::int64_t on_look(call_result<std::int64_t> total) { return total.value(); }

  void tell(object_id<account> whom, std::uint32_t from, std::uint32_t to) {
    for (auto each = from; each < to; ++each)
      send<&account::note>(whom, each);
  }
  void tell_all(std::uint32_t many) {
    for (std::uint32_t each = 0; each < many; ++each)
      send<&account::note>(object_id<account>("account-" + std::to_string(each)), each);
  }
  void tell_and_throw(object_id<account> whom) {
    send<&account::note>(whom, 1U);
    throw std::runtime_error("changed my mind");
  }
  void tell_nobody() { send<&account::note>(object_id<account>(""), 1U); }

  /// Calls the teller behind this one, and the last one the account: `hops` tellers in a row.
  later<std::string> pass(std::uint32_t hops, object_id<account> to, std::int64_t amount) {
    if (hops == 0) return call<&account::add>(to, amount).then<&teller::on_total>(to.instance_id());
    return call<&teller::pass>(object_id<teller>(instance_id() + "'"), hops - 1, to, amount)
        .then<&teller::on_passed>();
  }
  /// Returns an error and does not throw it: this turn has nothing to undo.
  call_result<std::string> on_passed(call_result<std::string> what) {
    if (what) *what += "<";
    return what;
  }
  std::uint32_t answers() const { return answers_; }

  template <class Archive> void serialize(Archive& ar) { ar(answers_); }
  using methods = dormouse::methods<
      "TELLER", method<"deposit", &teller::deposit>, method<"type_of_refusal", &teller::type_of_refusal>,
      method<"on_refusal", &teller::on_refusal>, method<"hand_on", &teller::hand_on>,
      method<"on_handed", &teller::on_handed>, method<"on_total", &teller::on_total>,
      method<"look", &teller::look>, method<"on_look", &teller::on_look>, method<"tell", &teller::tell>,
      method<"tell_all", &teller::tell_all>, method<"tell_and_throw", &teller::tell_and_throw>,
      method<"tell_nobody", &teller::tell_nobody>, method<"pass", &teller::pass>,
      method<"on_passed", &teller::on_passed>, method<"answers", &teller::answers>>;

private:
  std::uint32_t answers_ = 0;
};

struct fixture {
  scratch_directory directory;
  options chosen{.directory = directory.path(), .idle_after = std::chrono::milliseconds(0)};
  std::optional<runtime> running;

  fixture() {
    account::grumbles = 0;
    teller::grumbles = 0;
    start();
  }
  void start() {
    running.reset();
    running.emplace(chosen);
    running->define<account>();
    running->define<teller>();
  }
  /// Sends that the account refuses, and that are still in its inbox when the runtime has stopped.
  void leave_in_inbox(const std::string& from, std::uint32_t first, std::uint32_t end) {
    account::grumbles = 1'000'000;
    value_of(a_teller(from).call<&teller::tell>(an_account(), first, end));
    running.reset();
    account::grumbles = 0;
  }
  object_ref<account> an_account(const std::string& id = "a") const { return running->get<account>(id); }
  object_ref<teller> a_teller(const std::string& id = "t") const { return running->get<teller>(id); }
};

} // namespace

TEST_CASE_FIXTURE(fixture, "R15: an object calls another and its caller hears what came of it") {
  CHECK(value_of(a_teller().call<&teller::deposit>(an_account(), 5)) == "a has 5");
  CHECK(value_of(a_teller().call<&teller::deposit>(an_account(), 7)) == "a has 12");
  CHECK(value_of(a_teller().call<&teller::look>(an_account())) == 12);
  CHECK(value_of(a_teller().call<&teller::look>(an_account("never written"))) == 0);
}

TEST_CASE_FIXTURE(fixture, "an error of the called object comes with its origin, and leaves no trace there") {
  const auto said = value_of(a_teller().call<&teller::deposit>(an_account(), -1));
  CHECK(said.find("failed at ACCOUNT/a: ") == 0);
  CHECK(said.find("no debts") != std::string::npos);
  CHECK(value_of(an_account().call<&account::total>()) == 0);
  account::grumbles = 1;
  CHECK(value_of(a_teller().call<&teller::deposit>(an_account(), 3)).find("not now") !=
        std::string::npos); // nothing is tried again behind the caller's back
  CHECK(value_of(an_account().call<&account::total>()) == 0);
}

TEST_CASE_FIXTURE(fixture, "R15: an error travels with its type and its origin, from object to object and to "
                           "who called from outside") {
  CHECK(contains(value_of(a_teller().call<&teller::type_of_refusal>(an_account())), "debt"));
  for (const auto& why : {error_of(an_account().call<&account::add>(-1)),
                          error_of(a_teller().call<&teller::hand_on>(an_account(), -1))}) {
    CHECK(why.code == errc::handler_failed);
    CHECK(contains(why.message, "no debts"));
    CHECK(why.origin == address{"ACCOUNT", "a"});
    CHECK(contains(why.type, "debt"));
    CHECK_FALSE(why.retryable());
    CHECK_FALSE(why.overloaded());
  }
}

TEST_CASE_FIXTURE(fixture,
                  "R15: an answer goes back through many objects, each hop popping itself, errors too") {
  CHECK(value_of(a_teller().call<&teller::pass>(20U, object_id<account>("a"), 5)) ==
        "a has 5" + std::string(20, '<'));
  CHECK(value_of(a_teller().call<&teller::pass>(3U, object_id<account>("a"), -5))
            .find("failed at ACCOUNT/a: ") == 0);
}

TEST_CASE_FIXTURE(fixture, "R15: a path that would become too long is an error that the caller gets") {
  const auto why = error_of(a_teller().call<&teller::pass>(80U, object_id<account>("a"), 5));
  CHECK(why.code == errc::path_too_long);
  CHECK(why.message.find("64") != std::string::npos);
  CHECK(value_of(an_account().call<&account::total>()) == 0);
}

TEST_CASE_FIXTURE(fixture, "R3: what a turn that throws has sent is not sent") {
  CHECK(error_of(a_teller().call<&teller::tell_and_throw>(an_account())).code == errc::handler_failed);
  value_of(a_teller().call<&teller::tell>(an_account(), 7U, 8U));
  CHECK(eventually(
      [&] { return value_of(an_account().call<&account::notes>()) == std::vector<std::uint32_t>{7}; }));
}

TEST_CASE_FIXTURE(
    fixture,
    "sends from one object to another arrive once and in order, while both hibernate after every message") {
  constexpr std::uint32_t rounds = 50;
  constexpr std::uint32_t each = 20;
  for (std::uint32_t i = 0; i < rounds; ++i)
    value_of(a_teller().call<&teller::tell>(an_account(), i * each, (i + 1) * each));
  std::vector<std::uint32_t> expected(rounds * each);
  for (std::uint32_t i = 0; i < expected.size(); ++i)
    expected[i] = i;
  CHECK(eventually([&] { return value_of(an_account().call<&account::notes>()).size() >= expected.size(); }));
  CHECK(value_of(an_account().call<&account::notes>()) == expected);
}

TEST_CASE_FIXTURE(fixture,
                  "R1: what an object sends after a restart does not overtake what it had sent before") {
  constexpr std::uint32_t old = 3'000;
  leave_in_inbox("t", 0, old);
  start();
  value_of(a_teller().call<&teller::tell>(an_account(), old, old + 1));
  std::vector<std::uint32_t> expected(old + 1);
  std::iota(expected.begin(), expected.end(), 0U);
  CHECK(eventually([&] { return value_of(an_account().call<&account::notes>()).size() >= expected.size(); }));
  CHECK(value_of(an_account().call<&account::notes>()) == expected);
}

TEST_CASE_FIXTURE(
    fixture, "R1: sends that become durable while an inbox is being read are delivered once and in order") {
  constexpr std::uint32_t old = 1'000;
  constexpr std::uint32_t rounds = 200;
  leave_in_inbox("t", 0, old);
  auto valve = std::make_shared<storage_valve>();
  valve->hold_scans(keys::inbox_of("ACCOUNT").first);
  {
    gate::closing held(valve->scans);
    running.emplace(chosen, ports{.wrap_engine = valve->wrap(), .wrap_transport = {}});
    running->define<teller>();
    running->define<account>();
    REQUIRE(eventually([&] { return valve->scans.waiting() == 1; }));
    value_of(a_teller().call<&teller::tell>(an_account(), old, old + 1));
    value_of(a_teller().call<&teller::tell>(an_account("b"), 0U, 1U));
    CHECK(value_of(an_account().call<&account::notes>()).empty());
  }
  for (std::uint32_t i = 1; i < rounds; ++i) {
    value_of(a_teller().call<&teller::tell>(an_account(), old + i, old + i + 1));
    value_of(a_teller().call<&teller::tell>(an_account("b"), i, i + 1));
  }
  const auto came = [&](const std::string& id, std::uint32_t many) {
    std::vector<std::uint32_t> expected(many);
    std::iota(expected.begin(), expected.end(), 0U);
    CHECK(eventually([&] { return value_of(an_account(id).call<&account::notes>()).size() >= many; }));
    CHECK(value_of(an_account(id).call<&account::notes>()) == expected);
  };
  came("a", old + rounds);
  came("b", rounds);
  CHECK(eventually([&] { return running->stats().pending_messages == 0; }));
  account::grumbles = 0;
  start();
  CHECK(value_of(an_account("b").call<&account::notes>()).size() == rounds); // nothing was left in an inbox
}

TEST_CASE_FIXTURE(fixture, "R6: an inbox that cannot be read is read on where that failed") {
  constexpr std::uint32_t old = 1'000;
  leave_in_inbox("t", 0, old);
  auto valve = std::make_shared<storage_valve>();
  valve->fail_scans(keys::inbox_of("ACCOUNT").first, 3, 100);
  running.emplace(chosen, ports{.wrap_engine = valve->wrap(), .wrap_transport = {}});
  running->define<account>();
  running->define<teller>();
  value_of(a_teller().call<&teller::tell>(an_account(), old, old + 1));
  std::vector<std::uint32_t> expected(old + 1);
  std::iota(expected.begin(), expected.end(), 0U);
  CHECK(eventually([&] { return value_of(an_account().call<&account::notes>()).size() >= expected.size(); }));
  CHECK(value_of(an_account().call<&account::notes>()) == expected);
  CHECK(valve->failed_reads() == 3);
}

TEST_CASE_FIXTURE(fixture, "ten thousand sends from one turn reach ten thousand objects") {
  constexpr std::uint32_t many = 10'000;
  value_of(a_teller().call<&teller::tell_all>(many));
  for (std::uint32_t i = 0; i < many; ++i)
    REQUIRE(eventually([&] {
      return value_of(an_account("account-" + std::to_string(i)).call<&account::notes>()) ==
             std::vector<std::uint32_t>{i};
    }));
  // What it took is given back.
  CHECK(eventually(
      [&] { return running->stats().active_bytes == 0 && running->stats().pending_messages == 0; }));
}

TEST_CASE_FIXTURE(
    fixture,
    "a turn that sends more than may wait in the runtime has an error at the send, and has sent nothing") {
  chosen.max_pending_messages = 1'000;
  start();
  const auto why = error_of(a_teller().call<&teller::tell_all>(1'001U));
  CHECK(why.code == errc::overloaded);
  CHECK(contains(why.message, "options::max_pending_messages"));
  CHECK(value_of(an_account("account-0").call<&account::notes>()).empty());
  value_of(a_teller().call<&teller::tell_all>(900U));
  CHECK(eventually([&] { return value_of(an_account("account-899").call<&account::notes>()).size() == 1; }));
}

TEST_CASE_FIXTURE(fixture, "R15: a caller that gave up breaks no chain") {
  {
    auto reply = a_teller().call<&teller::pass>(5U, object_id<account>("a"), 5);
    (void)reply.wait_for(std::chrono::milliseconds(0));
  } // nobody will take it
  CHECK(eventually([&] { return value_of(a_teller("t'''''").call<&teller::answers>()) == 1; }));
  CHECK(value_of(an_account().call<&account::total>()) == 5);
  CHECK(eventually([&] { return running->stats().waiting_callers == 0; }));
  CHECK(running->stats().strangers_dropped == 0);
}

TEST_CASE_FIXTURE(
    fixture, "a send whose handler throws is tried again, and becomes a dead letter when it keeps throwing") {
  account::grumbles = 2;
  value_of(a_teller().call<&teller::tell>(an_account(), 1U, 2U));
  CHECK(eventually([&] { return value_of(an_account().call<&account::notes>()).size() == 1; }));
  account::grumbles = 5;
  value_of(a_teller().call<&teller::tell>(an_account(), 2U, 3U));
  REQUIRE(eventually([&] { return running->stats().dead_letters == 1; }));
  const auto letters = running->dead_letters().list();
  REQUIRE(letters.size() == 1);
  CHECK(letters[0].method == "note");
  running->dead_letters().retry(letters[0].id);
  CHECK(eventually([&] {
    return value_of(an_account().call<&account::notes>()) == std::vector<std::uint32_t>{1, 2};
  }));
}

TEST_CASE_FIXTURE(fixture, "R15: when a continuation is given up on, who waits behind it hears of it, and a "
                           "retry answers nobody twice") {
  teller::grumbles = 5;
  // t calls t', whose continuation keeps throwing: t is told, and so is the caller.
  const auto why = error_of(a_teller().call<&teller::pass>(1U, object_id<account>("a"), 5));
  CHECK(why.message.find("the teller grumbles") != std::string::npos);
  CHECK(value_of(an_account().call<&account::total>()) == 5);
  const auto letters = running->dead_letters().list();
  REQUIRE(letters.size() == 1);
  CHECK(letters[0].object == address{"TELLER", "t'"});
  const auto strangers = running->stats().strangers_dropped;
  running->dead_letters().retry(letters[0].id);
  CHECK(eventually([&] { return value_of(a_teller("t'").call<&teller::answers>()) == 1; }));
  CHECK(running->stats().strangers_dropped == strangers);
}

TEST_CASE_FIXTURE(
    fixture, "a call to an id that cannot be, or to a class that is not defined, is an error at the call") {
  CHECK(error_of(a_teller().call<&teller::tell_nobody>()).code == errc::invalid_instance_id);
  running.reset();
  running.emplace(chosen);
  running->define<teller>();
  const auto why = error_of(a_teller().call<&teller::tell>(object_id<account>("a"), 0U, 1U));
  CHECK(why.code == errc::unknown_binding);
  CHECK(why.message.find("ACCOUNT") != std::string::npos);
}

TEST_CASE_FIXTURE(fixture, "calls and answers that a process left behind are carried out by the next one, "
                           "whatever is defined first") {
  running.reset();
  for (int round = 0; round < 20; ++round) {
    running.emplace(chosen);
    if (round % 2 == 0) {
      running->define<teller>();
      running->define<account>();
    } else {
      running->define<account>();
      running->define<teller>();
    }
    std::vector<std::future<std::string>> replies;
    for (int i = 0; i < 20; ++i)
      replies.push_back(a_teller("t" + std::to_string(i)).call<&teller::deposit>(an_account(), 1));
    running.reset(); // in the middle of it
    for (auto& reply : replies)
      try {
        value_of(std::move(reply));
      } catch (const failure&) {
      }
  }
  start();
  // Every deposit that was made has been answered exactly once.
  const auto answers = [&] {
    std::int64_t sum = 0;
    for (int i = 0; i < 20; ++i)
      sum += value_of(a_teller("t" + std::to_string(i)).call<&teller::answers>());
    return sum;
  };
  CHECK(eventually([&] { return value_of(an_account().call<&account::total>()) == answers(); }));
  CHECK(answers() > 0);
}

} // namespace dormouse::test::object_calls_test
