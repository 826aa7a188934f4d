#pragma once

/// One client connection: read a request, wait if asked to, answer, repeat.
///
/// A connection is a small state machine driven by asio on a single thread. Its
/// common path is one read and one write: the answer is written at once, without
/// waiting for writability, and only a full socket buffer makes it wait. While an
/// answer is delayed the connection still watches for the client's close, so a
/// request nobody waits for any more is given up and counted as such. A client
/// that only half-closes is taken to be gone, as most servers do.

#include "upstream/answer_stream.hpp"
#include "upstream/applications.hpp"
#include "upstream/receive_buffer.hpp"
#include "upstream/reply.hpp"
#include "upstream/request_reader.hpp"
#include "upstream/traffic_counters.hpp"
#include "upstream/upstream_options.hpp"

#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace dormouse::samples {

class upstream_connection : public std::enable_shared_from_this<upstream_connection> {
public:
  /// The concrete executor: the default, type-erased one costs an allocation
  /// and an indirect call per operation.
  using executor_type = boost::asio::io_context::executor_type;
  using socket_type = boost::asio::basic_stream_socket<boost::asio::ip::tcp, executor_type>;

  /// `counters`, `behind` and `options` outlive the connection.
  upstream_connection(socket_type socket, traffic_counters& counters, applications& behind,
                      const upstream_options& options);
  ~upstream_connection();

  upstream_connection(const upstream_connection&) = delete;
  upstream_connection& operator=(const upstream_connection&) = delete;

  void start();

private:
  using clock = std::chrono::steady_clock;
  using timer_type = boost::asio::basic_waitable_timer<clock, boost::asio::wait_traits<clock>, executor_type>;
  using error_code = boost::system::error_code;

  enum class phase : std::uint8_t {
    reading,   ///< the next request
    delaying,  ///< until the answer is due
    writing,   ///< until the socket takes more
    pausing,   ///< between two pieces of an answer
    hanging,   ///< until the client gives up
    lingering, ///< said goodbye, reads what is still on its way
    closed,
  };

  // Reading.
  void advance();
  [[nodiscard]] bool take_request();
  void listen();
  void on_received(const error_code& error, std::size_t count);
  void on_readable(const error_code& error);
  void discard_input();
  [[nodiscard]] bool write_continue();

  // Answering.
  void begin_answer();
  void answer_control();
  void answer_work();
  [[nodiscard]] bool break_off(answer_mode mode);
  [[nodiscard]] answer_framing work_framing(std::uint64_t size) const;
  void refuse(const error_code& error);
  void send(reply answer, answer_framing framing);

  // Writing.
  void pump();
  [[nodiscard]] bool write_some();
  void finish_answer();

  // Waiting and ending.
  void wait(phase next, std::chrono::milliseconds duration);
  void on_timer();
  void linger();
  void close();

  socket_type socket_;
  timer_type timer_;
  traffic_counters& counters_;
  applications& behind_;
  const upstream_options& options_;
  receive_buffer input_;
  incoming_request request_;
  std::optional<request_reader> reader_; ///< while a request is being read
  answer_stream output_;
  traffic_counters::ticket ticket_;
  phase phase_ = phase::reading;
  bool listening_ = false; ///< a read or a wait for one is under way
  bool keep_alive_ = true;
  bool http_1_0_ = false;
};

} // namespace dormouse::samples
