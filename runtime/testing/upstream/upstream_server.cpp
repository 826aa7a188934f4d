#include "upstream/upstream_server.hpp"

#include "upstream/applications.hpp"
#include "upstream/upstream_connection.hpp"

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/system/system_error.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <thread>
#include <utility>

namespace dormouse::samples {

namespace asio = boost::asio;

namespace {

// The kernel lowers it to net.core.somaxconn.
constexpr int backlog = 65535;

// A burst of connects is drained in stretches, so that the connections already
// there get their turn in between.
constexpr int accepts_in_a_row = 256;

// How soon to try again when the process is out of file descriptors.
constexpr std::chrono::milliseconds accept_retry{20};

} // namespace

// The running half of a server: its event loop, its thread, its listening socket.
class upstream_server::service {
public:
  service(std::uint16_t port, traffic_counters& counters, applications& behind,
          const upstream_options& options)
      : counters_{counters}, behind_{behind}, options_{options} {
    const asio::ip::tcp::endpoint endpoint{asio::ip::address_v4::loopback(), port};
    acceptor_.open(endpoint.protocol());
    acceptor_.set_option(asio::socket_base::reuse_address{true});
    // Linux hands this on to every accepted socket, which saves a system
    // call for each. Pieces of an answer are to leave when they are written.
    acceptor_.set_option(asio::ip::tcp::no_delay{true});
    acceptor_.bind(endpoint);
    acceptor_.listen(backlog);
    acceptor_.non_blocking(true);
    accept_later();
    thread_ = std::thread{[this] { run(); }};
  }

  ~service() {
    context_.stop();
    thread_.join();
  }

  service(const service&) = delete;
  service& operator=(const service&) = delete;

  [[nodiscard]] std::uint16_t port() const { return acceptor_.local_endpoint().port(); }

private:
  using executor_type = upstream_connection::executor_type;
  using acceptor_type = asio::basic_socket_acceptor<asio::ip::tcp, executor_type>;
  using timer_type = asio::basic_waitable_timer<std::chrono::steady_clock,
                                                asio::wait_traits<std::chrono::steady_clock>, executor_type>;
  using error_code = boost::system::error_code;

  // An exception out of a handler (out of memory, in practice) costs the
  // connection it happened on, which goes with the handler, and nothing else.
  void run() noexcept {
    while (!context_.stopped()) {
      try {
        context_.run();
      } catch (const std::exception& error) {
        static_cast<void>(std::fprintf(stderr, "upstream: a connection failed: %s\n", error.what()));
      }
    }
  }

  void accept_later() {
    acceptor_.async_wait(acceptor_type::wait_read, [this](const error_code& error) {
      if (!error) {
        accept_waiting();
      }
    });
  }

  void accept_waiting() {
    for (int accepted = 0; accepted < accepts_in_a_row; ++accepted) {
      upstream_connection::socket_type socket{context_.get_executor()};
      error_code error;
      acceptor_.accept(socket, error);
      if (error == asio::error::would_block) {
        break;
      }
      if (error == asio::error::no_descriptors ||
          error == boost::system::errc::too_many_files_open_in_system ||
          error == asio::error::no_buffer_space || error == asio::error::no_memory) {
        accept_after_pause();
        return;
      }
      if (error) {
        continue; // that client is gone already
      }
      try {
        std::make_shared<upstream_connection>(std::move(socket), counters_, behind_, options_)->start();
      } catch (const std::exception&) {
        accept_later(); // the loop reports it; the listening goes on
        throw;
      }
    }
    accept_later();
  }

  // Still readable, so waiting for that would only spin.
  void accept_after_pause() {
    retry_.expires_after(accept_retry);
    retry_.async_wait([this](const error_code& error) {
      if (!error) {
        accept_waiting();
      }
    });
  }

  traffic_counters& counters_;
  applications& behind_;
  const upstream_options& options_;
  // Destroyed last: what is left of the connections goes with it.
  asio::io_context context_{1};
  acceptor_type acceptor_{context_.get_executor()};
  timer_type retry_{context_.get_executor()};
  std::thread thread_;
};

upstream_server::upstream_server(upstream_options options)
    : options_{options}, behind_{std::make_unique<applications>()} {}

upstream_server::~upstream_server() { stop(); }

void upstream_server::start() {
  if (service_) {
    throw std::logic_error{"upstream_server: already started"};
  }
  const auto wanted = port_ != 0 ? port_ : options_.port;
  try {
    service_ = std::make_unique<service>(wanted, counters_, *behind_, options_);
    port_ = service_->port();
  } catch (const boost::system::system_error& error) {
    throw std::runtime_error{"upstream_server: cannot listen on 127.0.0.1:" + std::to_string(wanted) + ": " +
                             error.code().message()};
  }
}

void upstream_server::stop() noexcept { service_.reset(); }

std::uint16_t upstream_server::port() const noexcept { return port_; }

std::string upstream_server::url() const { return "http://127.0.0.1:" + std::to_string(port_); }

std::uint64_t upstream_server::hits(std::string_view key) const { return counters_.hits(key); }

std::uint64_t upstream_server::answered(std::string_view key) const { return counters_.answered(key); }

std::uint64_t upstream_server::total() const { return counters_.summary().total; }

traffic_counters::idempotency_counts upstream_server::idempotency(std::string_view key) const {
  return counters_.idempotency(key);
}

traffic_summary upstream_server::summary() const { return counters_.summary(); }

void upstream_server::reset_counters() { counters_.reset(); }

} // namespace dormouse::samples
