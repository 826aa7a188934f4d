#include "proxy/curl_lane.hpp"

#include <boost/asio/post.hpp>
#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <utility> // Boost 1.74's Asio uses std::exchange without it

namespace dormouse {

namespace asio = boost::asio;
using std::chrono::steady_clock;

/// One of libcurl's sockets, watched by the loop. libcurl opens and closes it; we only look.
struct curl_lane::watch {
  explicit watch(asio::io_context& loop) : descriptor(loop) {}
  asio::posix::stream_descriptor descriptor;
  int wanted = 0;
  bool reading = false;
  bool writing = false;
  bool gone = false;
};

curl_lane::curl_lane(asio::io_context& loop, completion done)
    : loop_(loop), done_(std::move(done)), multi_(curl_multi_init()), timer_(loop) {
  curl_multi_setopt(multi_, CURLMOPT_SOCKETFUNCTION, &curl_lane::on_socket);
  curl_multi_setopt(multi_, CURLMOPT_SOCKETDATA, this);
  curl_multi_setopt(multi_, CURLMOPT_TIMERFUNCTION, &curl_lane::on_timer);
  curl_multi_setopt(multi_, CURLMOPT_TIMERDATA, this);
}

curl_lane::~curl_lane() {
  curl_multi_cleanup(multi_);
  for (auto& [socket, seen] : watches_) {
    seen->gone = true;
    seen->descriptor.release();
  }
}

CURLMcode curl_lane::add(CURL* easy) {
  auto code = curl_multi_add_handle(multi_, easy);
  if (code == CURLM_OK) {
    ++transfers_;
    limit_connections();
  }
  return code;
}

void curl_lane::remove(CURL* easy) {
  curl_multi_remove_handle(multi_, easy);
  --transfers_;
  limit_connections();
}

void curl_lane::keep_idle(std::size_t connections) {
  most_idle_ = connections;
  limit_connections();
}

int curl_lane::close_socket(void* lane, curl_socket_t socket) noexcept {
  auto& self = *static_cast<curl_lane*>(lane);
  --self.sockets_;
  if (const auto known = self.ends_.find(socket); known != self.ends_.end()) {
    self.silent_.erase(known->second);
    self.ends_.erase(known);
  }
  return ::close(socket);
}

void curl_lane::keep_watch(curl_socket_t socket, const char* local_address, int local_port) {
  auto end = fmt::format("{} {}", local_address, local_port);
  silent_.insert_or_assign(end, socket);
  ends_.insert_or_assign(socket, std::move(end));
}

bool curl_lane::has_unread(const char* local_address, int local_port) const {
  const auto known = silent_.find(fmt::format("{} {}", local_address, local_port));
  if (known == silent_.end()) return false;
  char first = 0;
  return ::recv(known->second, &first, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 || errno != EAGAIN;
}

/// libcurl's limit counts the connections in use as well: were it fixed, then beyond that many transfers none
/// would be kept.
void curl_lane::limit_connections() {
  curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, static_cast<long>(transfers_ + most_idle_));
}

int curl_lane::on_socket(CURL*, curl_socket_t socket, int what, void* user, void*) {
  static_cast<curl_lane*>(user)->watch_socket(socket, what);
  return 0;
}

int curl_lane::on_timer(CURLM*, long after_ms, void* user) {
  auto* self = static_cast<curl_lane*>(user);
  self->act_at_.reset();
  if (after_ms == 0)
    self->act_soon();
  else if (after_ms > 0)
    self->act_at(steady_clock::now() + std::chrono::milliseconds(after_ms));
  return 0;
}

/// libcurl asks for "now" with every transfer that it is given. It must not be called back from inside of its
/// callback.
void curl_lane::act_soon() {
  if (std::exchange(act_posted_, true)) return;
  asio::post(loop_, [lane = weak_from_this()] {
    if (auto alive = lane.lock()) {
      alive->act_posted_ = false;
      alive->act(CURL_SOCKET_TIMEOUT, 0);
    }
  });
}

/// libcurl moves its time with every transfer, mostly further away. Setting a timer costs a system call that
/// is slow on a virtual machine, so one that is set is left alone unless it is too late; when it fires too
/// early it is set again.
void curl_lane::act_at(steady_clock::time_point when) {
  act_at_ = when;
  if (timer_set_ && *timer_set_ <= when) return;
  timer_set_ = when;
  timer_.expires_at(when); // cancels the one before
  timer_.async_wait([lane = weak_from_this()](const boost::system::error_code& cancelled) {
    auto alive = lane.lock();
    if (!alive || cancelled) return;
    alive->timer_set_.reset();
    if (!alive->act_at_) return;
    if (*alive->act_at_ > steady_clock::now()) return alive->act_at(*alive->act_at_);
    alive->act_at_.reset();
    alive->act(CURL_SOCKET_TIMEOUT, 0);
  });
}

void curl_lane::watch_socket(curl_socket_t socket, int what) {
  auto& seen = watches_[socket];
  if (what == CURL_POLL_REMOVE) {
    if (seen) {
      seen->gone = true;
      seen->descriptor.release();
    }
    watches_.erase(socket);
    return;
  }
  if (!seen) {
    seen = std::make_shared<watch>(loop_);
    seen->descriptor.assign(socket);
  }
  seen->wanted = what;
  arm(socket, seen);
}

void curl_lane::arm(curl_socket_t socket, const std::shared_ptr<watch>& seen) {
  const auto wait = [this, socket, &seen](asio::posix::stream_descriptor::wait_type kind, bool watch::*armed,
                                          int events) {
    seen.get()->*armed = true;
    seen->descriptor.async_wait(
        kind, [this, socket, seen = seen, armed, events](const boost::system::error_code& failed) {
          if (seen->gone) return; // `this` may be gone too
          seen.get()->*armed = false;
          act(socket, failed ? CURL_CSELECT_ERR : events);
          if (!seen->gone) arm(socket, seen);
        });
  };
  if ((seen->wanted & CURL_POLL_IN) != 0 && !seen->reading)
    wait(asio::posix::stream_descriptor::wait_read, &watch::reading, CURL_CSELECT_IN);
  if ((seen->wanted & CURL_POLL_OUT) != 0 && !seen->writing)
    wait(asio::posix::stream_descriptor::wait_write, &watch::writing, CURL_CSELECT_OUT);
}

void curl_lane::act(curl_socket_t socket, int events) {
  int running = 0;
  curl_multi_socket_action(multi_, socket, events, &running);
  collect();
}

void curl_lane::collect() {
  int left = 0;
  while (auto* message = curl_multi_info_read(multi_, &left)) {
    if (message->msg == CURLMSG_DONE) done_(message->easy_handle, message->data.result);
  }
}

} // namespace dormouse
