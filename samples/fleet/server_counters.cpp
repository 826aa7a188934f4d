#include "server_counters.hpp"

#include <dormouse/serialization/url.hpp>

#include <netdb.h>
#include <nlohmann/json.hpp>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <string_view>

namespace fleet {

namespace {

class stream_socket {
public:
  stream_socket(const std::string& host, std::uint16_t port) {
    addrinfo wanted{};
    wanted.ai_socktype = SOCK_STREAM;
    addrinfo* list = nullptr;
    if (::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &wanted, &list) != 0) return;
    const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(list, ::freeaddrinfo);
    for (const auto* each = list; each != nullptr && descriptor_ < 0; each = each->ai_next)
      connect_to(*each);
  }
  ~stream_socket() { close(); }

  stream_socket(const stream_socket&) = delete;
  stream_socket& operator=(const stream_socket&) = delete;

  bool write(std::string_view text) {
    while (descriptor_ >= 0 && !text.empty()) {
      const auto sent = ::send(descriptor_, text.data(), text.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      text.remove_prefix(static_cast<std::size_t>(sent));
    }
    return descriptor_ >= 0;
  }

  std::string read_all() {
    std::string text;
    std::array<char, 65536> buffer; // NOLINT: recv() fills it
    for (auto count = ::recv(descriptor_, buffer.data(), buffer.size(), 0); count > 0;
         count = ::recv(descriptor_, buffer.data(), buffer.size(), 0))
      text.append(buffer.data(), static_cast<std::size_t>(count));
    return text;
  }

private:
  void connect_to(const addrinfo& target) {
    descriptor_ = ::socket(target.ai_family, target.ai_socktype | SOCK_CLOEXEC, target.ai_protocol);
    const timeval patience{.tv_sec = 10, .tv_usec = 0};
    ::setsockopt(descriptor_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ::setsockopt(descriptor_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (::connect(descriptor_, target.ai_addr, target.ai_addrlen) != 0) close();
  }
  void close() {
    if (descriptor_ >= 0) ::close(descriptor_);
    descriptor_ = -1;
  }

  int descriptor_ = -1;
};

// HTTP/1.0, so that the body is what comes before the close, in one piece.
std::optional<std::string> get(const dormouse::url& from) {
  const auto bare = from.host.front() == '[' ? from.host.substr(1, from.host.size() - 2) : from.host;
  stream_socket connection(bare, from.port);
  if (!connection.write("GET " + from.path + " HTTP/1.0\r\nHost: " + from.host + "\r\n\r\n"))
    return std::nullopt;
  auto answer = connection.read_all();
  const auto body = answer.find("\r\n\r\n");
  if (!answer.starts_with("HTTP/1.") || answer.find(" 200 ") > answer.find("\r\n") ||
      body == std::string::npos)
    return std::nullopt;
  return answer.substr(body + 4);
}

} // namespace

std::optional<server_counters> count_requests(const std::string& server_url, const std::string& run_key) {
  const auto from = dormouse::parse_url(server_url + "/counters");
  if (!from || from->scheme != "http" || !from->query.empty()) return std::nullopt;
  const auto text = get(*from);
  if (!text) return std::nullopt;
  const auto json = nlohmann::json::parse(*text, nullptr, false);
  if (!json.is_object() || !json.contains("keys") || !json["keys"].is_object()) return std::nullopt;
  server_counters counters;
  counters.in_flight_peak = json.value("in_flight_peak", std::uint64_t{0});
  for (const auto& [key, hits] : json["keys"].items()) {
    if (key.starts_with(run_key) && hits.is_number_unsigned()) counters.hits += hits.get<std::uint64_t>();
  }
  return counters;
}

} // namespace fleet
