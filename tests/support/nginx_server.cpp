#include "nginx_server.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <system_error>

namespace dormouse::test {
namespace {

sockaddr_in endpoint(const char* address, std::uint16_t port) {
  sockaddr_in where{};
  where.sin_family = AF_INET;
  where.sin_port = htons(port);
  ::inet_pton(AF_INET, address, &where.sin_addr);
  return where;
}

bool connects(const std::string& port) {
  const int probe = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const auto where = endpoint("127.0.0.1", static_cast<std::uint16_t>(std::stoi(port)));
  const bool good = ::connect(probe, reinterpret_cast<const sockaddr*>(&where), sizeof where) == 0;
  ::close(probe);
  return good;
}

std::string content_of(const std::string& file) {
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>(in), {}};
}

} // namespace

nginx_server::reserved_port::reserved_port(const char* address)
    : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  const int yes = 1;
  auto here = endpoint(address, 0);
  socklen_t bytes = sizeof here;
  if (::setsockopt(socket_, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof yes) != 0 ||
      ::bind(socket_, reinterpret_cast<sockaddr*>(&here), bytes) != 0 ||
      ::getsockname(socket_, reinterpret_cast<sockaddr*>(&here), &bytes) != 0) {
    const int why = errno;
    ::close(socket_);
    throw std::system_error(why, std::generic_category(), std::string("no port on ") + address);
  }
  number_ = std::to_string(ntohs(here.sin_port));
}

nginx_server::reserved_port::~reserved_port() { ::close(socket_); }

nginx_server::nginx_server(const test_ca* ca) : ca_(ca) {
  for (const auto* folder : {"files", "uploads", "scratch"})
    std::filesystem::create_directory(at(folder));
  std::ofstream(at("nginx.conf")) << configuration();
  process_.emplace(subprocess_settings{
      .arguments = {"nginx", "-c", at("nginx.conf"), "-p", at(""), "-e", at("error.log")}});
  wait_until_it_listens();
}

std::string nginx_server::configuration() const {
  const auto root = directory_.path().string();
  std::ofstream(at("locations.conf")) << fmt::format(R"(
    location = /plain {{ return 200 "{1}"; }}
    location = /protocol {{ return 200 "$server_protocol $connection $connection_requests"; }}
    location /files/ {{ alias {0}/files/; }}
    location /compressed/ {{ alias {0}/files/; gzip on; gzip_types text/plain; gzip_min_length 1; }}
    location /uploads/ {{ alias {0}/uploads/; dav_methods PUT DELETE; client_max_body_size 0; }}
    location = /limited {{ alias {0}/uploads/limited; dav_methods PUT; client_max_body_size 1k; }}
    location = /client {{
      if ($ssl_client_verify != SUCCESS) {{ return 403 "no certificate of ours"; }}
      return 200 $ssl_client_s_dn;
    }}
)",
                                                     root, std::string(1024, 'd'));
  const auto tls_servers = ca_ == nullptr ? std::string()
                                          : fmt::format(R"(
  ssl_certificate {3}; ssl_certificate_key {4};
  ssl_client_certificate {5}; ssl_verify_client optional;
  server {{
    listen 127.0.0.1:{0} ssl http2 reuseport backlog=4096;
    listen 127.0.0.2:{1} ssl http2 reuseport backlog=4096;
    listen 127.0.0.1:{6} ssl reuseport backlog=4096;
    include locations.conf;
  }}
  server {{
    listen 127.0.0.1:{2} ssl http2 reuseport backlog=4096;
    keepalive_requests 3;
    include locations.conf;
  }})",
                                                        tls_.number(), misnamed_.number(),
                                                        departing_.number(), ca_->server_certificate(),
                                                        ca_->server_key(), ca_->file(), http1_.number());
  return fmt::format(R"(daemon off;
master_process off;
worker_processes 1;
pid {0}/nginx.pid;
error_log {0}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  default_type text/plain;
  keepalive_requests 100000000;
  client_body_temp_path {0}/scratch; proxy_temp_path {0}/scratch; fastcgi_temp_path {0}/scratch; uwsgi_temp_path {0}/scratch; scgi_temp_path {0}/scratch;
{2}
  server {{
    listen 127.0.0.1:{1} reuseport backlog=4096;
    include locations.conf;
  }}
}}
)",
                     root, plain_.number(), tls_servers);
}

/// It listens in the order of its configuration, where the plain port is the last one.
void nginx_server::wait_until_it_listens() {
  const bool in_time = eventually([this] { return process_->has_ended() || connects(plain_.number()); });
  if (!in_time || process_->has_ended())
    throw std::runtime_error("nginx does not listen; it ended by: " + process_->kill() + "\n" +
                             content_of(at("error.log")));
}

std::string nginx_server::url() const { return "http://127.0.0.1:" + plain_.number(); }

std::string nginx_server::tls_url() const { return "https://127.0.0.1:" + tls_.number(); }

std::string nginx_server::misnamed_url() const { return "https://127.0.0.2:" + misnamed_.number(); }

std::string nginx_server::http1_url() const { return "https://127.0.0.1:" + http1_.number(); }

std::string nginx_server::departing_url() const { return "https://127.0.0.1:" + departing_.number(); }

std::string nginx_server::ca_file() const { return ca_->file(); }

void nginx_server::put_file(const std::string& name, const std::string& content) const {
  std::ofstream(at("files/" + name), std::ios::binary) << content;
}

} // namespace dormouse::test
