#pragma once

/// The real transport: libcurl driven by an event loop, so that what a transfer costs does not grow with the
/// number of open ones (curl_lane.hpp).
///
/// Redirects are followed here and not inside libcurl, because each hop has to pass the URL policy and may
/// have to lose its credentials. A request goes out once in an attempt: where libcurl would silently send it
/// again, because a reused connection turned out to be dead, the attempt has failed. One that must not be
/// repeated gets a connection of its own (R9). A connection on which bytes wait before a request has gone out
/// is not reused: they are no answer to it. With TLS that is seen as long as they have not been decrypted
/// with the end of the response before.
///
/// Large bodies are streamed, from their file and to it, by plain reads and writes on the loop's thread: they
/// are copies to and from the kernel's memory. What waits for the disk, the sync of a received body, is not
/// done here but for the commit that needs it.

#include "ports/http_transport.hpp"
#include "proxy/url_policy.hpp"
#include "store/blob_store.hpp"

#include <dormouse/runtime/clock.hpp>

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>

namespace boost::asio {
class io_context;
}

namespace dormouse {

struct transport_settings {
  std::size_t max_inline_bytes;
  std::size_t max_body_bytes;
  std::size_t max_header_bytes;
  std::chrono::milliseconds connect_timeout;
  std::string user_agent;
  std::string ca_file;
  std::string client_certificate;
  std::string client_key;
  std::string proxy; ///< empty: none
};

std::unique_ptr<http_transport> make_curl_transport(boost::asio::io_context& loop,
                                                    transport_settings settings, const url_policy& policy,
                                                    const wall_clock& clock,
                                                    std::shared_ptr<blob_store> blobs);

} // namespace dormouse
