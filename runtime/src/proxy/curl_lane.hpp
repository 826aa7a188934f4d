#pragma once

/// One libcurl multi handle driven by an event loop (`curl_multi_socket_action`), so that the cost of an
/// event does not grow with the number of open transfers.
///
/// What does grow is the search for a connection to reuse: libcurl walks over all the connections a multi
/// handle has to the same origin, those in use too, and over all there are to find the oldest one to close.
/// So a transport has several lanes, and puts a bounded number of transfers on each.

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <curl/curl.h>

#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

namespace dormouse {

/// Belongs to the thread of its loop, as everything in it.
class curl_lane : public std::enable_shared_from_this<curl_lane> {
public:
  /// Called once for each transfer that ends by itself; it is to be removed then. The lane may not be
  /// destroyed from inside.
  using completion = std::function<void(CURL*, CURLcode)>;

  curl_lane(boost::asio::io_context& loop, completion done);
  curl_lane(const curl_lane&) = delete;
  curl_lane& operator=(const curl_lane&) = delete;

  /// Closes its connections. No transfer may be left.
  ~curl_lane();

  CURLMcode add(CURL* easy);
  void remove(CURL* easy);
  std::size_t transfers() const noexcept { return transfers_; }

  /// Connections that are open and not in use, about: one that is shared by several transfers hides an idle
  /// one.
  std::size_t idle() const noexcept { return sockets_ > transfers_ ? sockets_ - transfers_ : 0; }

  /// How many of those are kept; none at first.
  void keep_idle(std::size_t connections);

  /// For a transfer's CURLOPT_OPENSOCKETFUNCTION, when it has opened a socket; and its
  /// CURLOPT_CLOSESOCKETFUNCTION, with the lane as data.
  void socket_opened() noexcept { ++sockets_; }
  static int close_socket(void* lane, curl_socket_t socket) noexcept;

  /// A connection on which the server has nothing to say between a response and the next request, by its own
  /// end; and whether it has said something, or has closed it. Of a connection that is not watched that is
  /// false.
  void keep_watch(curl_socket_t socket, const char* local_address, int local_port);
  bool has_unread(const char* local_address, int local_port) const;

private:
  struct watch;

  static int on_socket(CURL*, curl_socket_t socket, int what, void* user, void* socket_user);
  static int on_timer(CURLM*, long after_ms, void* user);

  void act_soon();
  void act_at(std::chrono::steady_clock::time_point when);
  void watch_socket(curl_socket_t socket, int what);
  void arm(curl_socket_t socket, const std::shared_ptr<watch>& seen);
  void act(curl_socket_t socket, int events);
  void collect();
  void limit_connections();

  boost::asio::io_context& loop_;
  completion done_;
  CURLM* multi_;
  boost::asio::steady_timer timer_;
  std::optional<std::chrono::steady_clock::time_point> timer_set_; ///< when it fires
  std::optional<std::chrono::steady_clock::time_point> act_at_;    ///< when libcurl wants to be called
  bool act_posted_ = false;
  std::unordered_map<curl_socket_t, std::shared_ptr<watch>> watches_;
  std::map<std::string, curl_socket_t> silent_; ///< by their own ends
  std::unordered_map<curl_socket_t, std::string> ends_;
  std::size_t transfers_ = 0;
  std::size_t sockets_ = 0;
  std::size_t most_idle_ = 0;
};

} // namespace dormouse
