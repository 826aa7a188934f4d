#pragma once

/// A server on loopback that says what a test has it say, also where nobody has asked, and counts what it is
/// asked. Connections stay open until it closes them.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstddef>
#include <functional>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace dormouse::test {

/// A response of this text, behind which the connection stays open.
inline std::string kept_open(const std::string& body) {
  return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

class talking_server {
public:
  /// What the request with this number, over all connections from 0, is answered with; nothing closes the
  /// connection. Called on a thread of each connection.
  using answering = std::function<std::optional<std::string>(std::size_t number, const std::string& request)>;

  explicit talking_server(answering answer)
      : answer_(std::move(answer)), socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in here{};
    here.sin_family = AF_INET;
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t bytes = sizeof here;
    if (socket_ < 0 || ::bind(socket_, reinterpret_cast<sockaddr*>(&here), bytes) != 0 ||
        ::listen(socket_, 64) != 0 || ::getsockname(socket_, reinterpret_cast<sockaddr*>(&here), &bytes) != 0)
      throw std::runtime_error("no listening socket");
    port_ = std::to_string(ntohs(here.sin_port));
    thread_ = std::thread([this] { accept_all(); });
  }
  talking_server(const talking_server&) = delete;
  talking_server& operator=(const talking_server&) = delete;
  ~talking_server() {
    ::shutdown(socket_, SHUT_RDWR); // ends accept
    thread_.join();
    {
      std::lock_guard guard(mutex_);
      for (const int each : connections_)
        ::shutdown(each, SHUT_RDWR);
    }
    for (auto& each : threads_)
      each.join();
    for (const int each : connections_)
      ::close(each);
    ::close(socket_);
  }

  std::string url() const { return "http://127.0.0.1:" + port_; }

  std::vector<std::string> requests() const {
    std::lock_guard guard(mutex_);
    return requests_;
  }
  std::size_t connections() const {
    std::lock_guard guard(mutex_);
    return connections_.size();
  }

  /// On all connections, unasked. Loopback has it when this returns.
  void say(std::string_view bytes) {
    std::lock_guard guard(mutex_);
    for (const int each : connections_)
      (void)::send(each, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }

private:
  void accept_all() {
    for (;;) {
      const int connection = ::accept4(socket_, nullptr, nullptr, SOCK_CLOEXEC);
      if (connection < 0) return;
      std::lock_guard guard(mutex_);
      connections_.push_back(connection);
      threads_.emplace_back([this, connection] { serve(connection); });
    }
  }

  void serve(int connection) {
    std::string read;
    for (;;) {
      const auto request = next_request(connection, read);
      if (!request) break;
      std::size_t number = 0;
      {
        std::lock_guard guard(mutex_);
        number = requests_.size();
        requests_.push_back(*request);
      }
      const auto answer = answer_(number, *request);
      if (!answer) break;
      (void)::send(connection, answer->data(), answer->size(), MSG_NOSIGNAL);
    }
    ::shutdown(connection, SHUT_RDWR);
  }

  /// With its body, if it says how long that is.
  static std::optional<std::string> next_request(int connection, std::string& read) {
    for (;;) {
      if (const auto end = read.find("\r\n\r\n"); end != std::string::npos) {
        auto size = end + 4;
        if (const auto length = read.substr(0, end).find("Content-Length: "); length != std::string::npos)
          size += std::stoul(read.substr(length + 16));
        if (read.size() >= size) {
          auto request = read.substr(0, size);
          read.erase(0, size);
          return request;
        }
      }
      char piece[4096];
      const auto got = ::recv(connection, piece, sizeof piece, 0);
      if (got <= 0) return std::nullopt;
      read.append(piece, static_cast<std::size_t>(got));
    }
  }

  const answering answer_;
  const int socket_;
  std::string port_;
  mutable std::mutex mutex_;
  std::vector<std::string> requests_;
  std::vector<int> connections_; ///< closed at the end, so that no number is given out again
  std::vector<std::thread> threads_;
  std::thread thread_;
};

} // namespace dormouse::test
