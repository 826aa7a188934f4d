#include "nginx.hpp"

#include <fmt/format.h>

#include <arpa/inet.h>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <netinet/in.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace dormouse::bench {
namespace {

sockaddr_in loopback(int port) {
  sockaddr_in where{};
  where.sin_family = AF_INET;
  where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  where.sin_port = htons(static_cast<std::uint16_t>(port));
  return where;
}

int free_port() {
  const int probe = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  auto where = loopback(0);
  socklen_t size = sizeof where;
  const bool good = ::bind(probe, reinterpret_cast<sockaddr*>(&where), sizeof where) == 0 && ::getsockname(probe, reinterpret_cast<sockaddr*>(&where), &size) == 0;
  ::close(probe);
  if (!good)
    throw std::runtime_error("no free port");
  return ntohs(where.sin_port);
}

bool answers(int port) {
  const int probe = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  auto where = loopback(port);
  const bool good = ::connect(probe, reinterpret_cast<sockaddr*>(&where), sizeof where) == 0;
  ::close(probe);
  return good;
}

} // namespace

nginx::nginx(std::size_t large_bytes) : port_(free_port()) {
  const auto root = directory_.path().string();
  const auto config = root + "/nginx.conf";
  std::ofstream(config) << fmt::format(R"(daemon off;
master_process off;
worker_processes 1;
pid {0}/nginx.pid;
error_log {0}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  sendfile on;
  keepalive_requests 100000000;
  client_body_temp_path {0}; proxy_temp_path {0}; fastcgi_temp_path {0}; uwsgi_temp_path {0}; scgi_temp_path {0};
  server {{
    listen 127.0.0.1:{1} backlog=4096;
    location = /plain {{ default_type text/plain; return 200 "{2}"; }}
    location = /large {{ default_type application/octet-stream; root {0}; }}
  }}
}}
)",
                                       root, port_, std::string(1024, 'd'));
  if (large_bytes != 0)
    std::ofstream(root + "/large", std::ios::binary) << std::string(large_bytes, 'L');
  pid_ = ::fork();
  if (pid_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    ::execlp("nginx", "nginx", "-c", config.c_str(), "-p", root.c_str(), "-e", (root + "/start.log").c_str(), static_cast<char*>(nullptr));
    ::execl("/usr/sbin/nginx", "nginx", "-c", config.c_str(), "-p", root.c_str(), "-e", (root + "/start.log").c_str(), static_cast<char*>(nullptr));
    std::fputs("nginx cannot be started; scripts/bench installs it\n", stderr);
    ::_exit(127);
  }
  const auto give_up = steady::now() + std::chrono::seconds(10);
  while (!answers(port_)) {
    if (::waitpid(pid_, nullptr, WNOHANG) == pid_ || steady::now() > give_up)
      throw std::runtime_error("nginx does not answer");
    ::usleep(2000);
  }
}

nginx::~nginx() {
  ::kill(pid_, SIGTERM);
  ::waitpid(pid_, nullptr, 0);
}

std::string nginx::url() const {
  return fmt::format("http://127.0.0.1:{}", port_);
}

} // namespace dormouse::bench
