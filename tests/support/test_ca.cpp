#include "test_ca.hpp"

#include "subprocess.hpp"

#include <fstream>
#include <stdexcept>
#include <vector>

namespace dormouse::test {
namespace {

/// All that openssl would take from the system's configuration is said here: sections by the names of the
/// certificates.
constexpr auto configuration = R"([req]
distinguished_name = name
prompt = no
[name]
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
extendedKeyUsage = serverAuth
subjectAltName = IP:127.0.0.1, DNS:localhost
[client]
basicConstraints = critical, CA:FALSE
extendedKeyUsage = clientAuth
)";

} // namespace

test_ca::test_ca() {
  std::ofstream(at("openssl.cnf")) << configuration;
  make("ca", "/CN=test CA");
  make("server", "/CN=test server");
  make("client", "/CN=test client");
}

void test_ca::make(const std::string& name, const std::string& subject) const {
  std::vector<std::string> arguments{"openssl",         "req",         "-x509", "-config",
                                     at("openssl.cnf"), "-extensions", name,    "-subj",
                                     subject,           "-days",       "30"};
  arguments.insert(arguments.end(), {"-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"});
  arguments.insert(arguments.end(), {"-keyout", at(name + ".key"), "-out", at(name + ".pem")});
  if (name != "ca") arguments.insert(arguments.end(), {"-CA", at("ca.pem"), "-CAkey", at("ca.key")});
  subprocess openssl({.arguments = arguments, .report_descriptor = 2}); // it talks while it works
  std::string said;
  while (auto line = openssl.read_line())
    said += *line + '\n';
  if (auto how = openssl.wait(); !how.empty())
    throw std::runtime_error("openssl made no certificate for the " + name + ": " + how + "\n" + said);
}

} // namespace dormouse::test
