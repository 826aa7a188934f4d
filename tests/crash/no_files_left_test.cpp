// A worker that hangs while the process has no file descriptor left for another one.

#include "eventually.hpp"
#include "ports/ports.hpp"
#include "upstream/upstream_server.hpp"

#include <dormouse/dormouse.hpp>

#include <doctest/doctest.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>

#include <atomic>
#include <condition_variable>
#include <mutex>

namespace dormouse::test::no_files_left_test {
namespace {

class listener : public durable_object {
public:
  void ask(std::string url) { fetch(url).then<&listener::on_answer>(); }
  void on_answer(fetch_result result) { status_ = result ? result->status() : 1; }
  std::uint16_t status() const { return status_; }

  template <class Archive> void serialize(Archive& ar) { ar(status_); }

  using methods = dormouse::methods<"LISTENER", dormouse::method<"ask", &listener::ask>,
                                    dormouse::method<"on_answer", &listener::on_answer>,
                                    dormouse::method<"status", &listener::status>>;

private:
  std::uint16_t status_ = 0;
};

/// Holds up whoever comes, until it is opened.
class door {
public:
  void pass() {
    std::unique_lock lock(mutex_);
    opened_.wait(lock, [this] { return open_; });
  }
  void open() {
    std::lock_guard guard(mutex_);
    open_ = true;
    opened_.notify_all();
  }

private:
  std::mutex mutex_;
  std::condition_variable opened_;
  bool open_ = false;
};

/// Its worker's thread hangs with the first transfer.
class hanging_transport final : public http_transport {
public:
  explicit hanging_transport(std::shared_ptr<door> until) : until_(std::move(until)) {}
  void start(transfer, completion) override { until_->pass(); }
  void cancel(std::uint64_t) override {}

private:
  std::shared_ptr<door> until_;
};

/// Counts the log messages that say so.
class failed_replacements final : public spdlog::sinks::base_sink<std::mutex> {
public:
  std::atomic<int> count{0};

private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    count += std::string_view(message.payload.data(), message.payload.size()).find("cannot be replaced") !=
                     std::string_view::npos
                 ? 1
                 : 0;
  }
  void flush_() override {}
};

/// No new descriptor can be had while it lives.
class no_new_files {
public:
  no_new_files() {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    auto none = before_;
    none.rlim_cur = 0;
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
  }
  no_new_files(const no_new_files&) = delete;
  no_new_files& operator=(const no_new_files&) = delete;
  ~no_new_files() { ::setrlimit(RLIMIT_NOFILE, &before_); }

private:
  rlimit before_{};
};

TEST_CASE(
    "R10: a worker that cannot be replaced for want of file descriptors is replaced when there are some") {
  samples::upstream_server upstream;
  upstream.start();
  scratch_directory directory;
  auto until = std::make_shared<door>();
  std::atomic<bool> first{true};
  ports outside;
  outside.wrap_transport =
      [until, &first](std::size_t, std::unique_ptr<http_transport> real) -> std::unique_ptr<http_transport> {
    if (first.exchange(false)) return std::make_unique<hanging_transport>(until);
    return real;
  };
  auto failures = std::make_shared<failed_replacements>();
  spdlog::register_logger(
      std::make_shared<spdlog::logger>("dormouse", failures)); // the runtime takes the program's own
  {
    runtime host({.directory = directory.path(),
                  .allow = {"127.0.0.1"},
                  .proxy_workers = 1,
                  .worker_lease = std::chrono::milliseconds(200)},
                 std::move(outside));
    host.define<listener>();
    auto object = host.get<listener>("x");
    {
      no_new_files none;
      object.call<&listener::ask>(upstream.url() + "/k/x").get();
      CHECK(eventually([&failures] { return failures->count >= 1; })); // and is said once a minute
      CHECK(host.stats().worker_restarts == 0);
    }
    CHECK(eventually([&object] { return object.call<&listener::status>().get() == 200; }));
    CHECK(host.stats().worker_restarts == 1);
    CHECK(upstream.hits("x") == 1);
    until->open();
  }
  spdlog::drop("dormouse");
}

} // namespace
} // namespace dormouse::test::no_files_left_test
