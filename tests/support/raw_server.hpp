#pragma once

/// A server on loopback that gives every request the same bytes, whatever they are, and the first ones others
/// if told so; and a compressed body to give.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace dormouse::test {

class raw_server {
public:
  /// `first`: the answers to the first requests, one each.
  explicit raw_server(std::string answer, std::vector<std::string> first = {})
      : answer_(std::move(answer)),
        first_(std::move(first)),
        socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in here{};
    here.sin_family = AF_INET;
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t bytes = sizeof here;
    if (socket_ < 0 || ::bind(socket_, reinterpret_cast<sockaddr*>(&here), bytes) != 0 ||
        ::listen(socket_, 16) != 0 || ::getsockname(socket_, reinterpret_cast<sockaddr*>(&here), &bytes) != 0)
      throw std::runtime_error("no listening socket");
    port_ = std::to_string(ntohs(here.sin_port));
    thread_ = std::thread([this] { serve(); });
  }
  raw_server(const raw_server&) = delete;
  raw_server& operator=(const raw_server&) = delete;
  ~raw_server() {
    stopping_ = true;
    ::shutdown(socket_, SHUT_RDWR); // ends accept
    if (const int open = connection_; open >= 0)
      ::shutdown(open, SHUT_RDWR); // a client may keep it for its next request
    thread_.join();
    ::close(socket_);
  }

  std::string url() const { return "http://127.0.0.1:" + port_ + "/"; }
  const std::string& answer() const noexcept { return answer_; }

private:
  void serve() {
    for (std::size_t hit = 0; !stopping_; ++hit) {
      const int connection = ::accept4(socket_, nullptr, nullptr, SOCK_CLOEXEC);
      if (connection < 0) return;
      connection_ = connection;
      if (stopping_) ::shutdown(connection, SHUT_RDWR);
      std::string request;
      char piece[4096];
      while (request.find("\r\n\r\n") == std::string::npos) {
        const auto got = ::recv(connection, piece, sizeof piece, 0);
        if (got <= 0) break;
        request.append(piece, static_cast<std::size_t>(got));
      }
      for (std::string_view rest = hit < first_.size() ? first_[hit] : answer_; !rest.empty();) {
        const auto sent = ::send(connection, rest.data(), rest.size(), MSG_NOSIGNAL);
        if (sent <= 0) break;
        rest.remove_prefix(static_cast<std::size_t>(sent));
      }
      ::shutdown(connection, SHUT_WR);
      while (::recv(connection, piece, sizeof piece, 0) > 0) {
      } // a reset would take from the client what it has not read yet
      connection_ = -1;
      ::close(connection);
    }
  }

  std::string answer_;
  std::vector<std::string> first_;
  int socket_;
  std::string port_;
  std::atomic<bool> stopping_{false};
  std::atomic<int> connection_{-1}; ///< that is served
  std::thread thread_;
};

/// A gzip file (RFC 1952) that unfolds to this many zero bytes, 158 for each of its own: one deflate block
/// (RFC 1951) with fixed codes, in which the longest possible match is repeated.
inline std::string gzip_of_zeros(std::uint64_t zeros) {
  std::string out("\x1f\x8b\x08\0\0\0\0\0\0\xff", 10);
  std::uint32_t bits = 0;
  int held = 0;
  const auto put = [&](std::uint32_t value, int count) { // least significant first
    bits |= value << held;
    for (held += count; held >= 8; held -= 8, bits >>= 8U)
      out += static_cast<char>(bits & 0xffU);
  };
  const auto put_code = [&](std::uint32_t code,
                            int count) { // Huffman codes are packed from their most significant bit
    for (int i = count - 1; i >= 0; --i)
      put((code >> i) & 1U, 1);
  };
  constexpr std::uint64_t longest = 258;
  put(1, 1); // the last block
  put(1, 2); // fixed codes
  std::uint64_t left = zeros;
  for (std::uint64_t literals = 1 + (zeros - 1) % longest; literals > 0; --literals, --left)
    put_code(0b00110000, 8); // the literal 0
  for (; left > 0; left -= longest) {
    put_code(0b11000101, 8); // length 258
    put_code(0, 5);          // distance 1
  }
  put_code(0, 7); // end of block
  put(0, (8 - held) % 8);
  std::uint32_t crc = 0xffffffffU; // CRC-32 of the zeros
  for (std::uint64_t i = 0; i < zeros * 8; ++i)
    crc = (crc >> 1U) ^ ((crc & 1U) != 0 ? 0xedb88320U : 0U);
  for (std::uint32_t number : {~crc, static_cast<std::uint32_t>(zeros)})
    for (unsigned shift = 0; shift < 32; shift += 8)
      out += static_cast<char>((number >> shift) & 0xffU);
  return out;
}

} // namespace dormouse::test
