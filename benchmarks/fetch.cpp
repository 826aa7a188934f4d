/// Fetches of a 1 KB document from nginx on loopback, every fetch durable at every step (queued, response
/// stored, consumed), against libcurl alone.

#include "bare_curl.hpp"
#include "measure.hpp"
#include "nginx_server.hpp"
#include "row.hpp"

#include <dormouse/dormouse.hpp>

#include <fmt/format.h>

namespace dormouse::bench {
namespace {

class hammer final : public durable_object {
public:
  /// Fetches `count` times, one after the other; the reply comes when the last answer has been consumed.
  later<std::uint32_t> strike(std::string url, std::uint32_t count) {
    return fetch(url).then<&hammer::on_answer>(url, count);
  }

  later<std::uint32_t> on_answer(fetch_result result, std::string url, std::uint32_t left) {
    if (!result || !result->ok() || result->text().size() != 1024) throw std::runtime_error("fetch failed");
    ++answers_;
    if (left > 1) return fetch(url).then<&hammer::on_answer>(url, left - 1);
    return fetch(url).then<&hammer::on_last>();
  }

  std::uint32_t on_last(fetch_result result) {
    if (!result || !result->ok()) throw std::runtime_error("fetch failed");
    return ++answers_;
  }

  /// One fetch.
  later<std::uint32_t> strike_once(std::string url) { return fetch(url).then<&hammer::on_last>(); }

  template <class Archive> void serialize(Archive& ar) { ar(answers_); }
  using methods =
      dormouse::methods<"HAMMER", method<"strike", &hammer::strike>, method<"on_answer", &hammer::on_answer>,
                        method<"on_last", &hammer::on_last>, method<"strike_once", &hammer::strike_once>>;

private:
  std::uint32_t answers_ = 0;
};

double our_rate(const std::string& url, int total, int in_flight) {
  scratch_directory directory;
  runtime host({.directory = directory.path(), .allow = {"127.0.0.1"}, .max_in_flight_per_origin = 1000});
  host.define<hammer>();
  const auto each = static_cast<std::uint32_t>(total / in_flight);
  std::vector<std::future<std::uint32_t>> done;
  const auto start = steady::now();
  for (int i = 0; i < in_flight; ++i)
    done.push_back(host.get<hammer>(std::to_string(i)).call<&hammer::strike>(url, each - 1));
  for (auto& reply : done)
    if (reply.get() != each) throw std::runtime_error("fetch_roundtrip: an answer is missing");
  return static_cast<double>(each) * in_flight / seconds_since(start);
}

} // namespace

std::vector<row> fetch_roundtrip(const settings& how) {
  const test::nginx_server server;
  const auto url = server.url() + "/plain";
  const int total = how.quick ? 15'000 : 40'000;
  std::vector<row> rows;
  for (int in_flight : {64, 512}) {
    std::vector<double> ours;
    std::vector<double> limit;
    for (int round = 0; round < 3; ++round) {
      limit.push_back(bare_curl_rate(url, total, in_flight));
      ours.push_back(our_rate(url, total, in_flight));
    }
    rows.push_back(
        {fmt::format("fetch_roundtrip_{}", in_flight),
         fmt::format(
             "1 KB from nginx on loopback, {} in flight, durable at every step, against a libcurl multi loop",
             in_flight),
         median(ours), median(limit), median(ours) / median(limit), "fetches/s"});
  }
  return rows;
}

std::vector<row> fetch_added_latency(const settings& how) {
  const test::nginx_server server;
  const auto url = server.url() + "/plain";
  const int count = how.quick ? 400 : 2'000;
  scratch_directory directory;
  runtime host({.directory = directory.path(), .allow = {"127.0.0.1"}});
  host.define<hammer>();
  const auto object = host.get<hammer>("one");
  object.call<&hammer::strike_once>(url).get();
  const auto bare = bare_curl_latencies(url, count);
  std::vector<double> ours;
  for (int i = 0; i < count; ++i) {
    const auto start = steady::now();
    object.call<&hammer::strike_once>(url).get();
    ours.push_back(seconds_since(start));
  }
  const auto limit = median(bare) * 1e3;
  const auto added = median(ours) * 1e3 - limit;
  return {{"fetch_added_latency",
           fmt::format("one at a time, p50 from call to the continuation's durable reply, minus libcurl "
                       "alone; p99 of ours {:.2f} ms",
                       percentile(ours, 0.99) * 1e3),
           added, limit, added / limit, "ms"}};
}

} // namespace dormouse::bench
