#pragma once

/// nginx, a server that we did not write: plain HTTP/1.1 and, with a certification authority, HTTP/2 over
/// TLS. A process of the test's own.
///
/// The kernel chooses the ports, for sockets of ours that share them with nginx and never listen: nobody else
/// can take them.
///
///   /plain             1 KiB of text
///   /protocol          "<protocol> <number of the connection> <number of the request on it>", as "HTTP/2.0 3
///   1" /files/<name>      what `put_file` put there; GET with ranges and validators /compressed/<name> the
///   same, with gzip if the client takes it /uploads/<name>    what PUT put there, and DELETE takes away
///   /limited           413 for a body over 1 KiB
///   /client            over TLS: the subject of the client's certificate; 403 without one

#include "eventually.hpp"
#include "subprocess.hpp"
#include "test_ca.hpp"

#include <optional>
#include <string>

namespace dormouse::test {

class nginx_server {
public:
  /// Listens when this returns. Without `ca` there is no TLS; `ca` outlives the server. Throws
  /// std::runtime_error.
  explicit nginx_server(const test_ca* ca = nullptr);

  std::string url() const;          ///< http://127.0.0.1:PORT
  std::string tls_url() const;      ///< https://127.0.0.1:PORT
  std::string misnamed_url() const; ///< https://127.0.0.2:PORT, an address that the certificate does not name
  std::string http1_url() const;    ///< https://127.0.0.1:PORT, a server without HTTP/2
  std::string
  departing_url() const; ///< https://127.0.0.1:PORT, a server that ends every connection after three requests
  std::string ca_file() const; ///< what signed its certificate

  void put_file(const std::string& name, const std::string& content) const;

private:
  /// A port that is taken for as long as this lives, but for who shares it.
  class reserved_port {
  public:
    explicit reserved_port(const char* address);
    reserved_port(const reserved_port&) = delete;
    reserved_port& operator=(const reserved_port&) = delete;
    ~reserved_port();
    const std::string& number() const noexcept { return number_; }

  private:
    int socket_;
    std::string number_;
  };

  std::string at(const std::string& name) const { return (directory_.path() / name).string(); }
  std::string configuration() const;
  void wait_until_it_listens();

  const test_ca* ca_;
  scratch_directory directory_;
  reserved_port plain_{"127.0.0.1"};
  reserved_port tls_{"127.0.0.1"};
  reserved_port misnamed_{"127.0.0.2"};
  reserved_port http1_{"127.0.0.1"};
  reserved_port departing_{"127.0.0.1"};
  std::optional<subprocess> process_;
};

} // namespace dormouse::test
