#pragma once

/// A socket on loopback that listens and never answers: whoever must not be connected to.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <stdexcept>
#include <string>

namespace dormouse::test {

class listening_socket {
public:
  listening_socket() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    sockaddr_in here{};
    here.sin_family = AF_INET;
    here.sin_addr.s_addr = htonl(INADDR_ANY); // 127.0.0.1, 127.0.0.2 and every other address of this host
    socklen_t bytes = sizeof here;
    if (socket_ < 0 || ::bind(socket_, reinterpret_cast<sockaddr*>(&here), bytes) != 0 ||
        ::listen(socket_, 64) != 0 || ::getsockname(socket_, reinterpret_cast<sockaddr*>(&here), &bytes) != 0)
      throw std::runtime_error("no listening socket");
    port_ = std::to_string(ntohs(here.sin_port));
  }
  listening_socket(const listening_socket&) = delete;
  listening_socket& operator=(const listening_socket&) = delete;
  ~listening_socket() { ::close(socket_); }

  const std::string& port() const noexcept { return port_; }

  /// How many connections came since it was last asked. The kernel takes a connection without our help, so
  /// one that came is seen here.
  std::size_t connections() {
    std::size_t count = 0;
    for (int next = ::accept(socket_, nullptr, nullptr); next >= 0;
         next = ::accept(socket_, nullptr, nullptr)) {
      ::close(next);
      ++count;
    }
    return count;
  }

private:
  int socket_;
  std::string port_;
};

} // namespace dormouse::test
