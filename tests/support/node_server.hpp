#pragma once

/// A server and two forward proxies on Node.js (node_server.mjs): what its programs send that others do not.
/// A process of the test's own.
///
///   /plain              "node"
///   /echo               {"method","target","version","continued","headers":[[name, value]...],"body"} of the
///   request /chunked            "one,two,three" in chunks, and behind it the trailers X-Sum and Set-Cookie
///   /early_hints        two times 103 with x-hint, then 200 with x-final
///   /processing         102, then 200
///   /set_cookies        three Set-Cookie headers, of which one has a comma in it
///   /gzip /br           "compressible" a thousand times
///   /close_behind       closes the connection behind the answer, without having said so
///   /close_on_reuse     the same when a second request comes on it; /reset_on_reuse with a reset
///   /refuse_first?key=K over HTTP/2: the first stream of that key is refused, the next one answered
///   /stream_error       over HTTP/2: the stream ends with an error
///   /goaway             over HTTP/2: the connection takes no more streams behind this answer
///   /talk_behind?answer=T  the text T, and behind it a response that nobody has asked for; over HTTP/1.1
///   /unasked            {"said"}: how many of those have gone out
///   /raw?answer=T       without TLS: the text T, and the end of the connection
///   /connections        {"opened","open"}
///   /proxied            what both proxies were asked for: [{"method","target","authorization"}...]

#include "subprocess.hpp"
#include "test_ca.hpp"

#include <optional>
#include <string>

namespace dormouse::test {

class node_server {
public:
  /// Listens when this returns. Without `ca` there is no TLS. Throws std::runtime_error.
  explicit node_server(const test_ca* ca = nullptr);

  std::string url() const { return "http://127.0.0.1:" + port_; }
  std::string tls_url() const {
    return "https://127.0.0.1:" + tls_port_;
  } ///< HTTP/2, and HTTP/1.1 for who asks for it
  std::string old_tls_url() const { return "https://127.0.0.1:" + old_tls_port_; } ///< HTTP/1.1 only
  std::string proxy_url() const {
    return "http://127.0.0.1:" + proxy_port_;
  } ///< absolute-form requests and CONNECT
  std::string auth_proxy_url() const {
    return "http://127.0.0.1:" + auth_proxy_port_;
  } ///< the same, for user `dormouse` with password `acorn`; else 407

private:
  subprocess process_;
  std::string port_;
  std::string tls_port_;
  std::string old_tls_port_;
  std::string proxy_port_;
  std::string auth_proxy_port_;
};

} // namespace dormouse::test
