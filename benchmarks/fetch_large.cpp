/// Bodies of 16 MiB from nginx on loopback: each is durable before its object hears of it, and is whole in
/// memory only while the object handles it. Against libcurl alone, which receives the same bodies into memory
/// and forgets them. What the disk alone does with as many files, each synced, is told beside it: where that
/// is less than half of libcurl's rate, no durable store can have half of it.

#include "bare_curl.hpp"
#include "measure.hpp"
#include "nginx_server.hpp"
#include "row.hpp"

#include <dormouse/dormouse.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <thread>

namespace dormouse::bench {
namespace {

constexpr std::size_t body_bytes = std::size_t{16} << 20U;
constexpr int in_flight = 4;

class warehouse final : public durable_object {
public:
  /// Fetches `count` bodies, one after the other; the reply comes when the last one has been handled durably.
  later<std::uint32_t> collect(std::string url, std::uint32_t count) {
    return fetch(url).then<&warehouse::on_body>(url, count);
  }

  later<std::uint32_t> on_body(fetch_result result, std::string url, std::uint32_t left) {
    count(result);
    if (left > 2) return fetch(url).then<&warehouse::on_body>(url, left - 1);
    return fetch(url).then<&warehouse::on_last>();
  }

  std::uint32_t on_last(fetch_result result) {
    count(result);
    return bodies_;
  }

  template <class Archive> void serialize(Archive& ar) { ar(bodies_); }
  using methods =
      dormouse::methods<"WAREHOUSE", method<"collect", &warehouse::collect>,
                        method<"on_body", &warehouse::on_body>, method<"on_last", &warehouse::on_last>>;

private:
  void count(const fetch_result& result) {
    if (!result || !result->ok() || result->text().size() != body_bytes)
      throw std::runtime_error("fetch_large: " +
                               (result ? "a body of " + std::to_string(result->text().size()) + " bytes"
                                       : result.error().message));
    ++bodies_;
  }

  std::uint32_t bodies_ = 0;
};

double our_rate(const std::string& url, int total) {
  const scratch_directory directory;
  runtime host({.directory = directory.path(), .allow = {"127.0.0.1"}});
  host.define<warehouse>();
  const auto each = static_cast<std::uint32_t>(total / in_flight);
  std::vector<std::future<std::uint32_t>> done;
  const auto start = steady::now();
  for (int i = 0; i < in_flight; ++i)
    done.push_back(host.get<warehouse>(std::to_string(i)).call<&warehouse::collect>(url, each));
  for (auto& reply : done)
    if (reply.get() != each) throw std::runtime_error("fetch_large: a body is missing");
  return static_cast<double>(body_bytes) * each * in_flight / (1 << 20) / seconds_since(start);
}

/// The disk alone: as many files at a time, each written, synced and removed.
double disk_rate(int total) {
  const scratch_directory directory;
  const std::string body(body_bytes, 'L');
  std::atomic<bool> failed{false};
  const auto write_some = [&](int which) {
    const auto path = directory.path() / std::to_string(which);
    for (int i = which; i < total; i += in_flight) {
      const int file = ::open(path.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
      std::size_t written = 0;
      while (file >= 0 && written < body.size()) {
        const auto now = ::write(file, body.data() + written, body.size() - written);
        if (now < 0) break;
        written += static_cast<std::size_t>(now);
      }
      if (written != body.size() || ::fdatasync(file) != 0) failed = true;
      ::close(file);
      ::unlink(path.c_str());
    }
  };
  const auto start = steady::now();
  {
    std::vector<std::jthread> threads;
    for (int which = 0; which < in_flight; ++which)
      threads.emplace_back(write_some, which);
  }
  if (failed) throw std::runtime_error("fetch_large: the disk takes no files");
  return static_cast<double>(body_bytes) * total / (1 << 20) / seconds_since(start);
}

/// The rate, and how many bodies the memory would have held that was in use at the worst moment, for each
/// transfer in flight.
template <class Run> double measured(std::vector<double>& bodies_in_memory, const Run& run) {
  const peak_memory peak;
  const auto rate = run();
  bodies_in_memory.push_back(peak.growth() / in_flight / body_bytes);
  return rate;
}

} // namespace

std::vector<row> fetch_large(const settings& how) {
  const test::nginx_server server;
  server.put_file("large", std::string(body_bytes, 'L'));
  const auto url = server.url() + "/files/large";
  const int total = how.quick ? 64 : 256;
  const int rounds = how.quick ? 3 : 5;
  std::vector<double> ours, limit, disk, our_memory, limit_memory;
  for (int round = 0; round < rounds; ++round) {
    limit.push_back(
        measured(limit_memory, [&] { return bare_curl_body_rate(url, body_bytes, total, in_flight); }));
    disk.push_back(disk_rate(total));
    ours.push_back(measured(our_memory, [&] { return our_rate(url, total); }));
  }
  return {{"fetch_large",
           fmt::format("16 MiB bodies from nginx on loopback, {} in flight, durable at every step, against a "
                       "libcurl multi loop into memory",
                       in_flight),
           median(ours), median(limit), median(ours) / median(limit), "MiB/s"},
          {"fetch_large_disk",
           "the same, against the disk alone: as many files at a time, each written, fdatasync, removed",
           median(ours), median(disk), median(ours) / median(disk), "MiB/s"},
          {"fetch_large_memory",
           "growth of the peak resident memory of fetch_large for each transfer in flight, in bodies; "
           "libcurl's is the body it receives into",
           median(our_memory), median(limit_memory), median(our_memory) / median(limit_memory), "bodies"}};
}

} // namespace dormouse::bench
