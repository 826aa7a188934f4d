#include "upstream/upstream_connection.hpp"

#include "upstream/append_number.hpp"
#include "upstream/reply.hpp"
#include "upstream/work_reply.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/status.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <span>
#include <utility>

namespace dormouse::samples {

namespace asio = boost::asio;
namespace http = boost::beast::http;

namespace {

// A client that pipelines, or takes a huge body as fast as it is written, must
// not keep the other connections waiting: after this much it queues again.
constexpr int answers_in_a_row = 16;
constexpr std::size_t writes_in_a_row = 4;

constexpr std::chrono::milliseconds linger_time{2000};
constexpr std::chrono::milliseconds default_slow_pause{10};

// Room beyond the header limit, so that the parser is the one to notice it.
constexpr std::size_t input_slack = 1024;

std::string_view reason_of(std::uint16_t status) {
  const auto reason = http::obsolete_reason(http::int_to_status(status));
  return {reason.data(), reason.size()};
}

} // namespace

upstream_connection::upstream_connection(socket_type socket, traffic_counters& counters, applications& behind,
                                         const upstream_options& options)
    : socket_{std::move(socket)},
      timer_{socket_.get_executor()},
      counters_{counters},
      behind_{behind},
      options_{options},
      input_{options.header_limit + input_slack} {
  counters_.connection_opened();
}

upstream_connection::~upstream_connection() {
  counters_.abandoned(ticket_);
  counters_.connection_closed();
}

void upstream_connection::start() {
  error_code error;
  socket_.non_blocking(true, error); // writes are tried before they are waited for
  if (error) {
    close();
    return;
  }
  advance();
}

void upstream_connection::advance() {
  for (int turn = 0; phase_ == phase::reading; ++turn) {
    if (turn == answers_in_a_row) {
      asio::post(socket_.get_executor(), [self = shared_from_this()] { self->advance(); });
      return;
    }
    if (!take_request()) {
      return;
    }
    begin_answer();
  }
}

// True when a whole request is in; otherwise what happens next is under way.
bool upstream_connection::take_request() {
  if (!reader_) {
    // RFC 9112, 2.2: an empty line before a request is to be ignored.
    while (input_.bytes().starts_with("\r\n")) {
      input_.consume(2);
    }
    input_.release_if_large();
    if (input_.empty() || input_.bytes() == "\r") {
      listen();
      return false;
    }
    request_ = incoming_request{};
    reader_.emplace(request_, options_);
  }
  while (!input_.empty()) {
    const auto bytes = input_.bytes();
    error_code error;
    const auto used = reader_->put(asio::const_buffer{bytes.data(), bytes.size()}, error);
    input_.consume(used);
    if (error == http::error::need_more) {
      if (input_.at_limit()) {
        refuse(http::error::header_limit);
        return false;
      }
      break;
    }
    if (error) {
      refuse(error);
      return false;
    }
    if (reader_->is_done()) {
      return true;
    }
  }
  if (reader_->is_header_done() && reader_->take_expectation() && !write_continue()) {
    close();
    return false;
  }
  listen();
  return false;
}

// Written without a wait: the client has nothing else to read at this point, so
// the socket has room for these few bytes.
bool upstream_connection::write_continue() {
  constexpr std::string_view interim = "HTTP/1.1 100 Continue\r\n\r\n";
  error_code error;
  return socket_.write_some(asio::const_buffer{interim.data(), interim.size()}, error) == interim.size();
}

void upstream_connection::listen() {
  if (listening_) {
    return;
  }
  listening_ = true;
  if (phase_ == phase::reading) {
    const auto room = input_.prepare();
    socket_.async_read_some(asio::mutable_buffer{room.data(), room.size()},
                            [self = shared_from_this()](const error_code& error, std::size_t count) {
                              self->on_received(error, count);
                            });
    return;
  }
  // No buffer is handed over here: one may wait like this for hours, and the
  // answer may be done and the input parsed on before anything arrives.
  socket_.async_wait(socket_type::wait_read,
                     [self = shared_from_this()](const error_code& error) { self->on_readable(error); });
}

void upstream_connection::on_received(const error_code& error, std::size_t count) {
  listening_ = false;
  if (phase_ == phase::closed) {
    return;
  }
  if (error) {
    close();
    return;
  }
  input_.commit(count);
  advance();
}

void upstream_connection::on_readable(const error_code& error) {
  listening_ = false;
  if (phase_ == phase::closed) {
    return;
  }
  if (error) {
    close();
    return;
  }
  if (phase_ == phase::hanging || phase_ == phase::lingering) {
    discard_input();
    return;
  }
  if (input_.at_limit()) {
    return; // requests to come; the answer under way has to be done first
  }
  const auto room = input_.prepare();
  error_code read_error;
  const auto count = socket_.read_some(asio::mutable_buffer{room.data(), room.size()}, read_error);
  if (read_error && read_error != asio::error::would_block) {
    close();
    return;
  }
  input_.commit(count);
  if (phase_ == phase::reading) {
    advance();
  } else {
    listen();
  }
}

void upstream_connection::discard_input() {
  std::array<char, 16384> scratch; // NOLINT: written by the read, never looked at
  error_code error;
  static_cast<void>(socket_.read_some(asio::buffer(scratch), error));
  if (error && error != asio::error::would_block) {
    close();
    return;
  }
  listen();
}

void upstream_connection::begin_answer() {
  keep_alive_ = reader_->keep_alive();
  http_1_0_ = reader_->is_http_1_0();
  reader_.reset();

  const auto& plan = request_.plan;
  if (!plan.problem.empty()) {
    send(error_reply(400, plan.problem), {});
    return;
  }
  if (!is_work(plan.where)) {
    answer_control();
    return;
  }
  ticket_ = counters_.received(plan.key, request_.idempotency_key);
  if (plan.delay.count() > 0) {
    wait(phase::delaying, plan.delay);
    return;
  }
  answer_work();
}

void upstream_connection::answer_control() {
  const auto& plan = request_.plan;
  if (plan.where == route::unknown) {
    send(error_reply(404, "no such path"), {});
    return;
  }
  const bool reads = request_.method == "GET" || request_.method == "HEAD";
  const bool allowed = plan.where == route::reset ? request_.method == "POST" : reads;
  if (!allowed) {
    send(wrong_method(plan.where == route::reset ? "POST" : "GET, HEAD"), {});
    return;
  }
  reply answer;
  if (plan.where == route::reset) {
    counters_.reset();
    answer.body = text_body("{}");
  } else if (plan.where == route::summary) {
    answer.body = text_body(counters_.summary_json());
  } else {
    answer.body = text_body(counters_.counters_json(plan.with_answered));
  }
  send(std::move(answer), {});
}

void upstream_connection::answer_work() {
  const auto& plan = request_.plan;
  const bool early = ticket_.hit() <= plan.fail_first;
  const bool breaks = breaks_answer(plan.mode);
  if (breaks && (early || plan.fail_first == 0)) {
    if (break_off(plan.mode)) {
      return;
    }
    send(work_reply(request_, ticket_.hit(), std::nullopt, behind_), {.truncated = true});
    return;
  }
  const auto failure = early && !breaks ? std::optional{plan.fail_status} : std::nullopt;
  auto answer = work_reply(request_, ticket_.hit(), failure, behind_);
  const auto framing = work_framing(answer.body.size);
  send(std::move(answer), framing);
}

// False for the mode that does send something.
bool upstream_connection::break_off(answer_mode mode) {
  if (mode == answer_mode::drop_body) {
    return false;
  }
  if (mode == answer_mode::hang) {
    phase_ = phase::hanging;
    input_ = receive_buffer{options_.header_limit + input_slack};
    listen();
    return true;
  }
  if (mode == answer_mode::abort) {
    error_code ignored;
    socket_.set_option(asio::socket_base::linger{true, 0}, ignored); // close becomes a reset
  }
  close();
  return true;
}

answer_framing upstream_connection::work_framing(std::uint64_t size) const {
  const auto& plan = request_.plan;
  answer_framing framing;
  if (plan.mode != answer_mode::chunked && plan.mode != answer_mode::slow_body) {
    return framing;
  }
  // HTTP/1.0 knows no chunks: such a client gets the same pieces, by length.
  framing.chunked = plan.mode == answer_mode::chunked && !http_1_0_;
  framing.piece_limit = std::max<std::uint64_t>(1, (size + plan.chunks - 1) / plan.chunks);
  return framing;
}

void upstream_connection::refuse(const error_code& error) {
  reader_.reset();
  request_ = incoming_request{};
  keep_alive_ = false; // where the next request would start is anyone's guess
  http_1_0_ = false;
  if (error == http::error::header_limit) {
    send(error_reply(431, "header too large"), {});
  } else if (error == http::error::body_limit) {
    send(error_reply(413, "body too large"), {});
  } else if (error == http::error::bad_version) {
    send(error_reply(505, "only HTTP/1.0 and HTTP/1.1"), {});
  } else {
    send(error_reply(400, "not an HTTP request"), {});
  }
}

void upstream_connection::send(reply answer, answer_framing framing) {
  const bool no_content = answer.status == 204 || answer.status == 304;
  if (answer.status == 205) {
    answer.body = answer_body{};
  }
  std::string head;
  head.reserve(128 + answer.extra_headers.size());
  head += "HTTP/1.1 ";
  append_number(head, answer.status);
  head += ' ';
  head += reason_of(answer.status);
  head += "\r\n";
  if (!no_content) {
    head += "content-type: ";
    head += answer.content_type;
    if (framing.chunked) {
      head += "\r\ntransfer-encoding: chunked\r\n";
    } else {
      head += "\r\ncontent-length: ";
      append_number(head, answer.body.size);
      head += "\r\n";
    }
  }
  head += answer.extra_headers;
  if (!keep_alive_) {
    head += "connection: close\r\n";
  } else if (http_1_0_) {
    head += "connection: keep-alive\r\n";
  }
  head += "\r\n";
  if (no_content || request_.method == "HEAD") {
    answer.body = answer_body{};
    framing.chunked = false;
  }
  output_ = answer_stream{std::move(head), std::move(answer.body), framing};
  phase_ = phase::writing;
  pump();
}

// Writes until the answer is out or something has to be waited for. Ends in
// phase `reading` when the connection is ready for the next request.
void upstream_connection::pump() {
  for (std::size_t writes = 0; phase_ == phase::writing; ++writes) {
    if (output_.piece_done()) {
      if (output_.on_last_piece()) {
        finish_answer();
        return;
      }
      output_.next_piece();
      const auto& plan = request_.plan;
      const auto pause = plan.chunk_pause.value_or(
          plan.mode == answer_mode::slow_body ? default_slow_pause : std::chrono::milliseconds{0});
      if (pause.count() > 0) {
        wait(phase::pausing, pause);
        return;
      }
    }
    if (writes == writes_in_a_row) {
      asio::post(socket_.get_executor(), [self = shared_from_this()] {
        self->pump();
        self->advance();
      });
      return;
    }
    if (!write_some()) {
      return;
    }
  }
}

// False when the socket takes no more for now, or is gone.
bool upstream_connection::write_some() {
  std::array<asio::const_buffer, 16> buffers;
  const auto gathered = output_.gather(buffers);
  traffic_counters::hold held;
  if (gathered.reaches_end && output_.on_last_piece()) {
    held = counters_.hold_readers();
  }
  error_code error;
  const auto count = socket_.write_some(std::span{buffers}.first(gathered.count), error);
  output_.written(count);
  if (held && !output_.truncated() && output_.piece_done()) {
    counters_.answered(ticket_, held);
  }
  if (held) {
    held.unlock(); // what follows may need the counters
  }
  if (error == asio::error::would_block) {
    socket_.async_wait(socket_type::wait_write, [self = shared_from_this()](const error_code& wait_error) {
      if (wait_error) {
        self->close();
        return;
      }
      self->pump();
      self->advance();
    });
    return false;
  }
  if (error) {
    close();
    return false;
  }
  return true;
}

void upstream_connection::finish_answer() {
  const bool truncated = output_.truncated();
  output_ = answer_stream{};
  if (truncated) {
    close();
  } else if (keep_alive_) {
    phase_ = phase::reading;
  } else {
    linger();
  }
}

void upstream_connection::wait(phase next, std::chrono::milliseconds duration) {
  phase_ = next;
  timer_.expires_after(duration);
  timer_.async_wait([self = shared_from_this()](const error_code& error) {
    if (!error) {
      self->on_timer();
    }
  });
  input_.release_if_empty();
  listen();
}

// A timer that fired just before it was cancelled still arrives here; the phase
// tells, since only its own timer or the end takes a connection out of a wait.
void upstream_connection::on_timer() {
  switch (phase_) {
  case phase::delaying:
    answer_work();
    advance();
    break;
  case phase::pausing:
    phase_ = phase::writing;
    pump();
    advance();
    break;
  case phase::lingering:
    close();
    break;
  case phase::reading:
  case phase::writing:
  case phase::hanging:
  case phase::closed:
    break;
  }
}

// Closing with unread input makes the kernel send a reset, which can destroy an
// answer the client has not read yet. So: no more from here, and a moment to
// read what is still on its way.
void upstream_connection::linger() {
  error_code error;
  socket_.shutdown(socket_type::shutdown_send, error);
  if (error) {
    close();
    return;
  }
  input_ = receive_buffer{options_.header_limit + input_slack};
  wait(phase::lingering, linger_time);
}

void upstream_connection::close() {
  if (phase_ == phase::closed) {
    return;
  }
  phase_ = phase::closed;
  counters_.abandoned(ticket_);
  timer_.cancel();
  error_code ignored;
  socket_.close(ignored);
}

} // namespace dormouse::samples
