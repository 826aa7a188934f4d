// Giving up on a fetch, wherever it is by then. That there is one result is said by `result_under`, which
// throws at a second one.

#include "disk.hpp"
#include "movable_clock.hpp"
#include "storage_valve.hpp"
#include "store/store.hpp"
#include "upstream_fixture.hpp"

#include <dormouse/serialization/codec.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dormouse::test::abort_test {

using namespace std::chrono_literals;

namespace {

/// Keeps its controller in its state, as the documentation has it.
class quitter : public durable_object {
public:
  void ask(std::string url) { fetch(url, {.signal = stop_.signal()}).then<&quitter::on_answer>(); }
  void give_up(std::string why) { abort(stop_, std::move(why)); }
  void on_answer(fetch_result result) { answers_.push_back(result ? "response" : result.error().message); }
  std::vector<std::string> answers() const { return answers_; }
  bool has_given_up() const { return aborted(stop_.signal()); }

  template <class Archive> void serialize(Archive& ar) { ar(stop_, answers_); }

  using methods =
      dormouse::methods<"QUITTER", method<"ask", &quitter::ask>, method<"give_up", &quitter::give_up>,
                        method<"on_answer", &quitter::on_answer>, method<"answers", &quitter::answers>,
                        method<"has_given_up", &quitter::has_given_up>>;

private:
  abort_controller stop_;
  std::vector<std::string> answers_;
};

/// Only to be defined: who has defined it knows that the dispatcher has seen to everything that came before.
class nobody : public durable_object {
public:
  void nothing() {}
  using methods = dormouse::methods<"NOBODY", method<"nothing", &nobody::nothing>>;
};

struct fixture : upstream_fixture {
  abort_controller stop;

  /// Under `stop`, whose controller is the test's.
  order stoppable(const std::string& name, const std::string& parameters = "") const {
    auto out = key(name, parameters);
    out.signal = stop.signal();
    return out;
  }

  /// One that holds the only place of its origin.
  order in_front() const { return key("in front", "mode=hang"); }

  options one_place() const {
    auto chosen = settings();
    chosen.max_in_flight_per_origin = 1;
    return chosen;
  }

  /// That the result under the tag is an abort for this reason, and the only one.
  fetch_error aborted_for(const object_ref<fetcher>& object, const std::string& tag,
                          const std::string& reason) const {
    const auto why = failed(result_under(object, tag));
    CHECK(to_string(why.code) == "ABORTED");
    CHECK(contains(why.message, reason));
    return why;
  }

  bool came(const std::string& name, std::uint64_t hits = 1) const {
    return eventually([&] { return upstream.hits(name) == hits; });
  }

  static storage_valve::filter row(const std::string& key) {
    return [key](const write_op& op) { return op.key == key; };
  }
};

void give_up(const object_ref<fetcher>& object, const abort_controller& which, const std::string& why) {
  value_of(object.call<&fetcher::give_up>(which, why));
}

} // namespace

// --- where it is by then -----------------------------------------------------------------------------------

TEST_CASE_FIXTURE(fixture,
                  "R14: an abort ends a fetch that waits behind a full origin, and it is never sent") {
  runtime running(one_place());
  auto mine = object(running);
  value_of(mine.call<&fetcher::send>(in_front()));
  REQUIRE(came("in front"));
  value_of(mine.call<&fetcher::send_all>(std::vector{stoppable("a"), stoppable("b"), key("stays")}));
  give_up(mine, stop, "the user left");
  for (const std::string name : {"a", "b"}) {
    const auto why = aborted_for(mine, name, "the user left");
    CHECK(why.sent == sent_state::no);
    CHECK(why.attempts == 0);
  }
  CHECK(running.stats().aborted == 2);
  CHECK(running.stats().queued_fetches == 2);
  CHECK(running.stats().fetch_errors == 2);
  CHECK(value_of(mine.call<&fetcher::count>()) == 2);
  CHECK(upstream.total() == 1);
}

TEST_CASE_FIXTURE(fixture, "R14: an abort ends a fetch that waits for its retry") {
  runtime running(settings());
  auto mine = object(running);
  value_of(mine.call<&fetcher::send>(stoppable("a", "status=503&retry_after=250")));
  REQUIRE(eventually([&running] { return running.stats().retries == 1; }));
  give_up(mine, stop, "enough");
  const auto why = aborted_for(mine, "a", "enough");
  CHECK(why.sent != sent_state::no);
  CHECK(why.attempts == 1);
  CHECK(upstream.hits("a") == 1);
  CHECK(running.stats().queued_fetches == 0);
}

TEST_CASE_FIXTURE(fixture, "R14: an abort ends a fetch in flight: the other side sees the connection closed, "
                           "and the place is free") {
  runtime running(one_place());
  auto mine = object(running);
  for (const std::string method : {"GET", "POST"}) {
    CAPTURE(method);
    const abort_controller now;
    auto what = key(method, "mode=hang");
    what.method = method;
    what.signal = now.signal();
    value_of(mine.call<&fetcher::send>(what));
    REQUIRE(came(method));
    REQUIRE(upstream.summary().in_flight == 1);
    give_up(mine, now, "no time");
    const auto why = aborted_for(mine, method, "no time");
    CHECK(why.sent == sent_state::maybe);
    CHECK(why.attempts == 1);
    CHECK(eventually(
        [this] { return upstream.summary().in_flight == 0 && upstream.summary().connections == 0; }));
    CHECK(running.stats().in_flight_fetches == 0);
    CHECK(upstream.hits(method) == 1);
  }
  CHECK(answered(fetched(mine, key("next"))).ok());
  running.stop();
  disk rows(directory.path());
  for (char kind : {'A', 'E', 'G', 'I', 'Q'}) {
    CAPTURE(kind);
    CHECK(rows.count(kind) == 0);
  }
}

TEST_CASE_FIXTURE(fixture,
                  "R14: an abort while the answer is arriving ends it, however much of it has come") {
  runtime running(settings());
  auto mine = object(running);
  value_of(
      mine.call<&fetcher::send>(stoppable("a", "mode=slow_body&bytes=3000000&chunks=1000&chunk_ms=100")));
  REQUIRE(came("a"));
  give_up(mine, stop, "too much");
  CHECK(aborted_for(mine, "a", "too much").sent == sent_state::maybe);
  CHECK(eventually([this] { return upstream.summary().connections == 0; }));
  running.stop();
  CHECK(std::filesystem::is_empty(directory.path() / "blobs"));
}

TEST_CASE_FIXTURE(fixture, "R14: an abort finds fetches that are only on disk, beyond the window") {
  constexpr int fetches = 30;
  auto chosen = settings();
  chosen.max_in_flight = 1;
  chosen.max_window = 2;
  {
    runtime running(chosen);
    auto mine = object(running);
    std::vector<order> orders{in_front()};
    for (int i = 0; i < fetches; ++i)
      orders.push_back(stoppable(std::to_string(i)));
    value_of(mine.call<&fetcher::send_all>(orders));
    REQUIRE(came("in front"));
    give_up(mine, stop, "all of them");
    for (int i = 0; i < fetches; ++i)
      CHECK(aborted_for(mine, std::to_string(i), "all of them").sent == sent_state::no);
    CHECK(running.stats().aborted == fetches);
    CHECK(running.stats().queued_fetches == 1);
    CHECK(value_of(mine.call<&fetcher::count>()) == fetches);
  }
  CHECK(upstream.total() == 1);
  disk rows(directory.path());
  CHECK(rows.count('G') == 0);
  CHECK(rows.count('S') == 1);
  CHECK(rows.count('Q') == 1);
}

TEST_CASE_FIXTURE(fixture, "R14: an abort finds a fetch that is to go out tomorrow") {
  runtime running(settings());
  auto mine = object(running);
  auto what = stoppable("a");
  what.delay_ms = 86'400'000;
  value_of(mine.call<&fetcher::send>(what));
  give_up(mine, stop, "not needed");
  CHECK(aborted_for(mine, "a", "not needed").sent == sent_state::no);
  CHECK(running.stats().queued_fetches == 0);
}

TEST_CASE_FIXTURE(fixture, "R14: a fetch with a large body that is aborted leaves no file") {
  runtime running(one_place());
  auto mine = object(running);
  value_of(mine.call<&fetcher::send>(in_front()));
  REQUIRE(came("in front"));
  auto what = stoppable("a");
  what.method = "PUT";
  value_of(mine.call<&fetcher::send_bytes>(what, std::uint64_t{500'000}));
  CHECK_FALSE(std::filesystem::is_empty(directory.path() / "blobs"));
  give_up(mine, stop, "why");
  aborted_for(mine, "a", "why");
  running.stop();
  CHECK(std::filesystem::is_empty(directory.path() / "blobs"));
  CHECK(disk(directory.path()).count('B') == 0);
}

// The abort becomes durable before the mark, in one batch: so it is heard while the mark is being written.
TEST_CASE_FIXTURE(
    fixture,
    "R9: a POST that is aborted while its mark is being written does not go out, and leaves no mark") {
  auto valve = std::make_shared<storage_valve>();
  runtime running(one_place(), {.wrap_engine = valve->wrap(), .wrap_transport = {}});
  auto mine = object(running);
  auto occupant = in_front();
  occupant.max_retries = 0;
  auto post = stoppable("a");
  post.method = "POST";
  value_of(mine.call<&fetcher::send_all>(std::vector{occupant, post}));
  REQUIRE(came("in front"));

  valve->hold_writes(row(keys::object({"FETCHER", "z"})));
  gate::closing held(valve->writes);
  auto holding = running.get<fetcher>("z").call<&fetcher::touch>();
  REQUIRE(eventually([&valve] { return valve->writes.waiting() == 1; }));
  auto given_up = running.get<fetcher>("y").call<&fetcher::give_up>(stop, std::string("changed my mind"));
  auto behind = running.get<fetcher>("y").call<&fetcher::touch>();
  REQUIRE(eventually([] { return fetcher::turns_begun == 3; }));
  upstream.stop(); // gives the place to the POST
  REQUIRE(eventually([&running] { return running.stats().in_flight_fetches == 0; }));
  running.define<nobody>();
  valve->writes.open();

  const auto why = aborted_for(mine, "a", "changed my mind");
  CHECK(why.sent == sent_state::no);
  CHECK(why.attempts == 0);
  CHECK(running.stats().attempts == 1);
  value_of(std::move(given_up));
  value_of(std::move(behind));
  value_of(std::move(holding));
  upstream.start();
  CHECK(answered(fetched(mine, key("next"))).ok());
  CHECK(upstream.hits("a") == 0);
  running.stop();
  CHECK(disk(directory.path()).count('A') == 0);
}

TEST_CASE_FIXTURE(
    fixture,
    "R14: a fetch that is aborted while it moves to its retry, by two signals at once, ends there and once") {
  auto valve = std::make_shared<storage_valve>();
  runtime running(settings(), {.wrap_engine = valve->wrap(), .wrap_transport = {}});
  auto mine = object(running);
  auto what = stoppable("a", "mode=hang");
  const abort_controller another;
  what.signal = abort_signal::any({stop.signal(), another.signal()});
  what.initial_delay_ms = 60'000;
  value_of(mine.call<&fetcher::send>(what));
  REQUIRE(came("a"));

  valve->hold_writes(row(keys::object({"FETCHER", "z"})));
  gate::closing held(valve->writes);
  auto holding = running.get<fetcher>("z").call<&fetcher::touch>();
  REQUIRE(eventually([&valve] { return valve->writes.waiting() == 1; }));
  auto given_up = running.get<fetcher>("y").call<&fetcher::give_up>(stop, std::string("changed my mind"));
  auto also = running.get<fetcher>("x").call<&fetcher::give_up>(another, std::string("changed my mind"));
  auto behind = running.get<fetcher>("y").call<&fetcher::touch>();
  auto behind_also = running.get<fetcher>("x").call<&fetcher::touch>();
  REQUIRE(eventually([] { return fetcher::turns_begun == 5; }));
  upstream.stop();
  REQUIRE(eventually([&running] { return running.stats().retries == 1; }));
  running.define<nobody>();
  valve->writes.open();

  CHECK(aborted_for(mine, "a", "changed my mind").attempts == 1);
  value_of(std::move(given_up));
  for (auto* each : {&also, &behind, &behind_also, &holding})
    value_of(std::move(*each));
  CHECK(running.stats().queued_fetches == 0);
  running.stop();
  disk rows(directory.path());
  CHECK(rows.count('Q') == 0);
  CHECK(rows.count('G') == 0);
}

// --- hibernation and restart -------------------------------------------------------------------------------

TEST_CASE_FIXTURE(fixture,
                  "R5: a controller in an object's state aborts after hibernation and after a restart") {
  {
    runtime running(settings());
    running.define<quitter>();
    auto a = running.get<quitter>("a");
    value_of(a.call<&quitter::ask>(at("/k/a?mode=hang")));
    value_of(running.get<quitter>("b").call<&quitter::ask>(at("/k/b?mode=hang")));
    REQUIRE(came("a"));
    REQUIRE(came("b"));
    REQUIRE(eventually([&running] { return running.stats().active_objects == 0; }));
    CHECK_FALSE(value_of(a.call<&quitter::has_given_up>()));
    REQUIRE(eventually([&running] { return running.stats().active_objects == 0; }));
    value_of(a.call<&quitter::give_up>(std::string("slept over it")));
    REQUIRE(eventually([&a] { return value_of(a.call<&quitter::answers>()).size() == 1; }));
    CHECK(contains(value_of(a.call<&quitter::answers>()).front(), "slept over it"));
    CHECK(value_of(a.call<&quitter::has_given_up>()));
  }
  runtime running(settings());
  running.define<quitter>();
  auto b = running.get<quitter>("b");
  REQUIRE(came("b", 2)); // it goes out again
  value_of(b.call<&quitter::give_up>(std::string("another day")));
  REQUIRE(eventually([&b] { return value_of(b.call<&quitter::answers>()).size() == 1; }));
  CHECK(contains(value_of(b.call<&quitter::answers>()).front(), "another day"));
  CHECK(value_of(running.get<quitter>("a").call<&quitter::answers>()).size() == 1);
  CHECK(eventually([this] { return upstream.summary().in_flight == 0; }));
}

TEST_CASE_FIXTURE(fixture, "R14: an abort that was the last thing a process committed is heard by the next") {
  auto chosen = settings();
  chosen.max_in_flight = 2;
  chosen.max_window = 4;
  auto tomorrow = stoppable("tomorrow");
  tomorrow.delay_ms = 86'400'000;
  auto out = stoppable("POST in flight", "mode=hang");
  out.method = "POST";
  std::vector<order> orders{stoppable("in flight", "mode=hang"), out, tomorrow};
  for (int i = 0; i < 10; ++i)
    orders.push_back(stoppable(std::to_string(i)));
  auto post = stoppable("post");
  post.method = "POST";
  orders.push_back(post);
  orders.push_back(key("other", "mode=hang&fail_first=1"));
  {
    runtime running(chosen);
    value_of(object(running).call<&fetcher::send_all>(orders));
    REQUIRE(came("in flight"));
    REQUIRE(came("POST in flight"));
  }
  const abort_mark mark{std::chrono::duration_cast<std::chrono::milliseconds>(
                            std::chrono::system_clock::now().time_since_epoch())
                            .count(),
                        "the last word"};
  disk(directory.path()).put(keys::abort_mark(stop.id()), seal_value(frame_type::abort_mark, mark));
  {
    runtime running(chosen);
    auto mine = object(running);
    for (const auto& each : orders)
      if (each.tag != "other") {
        CAPTURE(each.tag);
        const bool has_mark_if_sent = each.tag == "post";
        CHECK(aborted_for(mine, each.tag, "the last word").sent ==
              (has_mark_if_sent ? sent_state::no : sent_state::maybe));
      }
    REQUIRE(came("other"));
    CHECK(upstream.total() == 3);
    CHECK(running.stats().aborted == orders.size() - 1);
    CHECK(running.stats().queued_fetches == 1);
  }
  disk rows(directory.path());
  CHECK(rows.count('G') == 0);
  CHECK(rows.count('A') == 0);
}

TEST_CASE_FIXTURE(
    fixture, "R14: an abort and a stop right behind it: whoever comes next has one result for each fetch") {
  for (int round = 0; round < 10; ++round) {
    CAPTURE(round);
    const abort_controller now;
    const auto tag = std::to_string(round);
    auto what = key(tag, "mode=hang");
    what.signal = now.signal();
    {
      runtime running(settings());
      auto mine = object(running);
      value_of(mine.call<&fetcher::send>(what));
      REQUIRE(came(tag));
      give_up(mine, now, "and out");
    }
    runtime running(settings());
    aborted_for(object(running), tag, "and out");
    CHECK(upstream.hits(tag) == 1);
  }
}

TEST_CASE_FIXTURE(fixture, "R21: a damaged abort aborts what is sent with its signal later, too") {
  const abort_controller now;
  {
    runtime running(settings());
    value_of(object(running).call<&fetcher::give_up>(now, std::string("enough")));
  }
  CHECK(disk(directory.path()).change('S', cut_in_half) == 1);
  runtime running(settings());
  auto mine = object(running);
  auto what = key("a");
  what.signal = now.signal();
  value_of(mine.call<&fetcher::send>(what));
  aborted_for(mine, "a", "aborted");
  CHECK(upstream.hits("a") == 0);
}

TEST_CASE_FIXTURE(
    fixture,
    "R21: a damaged abort aborts all the same, and a damaged row of a signal keeps no fetch from its abort") {
  auto chosen = settings();
  chosen.max_in_flight = 1;
  chosen.max_window = 2;
  const std::vector<std::string> names{"0", "1", "2", "3", "4", "5"};
  const abort_mark sound{std::chrono::duration_cast<std::chrono::milliseconds>(
                             std::chrono::system_clock::now().time_since_epoch())
                             .count(),
                         "sound"};
  for (const std::string damaged : {"mark", "signal"}) {
    CAPTURE(damaged);
    const abort_controller now;
    const auto before = upstream.total();
    {
      runtime running(chosen);
      std::vector<order> orders;
      for (const auto& name : names) {
        orders.push_back(key(damaged + name, "mode=hang"));
        orders.back().signal = now.signal();
      }
      value_of(object(running).call<&fetcher::send_all>(orders));
      REQUIRE(eventually([&] { return upstream.total() == before + 1; }));
    }
    {
      disk rows(directory.path());
      rows.put(keys::abort_mark(now.id()),
               damaged == "mark" ? "garbage" : seal_value(frame_type::abort_mark, sound));
      if (damaged == "signal")
        CHECK(rows.change('G', [](std::string& value) { value = "garbage"; }) ==
              names.size() + 1); // and the last round's
      rows.put("Snonsense", "x");
      rows.put("Gno such row", "x");
      rows.put(keys::signal(now.id(), 7), "x"); // of a fetch that there is not
    }
    runtime running(chosen);
    auto mine = object(running);
    for (const auto& name : names)
      aborted_for(mine, damaged + name, "aborted");
    CHECK(answered(fetched(mine, key("later " + damaged))).ok());
    CHECK(upstream.total() == before + 2);
  }
  disk rows(directory.path());
  CHECK(rows.rows('G').size() == 1); // what is no row of a signal is in nobody's way
  CHECK(rows.count('S') == 2);       // the damaged one too: it is remembered from when it was found
}

// --- before the fetch is made ------------------------------------------------------------------------------

TEST_CASE_FIXTURE(
    fixture,
    "R14: a fetch whose signal was aborted before it was made is aborted at once, in the next process too") {
  const auto later = [this](const std::string& name) {
    auto out = stoppable(name);
    out.delay_ms = 86'400'000;
    return out;
  };
  {
    runtime running(settings());
    auto mine = object(running);
    CHECK_FALSE(value_of(mine.call<&fetcher::has_given_up>(stop.signal())));
    give_up(running.get<fetcher>("somebody else"), stop, "closed");
    CHECK(value_of(mine.call<&fetcher::has_given_up>(stop.signal())));
    const auto why = failed(fetched(mine, stoppable("a")));
    CHECK(why.code == fetch_errc::aborted);
    CHECK(why.sent == sent_state::no);
    CHECK(contains(why.message, "closed"));
    CHECK(failed(fetched(mine, later("b"))).code == fetch_errc::aborted); // not tomorrow
    auto any = key("c");
    any.signal = abort_signal::any({abort_controller().signal(), stop.signal(), abort_signal::timeout(1h)});
    CHECK(failed(fetched(mine, any)).code == fetch_errc::aborted);
  }
  runtime running(settings());
  auto mine = object(running);
  CHECK(value_of(mine.call<&fetcher::has_given_up>(stop.signal())));
  CHECK(failed(fetched(mine, stoppable("d"))).code == fetch_errc::aborted);
  CHECK(failed(fetched(mine, later("e"))).code == fetch_errc::aborted);
  CHECK(answered(fetched(mine, key("f"))).ok());
  CHECK(upstream.total() == 1);
}

TEST_CASE_FIXTURE(fixture, "R14: fetch and abort in one turn, whichever comes first") {
  runtime running(settings());
  auto mine = object(running);
  value_of(mine.call<&fetcher::send_then_give_up>(stoppable("a"), stop, std::string("at once")));
  aborted_for(mine, "a", "at once");
  const abort_controller another;
  auto what = key("b");
  what.signal = another.signal();
  value_of(mine.call<&fetcher::give_up_then_send>(another, std::string("in advance"), what));
  aborted_for(mine, "b", "in advance");
}

TEST_CASE_FIXTURE(fixture, "R14: an abort is remembered for abort_memory and then forgotten, in a process "
                           "that runs on and in the next") {
  auto clock = std::make_shared<movable_clock>();
  const abort_controller another;
  {
    runtime running(with_clock(settings(), clock));
    auto mine = object(running);
    give_up(mine, stop, "old");
    clock->advance(abort_memory - 1h);
    give_up(mine, another, "young");
    CHECK(failed(fetched(mine, stoppable("a"))).code == fetch_errc::aborted);
    clock->advance(2h);
    CHECK(eventually([&] { return !value_of(mine.call<&fetcher::has_given_up>(stop.signal())); }));
    CHECK(value_of(mine.call<&fetcher::has_given_up>(another.signal())));
    CHECK(answered(fetched(mine, stoppable("b"))).ok());
  }
  clock->advance(abort_memory);
  runtime running(with_clock(settings(), clock));
  auto mine = object(running);
  CHECK(eventually([&] { return !value_of(mine.call<&fetcher::has_given_up>(another.signal())); }));
}

TEST_CASE_FIXTURE(fixture, "R21: an abort whose mark is damaged is remembered for abort_memory from then on, "
                           "and what is no mark at all goes") {
  auto clock = std::make_shared<movable_clock>();
  {
    runtime running(with_clock(settings(), clock));
    give_up(object(running), stop, "damaged");
  }
  {
    disk rows(directory.path());
    CHECK(rows.change('S', flip_last_bit) == 1);
    rows.put("Snonsense", "x");
  }
  for (int start = 0; start < 3; ++start) {
    runtime running(with_clock(settings(), clock));
    auto mine = object(running);
    CHECK(failed(fetched(mine, stoppable("a" + std::to_string(start)))).code == fetch_errc::aborted);
    CHECK(value_of(mine.call<&fetcher::has_given_up>(stop.signal())));
  }
  CHECK(disk(directory.path()).count('S') == 1);
  clock->advance(abort_memory + 1h);
  runtime running(with_clock(settings(), clock));
  auto mine = object(running);
  CHECK(eventually([&] { return !value_of(mine.call<&fetcher::has_given_up>(stop.signal())); }));
  CHECK(upstream.total() == 0);
}

// --- who aborts --------------------------------------------------------------------------------------------

TEST_CASE_FIXTURE(fixture,
                  "R14: a signal goes from object to object, and one abort ends the fetches of all") {
  runtime running(settings());
  auto a = object(running, "a");
  auto b = object(running, "b");
  value_of(a.call<&fetcher::send>(stoppable("of a", "mode=hang")));
  value_of(b.call<&fetcher::send>(stoppable("of b", "mode=hang")));
  REQUIRE(came("of a"));
  REQUIRE(came("of b"));
  give_up(running.get<fetcher>("c"), stop, "for all");
  aborted_for(a, "of a", "for all");
  aborted_for(b, "of b", "for all");
  CHECK(running.stats().aborted == 2);
}

TEST_CASE_FIXTURE(fixture, "R14: an abort from outside of any turn is durable on return") {
  runtime running(settings());
  auto mine = object(running);
  auto from_outside = create_proxy_fetch(running.queue(), {.return_address = {"FETCHER", "x"}});
  from_outside(at("/k/a?mode=hang"), {.signal = stop.signal()}).then<&fetcher::on_result>(std::string("a"));
  REQUIRE(came("a"));
  CHECK(running.queue().abort(stop.id(), "from outside"));
  aborted_for(mine, "a", "from outside");
  from_outside(at("/k/b"), {.signal = stop.signal()}).then<&fetcher::on_result>(std::string("b"));
  aborted_for(mine, "b", "from outside");
  CHECK(upstream.hits("b") == 0);

  const abort_controller another;
  const auto long_reason = running.queue().abort(another.id(), std::string(max_abort_reason_bytes + 1, 'r'));
  REQUIRE_FALSE(long_reason);
  CHECK(long_reason.error().code == errc::invalid_request);
  CHECK(contains(long_reason.error().message, "1025"));
  CHECK(contains(long_reason.error().message, "1024"));
  CHECK(error_of(mine.call<&fetcher::give_up>(another, std::string(max_abort_reason_bytes + 1, 'r'))).code ==
        errc::invalid_request);
  CHECK_FALSE(value_of(mine.call<&fetcher::has_given_up>(another.signal())));
  CHECK(running.queue().abort(another.id(), std::string(max_abort_reason_bytes, 'r')));
  running.stop();
  const auto too_late = running.queue().abort(abort_controller().id(), "");
  REQUIRE_FALSE(too_late);
  CHECK(too_late.error().code == errc::stopped);
}

TEST_CASE_FIXTURE(fixture, "R3: an abort in a turn that throws, or whose commit fails, aborts nothing") {
  auto valve = std::make_shared<storage_valve>();
  runtime running(settings(), {.wrap_engine = valve->wrap(), .wrap_transport = {}});
  auto mine = object(running);
  value_of(mine.call<&fetcher::send>(stoppable("a", "mode=hang")));
  REQUIRE(came("a"));
  CHECK(error_of(mine.call<&fetcher::give_up_and_throw>(stop)).code == errc::handler_failed);
  valve->fail_writes(row(keys::abort_mark(stop.id())));
  CHECK(error_of(mine.call<&fetcher::give_up>(stop, std::string("lost"))).code == errc::storage_error);
  const auto outside = running.queue().abort(stop.id(), "lost");
  REQUIRE_FALSE(outside);
  CHECK(outside.error().code == errc::storage_error);
  CHECK_FALSE(value_of(mine.call<&fetcher::has_given_up>(stop.signal())));
  running.define<nobody>();
  CHECK(running.stats().in_flight_fetches == 1);
  valve->heal();
  give_up(mine, stop, "kept");
  aborted_for(mine, "a", "kept");
}

TEST_CASE_FIXTURE(fixture, "R14: aborting twice is aborting once") {
  runtime running(one_place());
  auto mine = object(running);
  value_of(mine.call<&fetcher::send_all>(std::vector{stoppable("a", "mode=hang"), stoppable("b")}));
  REQUIRE(came("a"));
  give_up(mine, stop, "first");
  give_up(mine, stop, "second");
  CHECK(running.queue().abort(stop.id(), "third"));
  aborted_for(mine, "a", "first");
  aborted_for(mine, "b", "first");
  CHECK(answered(fetched(mine, key("next"))).ok());
  CHECK(value_of(mine.call<&fetcher::count>()) == 3);
  CHECK(running.stats().aborted == 2);
}

// --- a response that was first -----------------------------------------------------------------------------

TEST_CASE_FIXTURE(fixture, "R8: a response that is stored when the abort commits wins") {
  {
    runtime running(settings()); // without a class: the results wait in the inbox
    auto from_outside = create_proxy_fetch(running.queue(), {.return_address = {"FETCHER", "x"}});
    from_outside(at("/k/a"), {.signal = stop.signal()}).then<&fetcher::on_result>(std::string("a"));
    from_outside(at("/k/b"), {.signal = stop.signal()}).then<&fetcher::on_result>(std::string("b"));
    REQUIRE(eventually([&running] { return running.stats().undeliverable == 2; }));
    CHECK(running.queue().abort(stop.id(), "too late"));
    CHECK(running.stats().aborted == 0);
  }
  runtime running(settings());
  auto mine = object(running);
  CHECK(answered(result_under(mine, "a")).ok());
  CHECK(answered(result_under(mine, "b")).ok());
  CHECK(running.stats().aborted == 0);
}

TEST_CASE_FIXTURE(fixture,
                  "R8: a response whose way to disk has begun wins, even if it takes more than one try") {
  auto valve = std::make_shared<storage_valve>();
  runtime running(settings(), {.wrap_engine = valve->wrap(), .wrap_transport = {}});
  auto mine = object(running);
  valve->fail_writes([](const write_op& op) { return op.key.front() == 'I' && op.value; });
  value_of(mine.call<&fetcher::send>(stoppable("a")));
  REQUIRE(eventually([&valve] { return valve->failed() >= 1; }));
  REQUIRE(eventually([&] {
    return running.queue().abort(stop.id(), "too late").has_value();
  })); // not in one batch with a result that fails
  running.define<nobody>();
  valve->heal();
  CHECK(answered(result_under(mine, "a")).ok());
  CHECK(running.stats().aborted == 0);
  CHECK(upstream.hits("a") == 1);
}

// --- signals that abort by themselves ----------------------------------------------------------------------

TEST_CASE_FIXTURE(fixture, "R14: abort_signal::timeout ends a fetch in the queue and one in flight") {
  runtime running(one_place());
  auto mine = object(running);
  auto in_flight = key("a", "mode=hang");
  in_flight.signal = abort_signal::timeout(500ms);
  auto queued = key("b");
  queued.signal = abort_signal::timeout(300ms);
  value_of(mine.call<&fetcher::send_all>(std::vector{in_flight, queued}));
  const auto waited = aborted_for(mine, "b", "time of the abort signal");
  CHECK(waited.sent == sent_state::no);
  CHECK(waited.attempts == 0);
  const auto sent = aborted_for(mine, "a", "time of the abort signal");
  CHECK(sent.sent == sent_state::maybe);
  CHECK(sent.attempts == 1);
  CHECK(running.stats().aborted == 2);
  CHECK(upstream.total() == 1);
  CHECK(value_of(mine.call<&fetcher::has_given_up>(queued.signal)));
  CHECK(failed(fetched(mine,
                       [&] {
                         auto late = key("c");
                         late.signal = queued.signal;
                         return late;
                       }()))
            .code == fetch_errc::aborted);
  CHECK(upstream.hits("c") == 0);
}

TEST_CASE_FIXTURE(fixture,
                  "R14: a POST whose signal's time comes is ABORTED every time, and never a TIMEOUT") {
  runtime running(settings());
  auto mine = object(running);
  std::vector<order> orders;
  for (int i = 0; i < 40; ++i) {
    orders.push_back(key(std::to_string(i), "mode=hang"));
    orders.back().method = "POST";
    orders.back().signal = abort_signal::timeout(std::chrono::milliseconds(300 + 7 * i));
  }
  value_of(mine.call<&fetcher::send_all>(orders));
  for (const auto& each : orders)
    aborted_for(mine, each.tag, "time of the abort signal");
  CHECK(upstream.total() <= orders.size());
}

TEST_CASE_FIXTURE(
    fixture,
    "R14: the time of a signal comes by the runtime's clock, beyond the window and while nobody runs") {
  auto clock = std::make_shared<movable_clock>();
  auto chosen = settings();
  chosen.max_in_flight = 1;
  chosen.max_window = 2;
  const auto in = [&clock](std::chrono::hours after) { return abort_signal::timeout(after, clock->now()); };
  std::vector<order> orders{in_front()};
  for (int i = 0; i < 10; ++i) {
    orders.push_back(key(std::to_string(i)));
    orders.back().signal = in(i < 5 ? 1h : 3h);
  }
  {
    runtime running(with_clock(chosen, clock));
    auto mine = object(running);
    value_of(mine.call<&fetcher::send_all>(orders));
    REQUIRE(came("in front"));
    clock->advance(2h);
    for (int i = 0; i < 5; ++i)
      CHECK(aborted_for(mine, std::to_string(i), "time of the abort signal").sent == sent_state::no);
    CHECK(value_of(mine.call<&fetcher::count>()) == 5);
  }
  clock->advance(2h);
  runtime running(with_clock(chosen, clock));
  auto mine = object(running);
  for (int i = 5; i < 10; ++i)
    aborted_for(mine, std::to_string(i), "time of the abort signal");
  CHECK(upstream.total() == upstream.hits("in front"));
}

TEST_CASE_FIXTURE(fixture, "R14: of a deadline and a signal the earlier one decides what the result says") {
  auto clock = std::make_shared<movable_clock>();
  runtime running(with_clock(one_place(), clock));
  auto mine = object(running);
  auto occupant = in_front();
  occupant.timeout_ms = 86'400'000;
  value_of(mine.call<&fetcher::send>(occupant));
  REQUIRE(came("in front"));
  auto deadline = key("deadline");
  deadline.deadline_ms = 1'000'000;
  deadline.signal = abort_signal::timeout(2000s, clock->now());
  auto signal = key("signal");
  signal.deadline_ms = 2'000'000;
  signal.signal = abort_signal::timeout(1000s, clock->now());
  value_of(mine.call<&fetcher::send_all>(std::vector{deadline, signal}));
  clock->advance(1500s);
  aborted_for(mine, "signal", "time of the abort signal");
  CHECK(failed(result_under(mine, "deadline")).code == fetch_errc::timeout);
}

TEST_CASE_FIXTURE(
    fixture,
    "R14: abort_signal::any is aborted by the first of its controllers, and the others come too late") {
  runtime running(settings());
  auto mine = object(running);
  const abort_controller user;
  const abort_controller shop;
  auto what = key("a", "mode=hang");
  what.signal = abort_signal::any({user.signal(), shop.signal(), abort_signal::timeout(1h)});
  value_of(mine.call<&fetcher::send>(what));
  REQUIRE(came("a"));
  give_up(mine, shop, "closed");
  give_up(mine, user, "left");
  aborted_for(mine, "a", "closed");
  CHECK(value_of(mine.call<&fetcher::has_given_up>(what.signal)));
  what = key("b", "mode=hang");
  what.signal = abort_signal::any({abort_controller().signal(), abort_signal::timeout(400ms)});
  value_of(mine.call<&fetcher::send>(what));
  aborted_for(mine, "b", "time of the abort signal");
  running.stop();
  CHECK(disk(directory.path()).count('G') == 0);
}

} // namespace dormouse::test::abort_test
