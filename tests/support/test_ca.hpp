#pragma once

/// A certification authority of the test's own, with one certificate for a server on this machine and one for
/// a client.
///
/// Nobody else trusts it, so two of them distrust each other. Made by the openssl command; the files go with
/// the object.

#include "eventually.hpp"

#include <string>

namespace dormouse::test {

class test_ca {
public:
  /// Throws std::runtime_error.
  test_ca();

  /// What options::ca_file takes.
  std::string file() const { return at("ca.pem"); }

  std::string server_certificate() const {
    return at("server.pem");
  } ///< for 127.0.0.1 and localhost, and no other name
  std::string server_key() const { return at("server.key"); }
  std::string client_certificate() const { return at("client.pem"); } ///< subject: CN=test client
  std::string client_key() const { return at("client.key"); }

private:
  std::string at(const std::string& name) const { return (directory_.path() / name).string(); }
  void make(const std::string& name, const std::string& subject) const;

  scratch_directory directory_;
};

} // namespace dormouse::test
