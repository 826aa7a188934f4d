// Ten thousand fetches in flight at once on one worker, and what a fetch costs then.
//
// Here and not beside the other runtime tests because the upstream has to be another process: the processor
// time of this one is then the runtime's own.

#include "crash/child_process.hpp"
#include "eventually.hpp"
#include "upstream/open_file_limit.hpp"

#include <dormouse/dormouse.hpp>

#include <curl/curl.h>
#include <doctest/doctest.h>
#include <sys/resource.h>

#include <array>

namespace dormouse::test::in_flight_test {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t objects = 1'000;
constexpr std::size_t many = 10'000;
constexpr std::size_t few = 100;
constexpr std::size_t fetches = 2 * many;
constexpr double most_ratio = 2.0;

/// Whatever else runs on the machine takes from the caches, and more from the run that needs more of them: it
/// can only add.
constexpr int most_attempts = 3;
constexpr std::size_t files_needed = many + 700; ///< and the store's

/// How long the upstream takes to answer. To have all of them out at once they have to leave within that
/// time; a machine that is busy with other things, or a sanitizer, may need more of it.
constexpr std::array delays{milliseconds(2'000), milliseconds(4'000), milliseconds(8'000),
                            milliseconds(16'000)};

class asker : public durable_object {
public:
  void ask(std::string url) { fetch(url, {.timeout = std::chrono::minutes(2)}).then<&asker::on_answer>(); }
  void on_answer(fetch_result result) { answers_ += result && result->ok() ? 1 : 0; }
  std::uint64_t answers() const { return answers_; }

  template <class Archive> void serialize(Archive& ar) { ar(answers_); }

  using methods = dormouse::methods<"ASKER", dormouse::method<"ask", &asker::ask>,
                                    dormouse::method<"on_answer", &asker::on_answer>,
                                    dormouse::method<"answers", &asker::answers>>;

private:
  std::uint64_t answers_ = 0;
};

std::chrono::duration<double, std::micro> cpu_time() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  const auto micros = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) * 1e6 + static_cast<double>(t.tv_usec);
  };
  return std::chrono::duration<double, std::micro>(micros(used.ru_utime) + micros(used.ru_stime));
}

std::string http(const std::string& method, const std::string& url) {
  std::string body;
  auto* easy = curl_easy_init();
  curl_easy_setopt(easy, CURLOPT_URL, url.c_str());
  curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method.c_str());
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, &body);
  curl_easy_setopt(
      easy, CURLOPT_WRITEFUNCTION, +[](char* data, std::size_t size, std::size_t count, void* out) {
        static_cast<std::string*>(out)->append(data, size * count);
        return size * count;
      });
  const auto code = curl_easy_perform(easy);
  curl_easy_cleanup(easy);
  if (code != CURLE_OK) throw std::runtime_error(url + ": " + curl_easy_strerror(code));
  return body;
}

struct measured {
  std::uint64_t in_flight_peak = 0; ///< as the upstream saw it
  std::uint64_t connections = 0;
  std::uint64_t answers = 0;
  std::uint64_t retries = 0;
  std::uint64_t worker_restarts = 0;
  double micros_per_fetch = 0;
  std::chrono::duration<double> wall{};
};

/// `count` fetches, all queued at once, `in_flight` on the wire.
measured run_fetches(const std::string& upstream, std::size_t count, std::size_t in_flight,
                     milliseconds delay) {
  http("POST", upstream + "/reset");
  const auto opened_before =
      nlohmann::json::parse(http("GET", upstream + "/summary")).at("connections_opened").get<std::uint64_t>();
  scratch_directory directory;
  runtime host({.directory = directory.path(),
                .allow = {"127.0.0.1"},
                .proxy_workers = 1,
                .max_in_flight = in_flight,
                .max_in_flight_per_origin = in_flight,
                .max_window = 2 * many,
                .connect_timeout = std::chrono::minutes(1)});
  host.define<asker>();
  const auto began = std::chrono::steady_clock::now();
  const auto cpu_before = cpu_time();
  for (std::size_t i = 0; i < count; ++i)
    host.get<asker>(std::to_string(i % objects))
        .async_call<&asker::ask>([](expected<void>) {}, upstream + "/k/" + std::to_string(i % objects) +
                                                            "?delay_ms=" + std::to_string(delay.count()));
  // The count of answers is the judge; this is how far the runtime says it is.
  REQUIRE(eventually([&] { return host.stats().delivered == count; }, std::chrono::minutes(3)));
  measured out;
  out.micros_per_fetch = (cpu_time() - cpu_before).count() / static_cast<double>(count);
  out.wall = std::chrono::steady_clock::now() - began;
  for (std::size_t i = 0; i < objects; ++i)
    out.answers += host.get<asker>(std::to_string(i)).call<&asker::answers>().get();
  out.retries = host.stats().retries;
  out.worker_restarts = host.stats().worker_restarts;
  const auto summary = nlohmann::json::parse(http("GET", upstream + "/summary"));
  out.in_flight_peak = summary.at("in_flight_peak");
  out.connections = summary.at("connections_opened").get<std::uint64_t>() - opened_before;
  return out;
}

void show(const std::string& what, const measured& m) {
  MESSAGE(what, ": ", m.micros_per_fetch, " us of CPU per fetch, ", m.wall.count(), " s, peak ",
          m.in_flight_peak, " in flight, ", m.connections, " connections opened");
}

void check_all_answered(const measured& m) {
  CHECK(m.answers == fetches);
  CHECK(m.retries == 0);
  CHECK(m.worker_restarts == 0); // R10: a worker with much to do is not a dead one
}

// The same number of fetches both times, which is to the disadvantage of the many: each of their connections
// serves two fetches, each of the few's two hundred.
TEST_CASE(
    "R10: 10,000 fetches in flight on one worker cost no more than twice as much each as 100 in flight") {
  const auto files = samples::raise_open_file_limit();
  REQUIRE_MESSAGE(files >= files_needed, "this test needs ", files_needed,
                  " open files; the hard limit (ulimit -Hn) is ", files);
  child_process server({"upstream"});
  const auto upstream = server.read_line();
  REQUIRE(upstream);

  run_fetches(*upstream, few, few, milliseconds(1)); // first use of code and memory
  auto delay = delays.begin();
  double ratio = 0;
  for (int attempt = 0; attempt < most_attempts && (attempt == 0 || ratio > most_ratio); ++attempt) {
    const auto at_few = run_fetches(*upstream, fetches, few, milliseconds(20));
    show("100 in flight", at_few);
    check_all_answered(at_few);
    CHECK(at_few.in_flight_peak == few);

    auto at_many = run_fetches(*upstream, fetches, many, *delay);
    while (at_many.in_flight_peak < many && std::next(delay) != delays.end())
      at_many = run_fetches(*upstream, fetches, many, *++delay);
    show("10,000 in flight, answered after " + std::to_string(delay->count()) + " ms", at_many);
    check_all_answered(at_many);
    CHECK(at_many.in_flight_peak == many);

    ratio = at_many.micros_per_fetch / at_few.micros_per_fetch;
    MESSAGE("CPU per fetch, 10,000 to 100 in flight: ", ratio);
  }
  CHECK(ratio <= most_ratio);
}

} // namespace
} // namespace dormouse::test::in_flight_test
