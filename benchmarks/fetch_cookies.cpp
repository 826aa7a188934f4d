/// What a jar of 200 cookies costs a fetch: read from the store, matched, sent, and compared when the answer
/// is handled; against the same fetches without a jar.

#include "measure.hpp"
#include "nginx_server.hpp"
#include "row.hpp"

#include <dormouse/dormouse.hpp>

#include <fmt/format.h>

namespace dormouse::bench {
namespace {

constexpr int cookie_count = 200;
constexpr int in_flight = 64;

class visitor final : public durable_object {
public:
  /// Ten of them go along with a request for `url`.
  void fill(std::string url) {
    for (int i = 0; i < cookie_count / 2; ++i) // a domain holds 180: half of them are for another host
      browser().set_cookie(fmt::format("c{}", i), "a value of some length",
                           {.url = url, .path = i < 10 ? "/" : fmt::format("/{}", i)});
    for (int i = 0; i < cookie_count / 2; ++i)
      browser().set_cookie(fmt::format("c{}", i), "a value of some length",
                           {.url = "https://example.com/", .path = fmt::format("/{}", i)});
  }

  later<std::uint32_t> visit(std::string url, std::uint32_t left, bool with_jar) {
    if (with_jar) return browser().fetch(url).then<&visitor::on_answer>(url, left, with_jar);
    return fetch(url).then<&visitor::on_answer>(url, left, with_jar);
  }
  later<std::uint32_t> on_answer(fetch_result result, std::string url, std::uint32_t left, bool with_jar) {
    if (!result || !result->ok()) throw std::runtime_error("fetch failed");
    ++answers_;
    if (left > 1) return visit(std::move(url), left - 1, with_jar);
    return answers_;
  }

  template <class Archive> void serialize(Archive& ar) { ar(answers_); }
  using methods =
      dormouse::methods<"VISITOR", method<"fill", &visitor::fill>, method<"visit", &visitor::visit>,
                        method<"on_answer", &visitor::on_answer>>;

private:
  std::uint32_t answers_ = 0;
};

double rate(const std::string& url, int total, bool with_jar) {
  scratch_directory directory;
  runtime host({.directory = directory.path(), .allow = {"127.0.0.1"}, .max_in_flight_per_origin = 1000});
  host.define<visitor>();
  const auto each = static_cast<std::uint32_t>(total / in_flight);
  std::vector<object_ref<visitor>> visitors;
  for (int i = 0; i < in_flight; ++i) {
    visitors.push_back(host.get<visitor>(std::to_string(i)));
    if (with_jar) visitors.back().call<&visitor::fill>(url).get();
  }
  std::vector<std::future<std::uint32_t>> done;
  const auto start = steady::now();
  for (const auto& one : visitors)
    done.push_back(one.call<&visitor::visit>(url, each, with_jar));
  for (auto& reply : done)
    if (reply.get() != each) throw std::runtime_error("fetch_cookies: an answer is missing");
  return static_cast<double>(each) * in_flight / seconds_since(start);
}

} // namespace

std::vector<row> fetch_cookies(const settings& how) {
  const test::nginx_server server;
  const auto url = server.url() + "/plain";
  const int total = how.quick ? 10'000 : 40'000;
  std::vector<double> ours;
  std::vector<double> limit;
  for (int round = 0; round < 3; ++round) {
    limit.push_back(rate(url, total, false));
    ours.push_back(rate(url, total, true));
  }
  return {{"fetch_cookies",
           fmt::format("1 KB from nginx on loopback, {} in flight, with a jar of {} cookies of which 10 go "
                       "along, against the same without a jar",
                       in_flight, cookie_count),
           median(ours), median(limit), median(ours) / median(limit), "fetches/s"}};
}

} // namespace dormouse::bench
