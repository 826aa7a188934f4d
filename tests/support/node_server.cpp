#include "node_server.hpp"

#include <nlohmann/json.hpp>

#include <stdexcept>
#include <vector>

namespace dormouse::test {
namespace {

std::vector<std::string> arguments(const test_ca* ca) {
  std::vector<std::string> all{"node", DORMOUSE_TEST_SUPPORT_DIR "/node_server.mjs"};
  if (ca != nullptr) all.insert(all.end(), {ca->server_certificate(), ca->server_key()});
  return all;
}

} // namespace

node_server::node_server(const test_ca* ca) : process_({.arguments = arguments(ca)}) {
  const auto line = process_.read_line();
  if (!line) throw std::runtime_error("node did not start: " + process_.wait());
  const auto ports = nlohmann::json::parse(*line);
  const auto port = [&ports](const char* name) { return std::to_string(ports.at(name).get<int>()); };
  port_ = port("http");
  proxy_port_ = port("proxy");
  auth_proxy_port_ = port("auth_proxy");
  if (ca != nullptr) {
    tls_port_ = port("https");
    old_tls_port_ = port("https1");
  }
}

} // namespace dormouse::test
