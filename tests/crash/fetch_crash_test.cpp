// What a kill at any moment leaves of fetches: one result each, no request repeated that has its answer or
// must not be.
//
// The kernel keeps what was written before a kill -9, synced or not, so this is about order and atomicity.
// What a power failure does is the business of the storage engine tests.

#include "crash/child_process.hpp"
#include "crash/crash_settings.hpp"
#include "crash/durable_view.hpp"
#include "crash/seeded_kill.hpp"
#include "eventually.hpp"
#include "upstream/upstream_server.hpp"

#include <curl/curl.h>
#include <doctest/doctest.h>

#include <algorithm>
#include <charconv>
#include <map>

namespace dormouse::test::fetch_crash_test {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr int kills = 50;

/// Violations of one rule. They come in thousands or not at all: counted, and the first is shown.
struct violations {
  std::size_t count = 0;
  std::string first;

  void add(const std::string& text) {
    if (count++ == 0) first = text;
  }
  void add_if(bool wrong, const std::string& text) {
    if (wrong) add(text);
  }
};

#define CHECK_NONE(found) CHECK_MESSAGE((found).count == 0, (found).count, " times, first: ", (found).first)

/// The upstream has dealt with all that the dead process sent it.
bool is_quiet(const samples::upstream_server& upstream) {
  // Connections are accepted in order, so once this one is answered, none of the dead process's is left to
  // accept.
  auto* easy = curl_easy_init();
  curl_easy_setopt(easy, CURLOPT_URL, (upstream.url() + "/summary").c_str());
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(
      easy, CURLOPT_WRITEFUNCTION,
      +[](char*, std::size_t size, std::size_t count, void*) { return size * count; });
  const auto answered = curl_easy_perform(easy) == CURLE_OK;
  curl_easy_cleanup(easy);
  return answered && eventually([&upstream] { return upstream.summary().connections == 0; });
}

struct acknowledged_call {
  std::string fetcher;
  std::uint64_t token;
};

struct report_line {
  std::uint64_t delivered = 0;
  acknowledged_call call;
};

report_line parse_report(const std::string& line) {
  std::uint64_t numbers[3] = {};
  const char* at = line.data();
  for (auto& number : numbers) {
    auto [end, error] = std::from_chars(at, line.data() + line.size(), number);
    if (error != std::errc{}) throw std::runtime_error("not a report: " + line);
    at = end + 1;
  }
  return {numbers[0], {fetcher_id(numbers[1]), numbers[2]}};
}

struct tally {
  std::size_t responses = 0;
  std::size_t unknown_posts = 0;     ///< that were going out when a kill came
  std::size_t unknown_gets = 0;      ///< the same, of those with `at_most_once`
  std::size_t repeated_requests = 0; ///< sent more than once, as is allowed until their response is stored
  std::size_t crossed_queue = 0, crossed_inbox = 0, crossed_posts = 0,
              crossed_blobs = 0; ///< rows found after a kill, added up
};

class crash_story {
public:
  explicit crash_story(std::uint64_t seed) : random_(seed) { upstream_.start(); }

  void live_and_die(std::uint64_t life) {
    child_process child(
        {"fetch", store_directory(), upstream_.url(), std::to_string(life), std::to_string(random_())});
    // Now and then before it is up: recovery is killed too.
    const bool early = random_() % 8 == 0;
    const std::uint64_t progress = random_() % 250;
    const auto moment = random_moment(random_, early ? microseconds(100'000) : microseconds(20'000));
    while (!early) {
      auto line = child.read_line();
      REQUIRE_MESSAGE(line, "the child died by itself: ", child.kill());
      if (*line != "started" && note_report(*line) >= progress) break;
    }
    spin(moment);
    REQUIRE(child.kill() == "");
    while (auto line = child.read_line())
      if (*line != "started") note_report(*line);
    REQUIRE(is_quiet(upstream_));
  }

  void check_after_kill() {
    const auto view = read();
    check_nothing_sent_again();
    check_conservation(view);
    check_calls(view);
    for (const auto& [id, object] : view.fetchers)
      for (std::size_t i = 0; i < object->records().size(); ++i)
        if (object->records()[i].results > 0) remember_stored(key_of(id, i + 1));
    for (const auto& [key, rows] : view.arrived)
      remember_stored(key);
    tally_.crossed_queue += view.queued.size();
    tally_.crossed_inbox += view.arrived.size();
    tally_.crossed_posts += view.waiting_calls.size();
    tally_.crossed_blobs += view.blobs;
  }

  void finish() {
    const auto view = read();
    auto calls = view.waiting_calls.size();
    for (const auto& [id, object] : view.fetchers)
      calls += object->tokens().size();
    child_process child({"finish", store_directory(), std::to_string(calls)});
    REQUIRE(child.wait() == "");
    REQUIRE(is_quiet(upstream_));
  }

  void check_end() {
    const auto view = read();
    check_nothing_sent_again();
    check_conservation(view);
    check_calls(view);
    CHECK(view.queued.size() == 0);
    CHECK(view.arrived.size() == 0);
    CHECK(view.waiting_calls.size() == 0);
    CHECK(view.attempt_marks == 0);
    CHECK(view.blobs == 0);
    CHECK(view.blob_files == 0);
    check_records(view);

    std::size_t fetches = 0;
    for (const auto& [id, object] : view.fetchers)
      fetches += object->records().size();
    const auto traffic = upstream_.summary();
    MESSAGE(fetches, " fetches in ", kills, " lives, ", acknowledged_.size(), " acknowledged calls, ",
            traffic.total, " requests, ", tally_.repeated_requests, " fetches sent more than once, ",
            tally_.unknown_posts, " POSTs and ", tally_.unknown_gets,
            " GETs of unknown outcome; after the kills ", tally_.crossed_queue, " queued, ",
            tally_.crossed_inbox, " arrived, ", tally_.crossed_posts, " posts, ", tally_.crossed_blobs,
            " blobs");
    // A test that killed an idle process would have shown nothing.
    CHECK(fetches > 1000);
    CHECK(acknowledged_.size() > 500);
    CHECK(tally_.responses > 1000);
    CHECK(tally_.repeated_requests > 0);
    CHECK(tally_.unknown_posts > 0);
    CHECK(tally_.unknown_gets > 0);
    CHECK(tally_.crossed_queue > 0);
    CHECK(tally_.crossed_inbox > 0);
    CHECK(tally_.crossed_posts > 0);
    CHECK(tally_.crossed_blobs > 0);
  }

private:
  std::string store_directory() const { return (scratch_.path() / "store").string(); }
  durable_view read() const { return read_durable(scratch_.path() / "store", scratch_.path() / "copy"); }

  std::uint64_t note_report(const std::string& line) {
    auto report = parse_report(line);
    acknowledged_.push_back(std::move(report.call));
    return report.delivered;
  }

  /// The quiet upstream's count is final for this life: everything stored was answered by now.
  void remember_stored(const std::string& key) { hits_when_stored_.try_emplace(key, upstream_.hits(key)); }

  /// R8.
  void check_nothing_sent_again() {
    violations again;
    for (const auto& [key, hits] : hits_when_stored_)
      if (auto now = upstream_.hits(key); now != hits)
        again.add(key + " had its result stored after " + std::to_string(hits) + " requests and now has " +
                  std::to_string(now));
    CHECK_NONE(again);
  }

  /// R7, R3: whatever the moment, a fetch is in exactly one place: in the queue, in the inbox, or in its
  /// object's memory. R4: and whatever the upstream has seen is in one of them.
  void check_conservation(const durable_view& view) {
    violations misplaced;
    std::size_t fetches_seen_upstream = 0;
    std::size_t queued = 0;
    std::size_t arrived = 0;
    for (const auto& [id, object] : view.fetchers) {
      for (std::size_t i = 0; i < object->records().size(); ++i) {
        const auto key = key_of(id, i + 1);
        const auto in_queue = rows_of(view.queued, key);
        const auto in_inbox = rows_of(view.arrived, key);
        const auto handled = object->records()[i].results;
        queued += in_queue;
        arrived += in_inbox;
        misplaced.add_if(in_queue + in_inbox + handled != 1,
                         key + " is in the queue " + std::to_string(in_queue) + " times, in the inbox " +
                             std::to_string(in_inbox) + " times, and was handled " + std::to_string(handled) +
                             " times");
        fetches_seen_upstream += upstream_.hits(key) > 0 ? 1 : 0;
      }
    }
    CHECK_NONE(misplaced);
    CHECK(queued == view.queued.size()); // no row of a fetch that no object knows
    CHECK(arrived == view.arrived.size());
    CHECK(fetches_seen_upstream == upstream_.summary().distinct);
    CHECK(view.attempt_marks <= view.queued.size());
    CHECK(view.lost_blobs == 0);
    CHECK(view.dead_letters == 0);
    CHECK(view.unreadable == 0);
  }

  /// R3: a call whose reply came has happened, none has happened twice; an acknowledged post has happened or
  /// is in the inbox.
  void check_calls(const durable_view& view) {
    violations wrong;
    std::map<std::uint64_t, std::size_t> places; // tokens are unique over all fetchers
    for (const auto& [id, object] : view.fetchers)
      for (auto [token, runs] : object->tokens())
        places[token] += runs;
    for (const auto& [id, token] : view.waiting_calls)
      ++places[token];
    for (auto [token, count] : places)
      wrong.add_if(count != 1,
                   "call " + std::to_string(token) + " is there " + std::to_string(count) + " times");
    for (const auto& call : acknowledged_)
      wrong.add_if(!places.contains(call.token), "call " + std::to_string(call.token) + " of " +
                                                     call.fetcher + " was acknowledged and is gone");
    CHECK_NONE(wrong);
  }

  /// R7, R9: what each fetch got in the end.
  void check_records(const durable_view& view) {
    violations wrong;
    violations repeated;
    for (const auto& [id, object] : view.fetchers) {
      for (std::size_t i = 0; i < object->records().size(); ++i) {
        const auto& record = object->records()[i];
        const auto plan = plan_fetch(id, i + 1);
        const auto hits = upstream_.hits(plan.key);
        const auto text = plan.key + ": " + std::to_string(record.results) + " results, status " +
                          std::to_string(record.status) + ", hit " + std::to_string(record.hit) + " of " +
                          std::to_string(hits) + ", error " +
                          std::string(record.status == 0 ? to_string(record.code) : "none") + ", sent " +
                          std::string(to_string(record.sent));
        wrong.add_if(record.results != 1, text);
        if (record.status != 0) {
          ++tally_.responses;
          wrong.add_if(record.status != 200 || !record.own_body || hits == 0, text);
          // The request whose response was stored is the last that was sent.
          repeated.add_if(record.hit != 0 && record.hit != hits, text);
        } else {
          ++(plan.kind == fetch_kind::once_get ? tally_.unknown_gets : tally_.unknown_posts);
          // Its server never failed: only a crash may leave an error, and only where asking again is
          // forbidden.
          const bool honest = record.code == fetch_errc::fetch_failed && record.sent == sent_state::maybe;
          wrong.add_if(plan.repeatable() || !honest, text);
        }
        repeated.add_if(!plan.repeatable() && hits > 1, text);
        tally_.repeated_requests += hits > (plan.kind == fetch_kind::flaky_get ? 2U : 1U) ? 1 : 0;
      }
    }
    CHECK_NONE(wrong);
    CHECK_NONE(repeated);
  }

  static std::size_t rows_of(const std::unordered_map<std::string, std::size_t>& rows,
                             const std::string& key) {
    auto found = rows.find(key);
    return found == rows.end() ? 0 : found->second;
  }

  std::mt19937_64 random_;
  scratch_directory scratch_;
  samples::upstream_server upstream_;
  std::vector<acknowledged_call> acknowledged_;
  std::unordered_map<std::string, std::uint64_t> hits_when_stored_;
  tally tally_;
};

TEST_CASE("R3 R4 R7 R8 R9: kill -9 at 50 random moments under load: every continuation ran once, nothing "
          "answered was asked again") {
  crash_story story(crash_seed());
  for (std::uint64_t life = 1; life <= kills; ++life) {
    CAPTURE(life);
    story.live_and_die(life);
    story.check_after_kill();
  }
  story.finish();
  story.check_end();
}

} // namespace
} // namespace dormouse::test::fetch_crash_test
