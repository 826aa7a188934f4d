// Servers that answer so as to keep a worker busy, beside others that mean well (R10, R21).

#include "ports/ports.hpp"
#include "raw_server.hpp"
#include "upstream_fixture.hpp"

#include <doctest/doctest.h>
#include <poll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <functional>
#include <list>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace dormouse::test::hostile_origin_test {
namespace {

constexpr std::size_t mib = std::size_t{1} << 20U;

/// Sends each client a beginning, and then the same piece again and again until that one has enough.
class endless_server {
public:
  endless_server(std::string beginning, std::string piece, int pause_ms = 0)
      : beginning_(std::move(beginning)),
        piece_(std::move(piece)),
        pause_ms_(pause_ms),
        stop_(::eventfd(0, EFD_CLOEXEC)),
        socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in here{};
    here.sin_family = AF_INET;
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t bytes = sizeof here;
    if (stop_ < 0 || socket_ < 0 || ::bind(socket_, reinterpret_cast<sockaddr*>(&here), bytes) != 0 ||
        ::listen(socket_, 64) != 0 || ::getsockname(socket_, reinterpret_cast<sockaddr*>(&here), &bytes) != 0)
      throw std::runtime_error("no listening socket");
    url_ = "http://127.0.0.1:" + std::to_string(ntohs(here.sin_port)) + "/";
    thread_ = std::thread([this] { serve(); });
  }
  endless_server(const endless_server&) = delete;
  endless_server& operator=(const endless_server&) = delete;
  ~endless_server() {
    ::eventfd_write(stop_, 1);
    thread_.join();
    for (auto& each : talks_)
      each.join();
    ::close(socket_);
    ::close(stop_);
  }

  const std::string& url() const noexcept { return url_; }

private:
  /// Whether it happens before the server stops.
  bool comes(int socket, short what) const {
    pollfd wanted[] = {{stop_, POLLIN, 0}, {socket, what, 0}};
    return ::poll(wanted, 2, -1) > 0 && wanted[0].revents == 0;
  }
  bool stops_within(int milliseconds) const {
    pollfd wanted{stop_, POLLIN, 0};
    return ::poll(&wanted, 1, milliseconds) > 0;
  }

  void serve() {
    while (comes(socket_, POLLIN)) {
      const int connection = ::accept4(socket_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
      if (connection >= 0) talks_.emplace_back([this, connection] { talk(connection); });
    }
  }

  void talk(int connection) {
    char asked[4096];
    bool goes_on = comes(connection, POLLIN) && ::recv(connection, asked, sizeof asked, 0) > 0;
    for (std::string_view rest = beginning_; goes_on; rest = piece_) {
      while (goes_on && !rest.empty()) {
        goes_on = comes(connection, POLLOUT);
        const auto sent = goes_on ? ::send(connection, rest.data(), rest.size(), MSG_NOSIGNAL) : 0;
        goes_on = goes_on && sent > 0;
        rest.remove_prefix(goes_on ? static_cast<std::size_t>(sent) : 0);
      }
      goes_on = goes_on && !stops_within(pause_ms_);
      if (piece_.empty()) break;
    }
    if (goes_on) comes(connection, POLLIN); // the client has what it wants
    ::close(connection);
  }

  const std::string beginning_;
  const std::string piece_;
  const int pause_ms_;
  const int stop_;
  const int socket_;
  std::string url_;
  std::list<std::thread> talks_; ///< of the serving thread, until that has ended
  std::thread thread_;
};

struct hostile {
  std::string name;
  std::string beginning;
  std::string piece;
  int pause_ms;
  fetch_errc ends_as;
};

std::vector<hostile> all_kinds() {
  const auto bomb = gzip_of_zeros(256 * mib);
  std::string cookies = "HTTP/1.1 200 OK\r\n";
  for (int i = 0; i < 100'000; ++i)
    cookies += "Set-Cookie: c" + std::to_string(i) + "=1\r\n";
  std::string interim;
  for (int i = 0; i < 500; ++i)
    interim += "HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n";
  const std::string chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  return {
      {"bomb",
       "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: " + std::to_string(bomb.size()) +
           "\r\n\r\n" + bomb,
       "", 0, fetch_errc::too_large},
      {"drip", chunked, "1\r\nx\r\n", 5, fetch_errc::timeout},
      {"endless header", "HTTP/1.1 200 OK\r\n", "A-Field: and its value\r\n", 0, fetch_errc::too_large},
      {"endless header line", "HTTP/1.1 200 OK\r\nA: ", std::string(4096, 'a'), 0, fetch_errc::too_large},
      {"endless 1xx", "", interim, 0, fetch_errc::too_large},
      {"chunk extensions", chunked + "1;", std::string(4096, 'e'), 0, fetch_errc::timeout},
      {"cookies", cookies + "\r\n", "", 0, fetch_errc::too_large},
  };
}

/// Ends its worker with a transfer whose URL says so.
class deadly_transport final : public http_transport {
public:
  explicit deadly_transport(std::unique_ptr<http_transport> inner) : inner_(std::move(inner)) {}
  void start(transfer next, completion done) override {
    if (next.fetch->url.find("/k/culprit") != std::string::npos) throw std::runtime_error("the culprit came");
    inner_->start(std::move(next), std::move(done));
  }
  void cancel(std::uint64_t token) override { inner_->cancel(token); }

private:
  std::unique_ptr<http_transport> inner_;
};

std::string answer_in(const std::string& coding, const std::string& body) {
  return "HTTP/1.1 200 OK\r\nContent-Encoding: " + coding +
         "\r\nContent-Length: " + std::to_string(body.size()) + "\r\nConnection: close\r\n\r\n" + body;
}

} // namespace

TEST_CASE_FIXTURE(upstream_fixture, "R10: hostile answers on a worker fail none of the others there") {
  constexpr int of_each_kind = 8;
  constexpr int innocents = 40;
  auto chosen = settings();
  chosen.max_body_bytes = 32 * mib;
  runtime running(chosen);
  auto mine = object(running);
  int number = 0;
  for (const auto& kind : all_kinds()) {
    CAPTURE(kind.name);
    ++number;
    endless_server server(kind.beginning, kind.piece, kind.pause_ms);
    std::vector<order> orders;
    for (int i = 0; i < of_each_kind; ++i)
      orders.push_back({.tag = kind.name + " " + std::to_string(i),
                        .url = server.url(),
                        .timeout_ms = kind.ends_as == fetch_errc::timeout ? 1000 : 60'000,
                        .max_retries = 0});
    for (int i = 0; i < innocents; ++i) {
      orders.push_back(key(std::to_string(number) + "-" + std::to_string(i), "delay_ms=100"));
      orders.back().max_retries = 0;
    }
    value_of(mine.call<&fetcher::send_all>(orders));
    for (const auto& each : orders) {
      const auto result = result_under(mine, each.tag);
      if (each.url == server.url())
        CHECK(to_string(failed(result).code) == to_string(kind.ends_as));
      else
        CHECK(answered(result).ok());
    }
  }
  CHECK(running.stats().worker_restarts == 0);
}

TEST_CASE_FIXTURE(upstream_fixture, "R10: a fetch that ends each worker takes no other with it") {
  constexpr int innocents = 40;
  runtime running(settings(), {.wrap_engine = {},
                               .wrap_transport = [](std::size_t, std::unique_ptr<http_transport> inner) {
                                 return std::make_unique<deadly_transport>(std::move(inner));
                               }});
  auto mine = object(running);
  std::vector<order> orders;
  for (int i = 0; i < innocents; ++i) {
    orders.push_back(key("i" + std::to_string(i), "delay_ms=50"));
    orders.back().max_retries = 0;
    if (i == innocents / 2) orders.push_back(key("culprit"));
  }
  value_of(mine.call<&fetcher::send_all>(orders));
  const auto lost = failed(result_under(mine, "culprit"));
  CHECK(lost.code == fetch_errc::fetch_failed);
  CHECK(contains(lost.message, "the culprit came"));
  for (const auto& each : orders)
    if (each.tag != "culprit") CHECK(answered(result_under(mine, each.tag)).ok());
}

TEST_CASE_FIXTURE(upstream_fixture, "R21: a body in a coding that is not known is handed out as it is") {
  runtime running(settings());
  auto mine = object(running);
  for (const std::string coding : {"foo", "gzip, foo", "aes128gcm", "gzip,gzip,gzip,gzip,gzip,gzip"}) {
    CAPTURE(coding);
    raw_server server(answer_in(coding, "as it is"));
    const auto got = answered(fetched(mine, {.tag = coding, .url = server.url(), .max_retries = 0}));
    CHECK(got.text() == "as it is");
    CHECK(got.headers().get("Content-Encoding") == coding);
  }
}

TEST_CASE_FIXTURE(upstream_fixture,
                  "R9: a body that ends within its coding is incomplete, and fetched again") {
  runtime running(settings());
  auto mine = object(running);
  const auto whole = gzip_of_zeros(100'000);
  for (std::size_t cut = 1; cut < whole.size(); cut += 61) {
    CAPTURE(cut);
    raw_server server(answer_in("gzip", whole), {answer_in("gzip", whole.substr(0, cut))});
    const auto lost =
        failed(fetched(mine, {.tag = "cut" + std::to_string(cut), .url = server.url(), .max_retries = 0}));
    CHECK(lost.code == fetch_errc::network_error);
    CHECK(contains(lost.message, "within its content coding"));
  }
  raw_server server(answer_in("gzip", whole), {answer_in("gzip", whole.substr(0, whole.size() - 1))});
  const auto got = answered(fetched(mine, {.tag = "again", .url = server.url(), .max_retries = 1}));
  CHECK(got.text() == std::string(100'000, '\0'));
}

TEST_CASE_FIXTURE(upstream_fixture,
                  "R21: codings are undone in their order, and what follows one is ignored") {
  runtime running(settings());
  auto mine = object(running);
  const auto once = gzip_of_zeros(1000);
  const auto check = [&](const std::string& name, const std::string& coding, const std::string& body,
                         std::size_t bytes) {
    CAPTURE(name);
    raw_server server(answer_in(coding, body));
    CHECK(answered(fetched(mine, {.tag = name, .url = server.url(), .max_retries = 0})).text() ==
          std::string(bytes, '\0'));
  };
  check("one", "x-gzip", once, 1000);
  check("identity", "identity, GZIP", once, 1000);
  check("members", "gzip", once + once, 2000);
  check("rest", "gzip", once + "rest", 1000);
  check("none", "gzip", "", 0);
  raw_server server(answer_in("gzip", "no gzip at all"));
  const auto bad = failed(fetched(mine, {.tag = "bad", .url = server.url(), .max_retries = 0}));
  CHECK(bad.code == fetch_errc::fetch_failed);
  CHECK(contains(bad.message, "not in its coding, gzip"));
}

} // namespace dormouse::test::hostile_origin_test
