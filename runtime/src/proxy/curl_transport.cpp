#include "proxy/curl_transport.hpp"

#include "proxy/content_decoder.hpp"
#include "proxy/curl_lane.hpp"
#include "proxy/decoded_jars.hpp"
#include "proxy/host_resolver.hpp"
#include "proxy/response_head.hpp"
#include "proxy/retry.hpp"
#include "store/blob_store.hpp"

#include <dormouse/serialization/codec.hpp>
#include <dormouse/serialization/cookie_jar.hpp>
#include <dormouse/serialization/url.hpp>

#include <arpa/inet.h>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <curl/curl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <functional>
#include <unordered_map>
#include <utility> // Boost 1.74's Asio uses std::exchange without it
#include <vector>

namespace dormouse {
namespace {

namespace asio = boost::asio;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

/// Connections that are kept for reuse beside those in use, over all lanes.
constexpr std::size_t max_idle_connections = 512;

/// Transfers on one lane. As many as may go to one origin by default: below that, all connections to an
/// origin are on one lane.
constexpr std::size_t lane_transfers = 256;

/// A body that is not held in memory is written to its file in pieces that are at least this large.
constexpr std::size_t least_piece_bytes = std::size_t{128} << 10U;

/// Of cookie jars that are kept decoded, as they are stored; no jar is larger (`max_jar_bytes`).
constexpr std::size_t most_jar_bytes = std::size_t{4} << 20U;

/// Received at a time, at most: libcurl's default, 16 KiB, has four times as many system calls for a large
/// body. The buffer is there while a transfer is, and just below 64 KiB: to free more has glibc's malloc put
/// all its small free pieces together, after each transfer.
constexpr long receive_bytes = 60L << 10U;

/// How long a file of certificates may have changed before it is read again.
constexpr long ca_cache_seconds = 300;

struct easy_free {
  void operator()(CURL* easy) const noexcept { curl_easy_cleanup(easy); }
};
using easy_handle = std::unique_ptr<CURL, easy_free>;

struct list_free {
  void operator()(curl_slist* list) const noexcept { curl_slist_free_all(list); }
};
using field_list = std::unique_ptr<curl_slist, list_free>;

/// What has become of the connection that a hop was to go out on.
enum class connection_state : std::uint8_t {
  good,
  stale,   ///< it was of no use any more, and nothing has gone out
  lost,    ///< it was closed behind the request, which libcurl would send again
  refused, ///< the server has not taken the request (RFC 9113 section 8.7), which libcurl would send again
};

/// One attempt on its way, over all its redirect hops.
struct exchange {
  explicit exchange(std::shared_ptr<body_memory> memory) : body(std::move(memory)) {}

  transfer job;
  http_transport::completion done;
  easy_handle easy;
  field_list fields;
  url target;
  reach allowed = reach::public_only;
  std::string method;
  dormouse::headers request_headers;
  bool with_body = false;
  std::shared_ptr<const cookie_jar> jar; ///< null: none goes along
  std::vector<received_cookie> cookies;  ///< of all hops
  std::optional<blob_reader> upload;     ///< the body, if it is in a file
  steady_clock::time_point give_up_at;
  std::uint32_t hops = 0;
  const transport_settings* settings = nullptr;
  blob_store* blobs = nullptr;
  curl_lane* lane = nullptr; ///< once it went to libcurl
  bool on_lane = false;      ///< libcurl has it
  const std::function<void(exchange&)>* decode_later = nullptr;
  bool needs_fresh = false; ///< a connection of its own

  // This hop's name, while its addresses are looked up.
  std::uint64_t lookup = 0; ///< 0: it is not
  std::optional<asio::steady_timer> patience;
  field_list addresses; ///< as libcurl takes them

  // This hop's way out.
  bool opened = false;   ///< it is making a connection
  bool begun = false;    ///< it has gone out, or was about to
  bool is_first = false; ///< on its connection
  connection_state connection = connection_state::good;

  // This hop's response so far.
  std::uint16_t status = 0;
  response_head head;
  held_body body;       ///< what the file has not
  blob_writer_ptr file; ///< of a body that is large
  std::size_t body_bytes = 0;
  bool body_begun = false;
  std::unique_ptr<content_decoder> decoder; ///< of what is in a coding that is known
  bool answered = false;                    ///< some byte of a response came
  bool blocked = false;                     ///< the socket callback refused the address
  std::string refusal;                      ///< why a callback stopped the transfer
  fetch_errc refused_as = fetch_errc::fetch_failed;
  bool refusal_passes = false; ///< another attempt may go better
  char detail[CURL_ERROR_SIZE] = {};
};

/// Where libcurl knows a file and a folder of certificates they are the same ones. It keeps in memory what it
/// has read of a file, and when there is a folder besides it reads all of the file again for every
/// connection.
bool system_has_ca_file() {
  const auto* file = curl_version_info(CURLVERSION_NOW)->cainfo;
  return file != nullptr && ::access(file, R_OK) == 0;
}

bool is_retryable_status(std::uint16_t status) {
  return status == 408 || status == 429 || status == 502 || status == 503 || status == 504;
}

bool is_redirect_status(std::uint16_t status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/// Addresses, and what libcurl answers itself (RFC 6761).
bool is_without_lookup(const std::string& host) {
  in_addr address{};
  return host.starts_with('[') || host == "localhost" || host.ends_with(".localhost") ||
         ::inet_pton(AF_INET, host.c_str(), &address) == 1;
}

/// As CURLOPT_RESOLVE takes it. "+": as old as this answer, and no older.
field_list addresses_for(const url& target, const std::vector<std::string>& addresses) {
  auto text = fmt::format("+{}:{}:", target.host, target.port);
  for (const auto& each : addresses)
    text += fmt::format(fmt::runtime(each.find(':') == std::string::npos ? "{}{}" : "{}[{}]"),
                        &each == &addresses.front() ? "" : ",", each);
  auto* list = curl_slist_append(nullptr, text.c_str());
  if (list == nullptr) std::abort(); // out of memory
  return field_list(list);
}

/// Several Cookie fields of a caller's are one list (RFC 9113 section 8.2.3).
std::string joined(const std::vector<std::string>& cookies) {
  return fmt::format("{}", fmt::join(cookies, "; "));
}

/// A response begins, or there is none yet.
void forget_body(exchange& on) {
  on.body = held_body(on.blobs->memory());
  on.file.reset();
  on.body_bytes = 0;
  on.body_begun = false;
  on.decoder.reset();
}

/// A body on disk that cannot be read, or one that cannot be written.
void refuse_for(exchange& on, fetch_errc code, std::string_view what, const error& why) {
  on.refused_as = code;
  on.refusal = fmt::format("{}: {}", what, why.message);
  on.refusal_passes = why.code == errc::storage_error;
}

/// Moves what was received so far to the file. False: the transfer is refused.
bool spill(exchange& on) {
  if (!on.file) on.file = on.blobs->create(on.job.fetch->id, blob_side::response);
  auto written = on.file->append(on.body.bytes());
  on.body.let_go();
  if (!written)
    refuse_for(on, fetch_errc::queue_error, "the response's body cannot be stored", written.error());
  return written.has_value();
}

/// How much room a body asks for that has become so long.
std::size_t room_for(const exchange& on, std::size_t bytes) {
  curl_off_t announced = 0; // before decompression: a hint
  curl_easy_getinfo(on.easy.get(), CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &announced);
  const auto whole =
      std::max({bytes, 2 * on.body_bytes, static_cast<std::size_t>(std::max<curl_off_t>(0, announced))});
  return std::max(bytes, std::min(whole, on.settings->max_body_bytes));
}

/// A large body stays in memory while there is room for it there, and is written to its file by others.
/// Without room it is written here, as it comes, in pieces: many small writes cost several times as much.
/// False: the transfer is refused.
bool take_in(exchange& on, std::string_view bytes) {
  const auto in_all = on.body_bytes + bytes.size();
  const auto is_large =
      on.body.bytes().size() + bytes.size() > std::max(on.settings->max_inline_bytes, least_piece_bytes);
  if (!on.file && is_large && on.body.grow(room_for(on, in_all))) {
    on.file = on.blobs->create(on.job.fetch->id, blob_side::response);
    on.file->hold(std::move(on.body));
  }
  if (on.file && on.file->is_held()) {
    if (in_all <= on.file->room() || on.file->grow(room_for(on, in_all)))
      return on.file->append(bytes).has_value();
    if (auto written = on.file->let_go(); !written) {
      refuse_for(on, fetch_errc::queue_error, "the response's body cannot be stored", written.error());
      return false;
    }
  }
  if (is_large && !spill(on)) return false;
  on.body.append(bytes);
  return true;
}

// --- libcurl's callbacks into one exchange -----------------------------------------------------------------

/// Of the response whose header section has ended (RFC 9110 section 6.4.1).
bool has_body(const exchange& of) {
  long status = 0;
  curl_easy_getinfo(of.easy.get(), CURLINFO_RESPONSE_CODE, &status);
  return of.method != "HEAD" && status != 204 && status != 304;
}

std::size_t on_header(char* data, std::size_t size, std::size_t count, void* user) {
  auto& on = *static_cast<exchange*>(user);
  const std::size_t bytes = size * count;
  on.answered = true;
  auto taken = on.head.take({data, bytes}, on.settings->max_header_bytes);
  if (!taken) {
    const bool large = taken.error().code == errc::too_large;
    on.refused_as = large ? fetch_errc::too_large : fetch_errc::fetch_failed;
    on.refusal = large ? taken.error().message : "the response is not valid HTTP: " + taken.error().message;
    return 0;
  }
  if (*taken == response_head::line_kind::status) forget_body(on);
  if (const auto length = on.head.content_length();
      length && *length > on.settings->max_body_bytes && on.head.is_complete() && has_body(on)) {
    on.refused_as = fetch_errc::too_large;
    on.refusal =
        fmt::format("the response announces a body of {} bytes; the limit is options::max_body_bytes = {}",
                    *length, on.settings->max_body_bytes);
    return 0;
  }
  return bytes;
}

/// Part of the body as it is handed out. False: the transfer is refused.
bool on_decoded(exchange& on, std::string_view bytes) {
  if (on.body_bytes + bytes.size() >
      on.settings->max_body_bytes) { // after decompression: a small answer may unfold into a large one
    on.refused_as = fetch_errc::too_large;
    on.refusal =
        fmt::format("the response body is over options::max_body_bytes = {}", on.settings->max_body_bytes);
    return false;
  }
  if (!take_in(on, bytes)) return false;
  on.body_bytes += bytes.size();
  return true;
}

/// False: the transfer is refused.
bool decode_slice(exchange& on) {
  auto slice = on.decoder->next();
  if (slice) return slice->empty() || on_decoded(on, *slice);
  on.refused_as = slice.error().code == errc::too_large ? fetch_errc::too_large : fetch_errc::fetch_failed;
  on.refusal = slice.error().message;
  return false;
}

std::size_t on_body(char* data, std::size_t size, std::size_t count, void* user) {
  auto& on = *static_cast<exchange*>(user);
  const std::size_t bytes = size * count;
  on.answered = true;
  if (!std::exchange(on.body_begun, true))
    if (auto codings = on.head.fields().get("Content-Encoding"))
      on.decoder = content_decoder::make(*codings, on.settings->max_body_bytes);
  if (!on.decoder) return on_decoded(on, {data, bytes}) ? bytes : 0;
  if (on.decoder->has_more()) return CURL_WRITEFUNC_PAUSE; // until the loop has come to all of that
  on.decoder->feed({data, bytes});
  if (!decode_slice(on)) return 0;
  if (on.decoder->has_more()) (*on.decode_later)(on);
  return bytes;
}

std::size_t on_read(char* into, std::size_t size, std::size_t count, void* user) {
  auto& on = *static_cast<exchange*>(user);
  auto got = on.upload->read({into, size * count});
  if (got) return *got;
  // The last bytes were not handed out, so the other side has no whole request to act on.
  refuse_for(on, fetch_errc::fetch_failed, "the request's body cannot be read", got.error());
  return CURL_READFUNC_ABORT;
}

/// libcurl sends a body again on another connection when the one it had was dead.
int on_rewind(void* user, curl_off_t offset, int origin) {
  if (offset != 0 || origin != SEEK_SET) return CURL_SEEKFUNC_CANTSEEK;
  static_cast<exchange*>(user)->upload->rewind();
  return CURL_SEEKFUNC_OK;
}

/// R13, the last and decisive check: the address that is really being connected to.
curl_socket_t on_open_socket(void* user, curlsocktype purpose, curl_sockaddr* to) {
  auto& on = *static_cast<exchange*>(user);
  // A proxy was named by whoever set up the runtime, wherever it is; what it connects to is its own to see.
  const bool anywhere = on.allowed == reach::anywhere || !on.settings->proxy.empty();
  if (purpose != CURLSOCKTYPE_IPCXN || (!anywhere && is_special_address(to->addr))) {
    on.blocked = true;
    return CURL_SOCKET_BAD;
  }
  auto opened = ::socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
  if (opened >= 0) on.lane->socket_opened();
  on.opened = true;
  return opened;
}

/// The last moment before a request goes out. On a connection on which the server has said something
/// meanwhile it would be answered by what nobody asked for; and what goes out a second time, because the
/// connection was lost, is another attempt, which is not libcurl's to make.
int on_ready(void* user, char*, char* local_address, int, int local_port) {
  auto& on = *static_cast<exchange*>(user);
  if (std::exchange(on.begun, true)) {
    long sent_bytes = 0;
    curl_easy_getinfo(on.easy.get(), CURLINFO_REQUEST_SIZE, &sent_bytes);
    if (sent_bytes == 0)
      on.connection = connection_state::stale;
    else if (!on.is_first)
      on.connection = connection_state::lost;
    else if (!on.opened)
      on.connection = connection_state::refused;
    // else the server has not taken it because it wants HTTP/1.1 for it, on another connection
  } else if (!on.opened && on.lane->has_unread(local_address, local_port)) {
    on.connection = connection_state::stale;
  }
  on.is_first = std::exchange(on.opened, false);
  return on.connection == connection_state::good ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
}

/// Has the lane look at the connection before it is used again. Not at one with HTTP/2, where libcurl reads
/// what comes while nobody waits for a response.
void watch_connection(const exchange& of) {
  curl_socket_t socket = CURL_SOCKET_BAD;
  long version = 0;
  long port = 0;
  char* address = nullptr;
  auto* easy = of.easy.get();
  curl_easy_getinfo(easy, CURLINFO_ACTIVESOCKET, &socket);
  curl_easy_getinfo(easy, CURLINFO_HTTP_VERSION, &version);
  curl_easy_getinfo(easy, CURLINFO_LOCAL_PORT, &port);
  curl_easy_getinfo(easy, CURLINFO_LOCAL_IP, &address);
  if (socket != CURL_SOCKET_BAD && address != nullptr &&
      (version == CURL_HTTP_VERSION_1_0 || version == CURL_HTTP_VERSION_1_1))
    of.lane->keep_watch(socket, address, static_cast<int>(port));
}

// --- the transport -----------------------------------------------------------------------------------------

class curl_transport final : public http_transport {
public:
  curl_transport(asio::io_context& loop, transport_settings settings, const url_policy& policy,
                 const wall_clock& clock, std::shared_ptr<blob_store> blobs);
  ~curl_transport() override;

  void start(transfer next, completion done) override;
  void cancel(std::uint64_t token) override;

private:
  curl_lane& lane_with_room();
  void close_spare_lanes();
  void limit_idle_connections(curl_lane& of);
  void begin_hop(exchange& next);
  bool has_addresses(exchange& next);
  bool take_answer(exchange& next, const host_resolver::answer& what);
  void stop_lookup(exchange& on);
  std::string limits_of(const exchange& of) const;
  void send_hop(exchange& next);
  void finish_hop(exchange& hop, CURLcode code);
  void conclude(exchange& hop, CURLcode code);
  void decode_soon();
  void decode_some();
  void leave_lane(exchange& on);
  void take_cookies(exchange& hop);
  bool follow_redirect(exchange& hop);
  void finish(exchange& last, fetch_result result, bool retryable);
  void refuse(exchange& last, fetch_errc code, std::string why, sent_state sent);
  void refuse(exchange& last, sent_state sent);

  asio::io_context& loop_;
  const transport_settings settings_;
  const url_policy& policy_;
  const wall_clock& clock_;
  const std::shared_ptr<blob_store> blobs_;
  const bool trusts_file_; ///< and so no folder of certificates
  decoded_jars jars_{most_jar_bytes};
  host_resolver names_;
  std::vector<std::shared_ptr<curl_lane>> lanes_; ///< never empty once one was used
  std::unordered_map<exchange*, std::unique_ptr<exchange>> exchanges_;
  std::unordered_map<std::uint64_t, exchange*> by_token_;
  std::vector<easy_handle> spare_; ///< an easy handle is costly to make

  // Bodies that are decoded a slice at a time, in turns.
  std::deque<exchange*> decoding_;
  bool decode_posted_ = false;
  const std::function<void(exchange&)> decode_later_ = [this](exchange& on) {
    decoding_.push_back(&on);
    decode_soon();
  };
};

curl_transport::curl_transport(asio::io_context& loop, transport_settings settings, const url_policy& policy,
                               const wall_clock& clock, std::shared_ptr<blob_store> blobs)
    : loop_(loop),
      settings_(std::move(settings)),
      policy_(policy),
      clock_(clock),
      blobs_(std::move(blobs)),
      trusts_file_(!settings_.ca_file.empty() || system_has_ca_file()),
      names_(loop) {}

curl_transport::~curl_transport() {
  for (auto& [key, each] : exchanges_)
    leave_lane(*each);
}

void curl_transport::start(transfer next, completion done) {
  auto owned = std::make_unique<exchange>(blobs_->memory());
  auto& on = *owned;
  on.settings = &settings_;
  on.blobs = blobs_.get();
  on.decode_later = &decode_later_;
  on.give_up_at = steady_clock::now() + next.timeout;
  on.job = std::move(next);
  on.done = std::move(done);
  const auto& fetch = *on.job.fetch;
  on.method = fetch.method;
  on.request_headers = fetch.headers;
  if (!fetch.idempotency_key.empty()) on.request_headers.set("Idempotency-Key", fetch.idempotency_key);
  on.with_body = !fetch.body.empty() || on.job.body_file || fetch.body_is_blob == has_empty_body;
  if (spare_.empty()) {
    on.easy.reset(curl_easy_init());
  } else {
    on.easy = std::move(spare_.back());
    spare_.pop_back();
  }
  exchanges_.emplace(&on, std::move(owned));
  by_token_.emplace(on.job.token, &on);
  auto target = fetch.target.value ? expected<url>(*fetch.target.value) : parse_url(fetch.url);
  if (!target) return refuse(on, fetch_errc::fetch_failed, target.error().message, sent_state::no);
  on.target = std::move(*target);
  if (on.job.jar) {
    auto jar = jars_.read(on.job.jar->bytes);
    if (!jar)
      return refuse(on, fetch_errc::fetch_failed,
                    fmt::format("cookie jar '{}' is unreadable: {}", fetch.extra.jar, jar.error().message),
                    sent_state::no);
    on.jar = std::move(*jar);
    on.job.jar.reset();
  }
  begin_hop(on);
}

void curl_transport::cancel(std::uint64_t token) {
  auto found = by_token_.find(token);
  if (found == by_token_.end()) return;
  auto& on = *found->second;
  by_token_.erase(found);
  stop_lookup(on);
  std::erase(decoding_, &on);
  leave_lane(on);
  if (on.lane != nullptr) limit_idle_connections(*on.lane);
  auto owned = std::move(exchanges_.extract(&on).mapped());
  spare_.push_back(std::move(owned->easy));
}

/// The first one that has any, so that those behind it run empty when there is less to do.
curl_lane& curl_transport::lane_with_room() {
  for (const auto& lane : lanes_)
    if (lane->transfers() < lane_transfers) return *lane;
  lanes_.push_back(std::make_shared<curl_lane>(loop_, [this](CURL* easy, CURLcode code) {
    exchange* done = nullptr;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &done);
    finish_hop(*done, code);
  }));
  return *lanes_.back();
}

/// A lane that has run empty is closed with its connections. One lane's room is left over, or a load around
/// the edge of a lane would open and close it all the time.
void curl_transport::close_spare_lanes() {
  for (auto at = lanes_.size(); at-- > 1;)
    if (lanes_[at]->transfers() == 0 &&
        std::none_of(decoding_.begin(), decoding_.end(),
                     [lane = lanes_[at].get()](const exchange* each) { return each->lane == lane; }) &&
        exchanges_.size() + lane_transfers <= (lanes_.size() - 1) * lane_transfers)
      lanes_.erase(lanes_.begin() + static_cast<std::ptrdiff_t>(at));
}

/// What the other lanes leave of them, for what is on one lane often ends together; but never less than an
/// equal share.
void curl_transport::limit_idle_connections(curl_lane& of) {
  std::size_t elsewhere = 0;
  for (const auto& lane : lanes_)
    elsewhere += lane.get() == &of ? 0 : lane->idle();
  of.keep_idle(std::max(max_idle_connections - std::min(elsewhere, max_idle_connections),
                        max_idle_connections / lanes_.size()));
}

/// For `target`: as soon as its addresses are known, the request goes out, or it is refused.
void curl_transport::begin_hop(exchange& next) {
  // Checked again although the call was: the allowlist of this process may be another than of the one that
  // queued it.
  auto allowed = policy_.check(next.target);
  if (!allowed)
    return refuse(next, fetch_errc::blocked, allowed.error().message,
                  next.hops > 0 ? sent_state::yes : sent_state::no);
  next.allowed = *allowed;
  if (has_addresses(next)) send_hop(next);
}

/// False: it goes on when they are there, or it has ended. What goes through a proxy needs none.
bool curl_transport::has_addresses(exchange& next) {
  next.addresses.reset();
  const auto& name = next.target.host;
  if (!settings_.proxy.empty() || is_without_lookup(name)) return true;
  if (const auto* answer = names_.known(name)) return take_answer(next, *answer);
  next.lane = nullptr; // it may be closed meanwhile
  const auto token = next.job.token;
  next.lookup = names_.ask(name, [this, token](const host_resolver::answer& what) {
    const auto found = by_token_.find(token);
    if (found == by_token_.end()) return;
    auto& on = *found->second;
    on.lookup = 0;
    on.patience.reset();
    if (take_answer(on, what)) send_hop(on);
  });
  const auto now = steady_clock::now();
  next.patience.emplace(loop_, std::min(next.give_up_at, now + settings_.connect_timeout));
  next.patience->async_wait([this, token, now](const boost::system::error_code& cancelled) {
    const auto found = by_token_.find(token);
    if (cancelled || found == by_token_.end() || found->second->lookup == 0) return;
    auto& on = *found->second;
    stop_lookup(on);
    const auto took = std::chrono::duration_cast<milliseconds>(steady_clock::now() - now);
    finish(on,
           unexpected<fetch_error>(
               fetch_error{fetch_errc::timeout,
                           fmt::format("{} {}: Resolving timed out after {} milliseconds{}", on.method,
                                       on.target.origin(), took.count(), limits_of(on)),
                           on.hops > 0 ? sent_state::yes : sent_state::no, 0}),
           true);
  });
  return false;
}

/// False: it has none, and has ended.
bool curl_transport::take_answer(exchange& next, const host_resolver::answer& what) {
  if (what.addresses.empty()) {
    finish(
        next,
        unexpected<fetch_error>(fetch_error{fetch_errc::network_error,
                                            fmt::format("{} {}: Could not resolve host: {}: {}", next.method,
                                                        next.target.origin(), next.target.host, what.error),
                                            next.hops > 0 ? sent_state::yes : sent_state::no, 0}),
        true);
    return false;
  }
  next.addresses = addresses_for(next.target, what.addresses);
  return true;
}

void curl_transport::stop_lookup(exchange& on) {
  if (const auto number = std::exchange(on.lookup, 0)) names_.forget(on.target.host, number);
  on.patience.reset();
}

std::string curl_transport::limits_of(const exchange& of) const {
  return fmt::format("; the limits are {} ms of fetch_init::timeout or what its deadline left of it, and "
                     "options::connect_timeout = {} ms",
                     of.job.timeout.count(), settings_.connect_timeout.count());
}

void curl_transport::send_hop(exchange& next) {
  next.upload.reset();
  if (next.with_body && next.job.body_file) {
    next.upload.emplace(blobs_->read(*next.job.body_file));
    if (auto begun = next.upload->begin(); !begun) {
      refuse_for(next, fetch_errc::fetch_failed, "the request's body cannot be read", begun.error());
      return refuse(next, next.hops > 0 ? sent_state::yes : sent_state::no);
    }
  }
  next.blocked = false;
  next.opened = next.begun = next.is_first = false;
  next.connection = connection_state::good;
  next.status = 0;
  next.head = {};
  forget_body(next);
  next.detail[0] = '\0';

  auto* easy = next.easy.get();
  const auto& fetch = *next.job.fetch;
  const auto left = std::max<std::int64_t>(
      1, std::chrono::duration_cast<milliseconds>(next.give_up_at - steady_clock::now()).count());
  curl_easy_reset(easy);
  curl_easy_setopt(easy, CURLOPT_PRIVATE, &next);
  curl_easy_setopt(easy, CURLOPT_URL, next.target.target().c_str());
  curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L); // it is as the URL standard has it
  if (next.target.has_empty_query && next.target.scheme == "http" && !settings_.proxy.empty())
    curl_easy_setopt(easy, CURLOPT_REQUEST_TARGET,
                     next.target.target().c_str()); // to a proxy, libcurl would leave out the '?'
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, next.detail);
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L); // else the loop waits for the resolver of what it gives up
  curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, receive_bytes);
  curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(left));
  if (next.addresses) curl_easy_setopt(easy, CURLOPT_RESOLVE, next.addresses.get());
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(settings_.connect_timeout.count()));
  curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_PROXY,
                   settings_.proxy.c_str());   // if there is none, never silently one from the environment
  curl_easy_setopt(easy, CURLOPT_NOPROXY, ""); // nor does the environment say which targets go around it: to
                                               // those the socket callback would be open
  curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_2TLS));
  curl_easy_setopt(easy, CURLOPT_USERAGENT, settings_.user_agent.c_str());
  if (!settings_.ca_file.empty()) curl_easy_setopt(easy, CURLOPT_CAINFO, settings_.ca_file.c_str());
  if (!settings_.client_certificate.empty()) {
    curl_easy_setopt(easy, CURLOPT_SSLCERT, settings_.client_certificate.c_str());
    curl_easy_setopt(easy, CURLOPT_SSLKEY, settings_.client_key.c_str());
  }
  if (trusts_file_) curl_easy_setopt(easy, CURLOPT_CAPATH, nullptr);
  curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, ca_cache_seconds);
  if (next.lane == nullptr) next.lane = &lane_with_room();
  curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, &on_open_socket);
  curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, &next);
  curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, &curl_lane::close_socket);
  curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, next.lane);
  curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, &on_ready);
  curl_easy_setopt(easy, CURLOPT_PREREQDATA, &next);
  curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS,
                   1L); // what a proxy says of its tunnel is no part of the response
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &on_header);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, &next);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &on_body);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, &next);
  if (next.needs_fresh || !fetch.is_repeatable())
    curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
  else if (next.target.scheme == "https") // where HTTP/2 may be: rather a stream on a connection that is
                                          // being made than another connection
    curl_easy_setopt(easy, CURLOPT_PIPEWAIT, 1L);

  curl_slist* list = nullptr;
  const auto add = [&list](const std::string& line) {
    auto* longer = curl_slist_append(list, line.c_str());
    if (longer == nullptr) std::abort(); // out of memory
    list = longer;
  };
  if (!next.request_headers.has("Accept-Encoding"))
    add(fmt::format("Accept-Encoding: {}", content_decoder::accepted));
  std::string cookies;
  if (next.jar) cookies = next.jar->header_for(next.target, clock_.now_ms());
  if (!cookies.empty())
    add("Cookie: " + merge_cookie_header(joined(next.request_headers.get_all("Cookie")), cookies));
  for (const auto& [name, value] : next.request_headers.fields())
    if (cookies.empty() || !iequals(name, "Cookie"))
      add(value.empty() ? name + ";"
                        : fmt::format("{}: {}", name, value)); // "name;" is how libcurl spells an empty value
  if (next.method == "GET") {
    curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
  } else if (next.method == "HEAD") {
    curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
  } else {
    if (next.with_body || next.method == "POST" || next.method == "PUT" || next.method == "PATCH") {
      curl_easy_setopt(easy, CURLOPT_POST, 1L);
      if (next.upload) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
                         static_cast<curl_off_t>(next.job.body_file->bytes));
        curl_easy_setopt(easy, CURLOPT_READFUNCTION, &on_read);
        curl_easy_setopt(easy, CURLOPT_READDATA, &next);
        curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, &on_rewind);
        curl_easy_setopt(easy, CURLOPT_SEEKDATA, &next);
      } else {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
                         next.with_body ? static_cast<curl_off_t>(fetch.body.size()) : curl_off_t{0});
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, next.with_body ? fetch.body.data() : "");
      }
      if (!next.request_headers.has("Content-Type"))
        add("Content-Type:"); // none rather than libcurl's default
      add("Expect:");         // no waiting for a 100
    }
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, next.method.c_str());
  }
  next.fields.reset(list);
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, next.fields.get());
  if (auto code = next.lane->add(easy); code != CURLM_OK) {
    next.lane = nullptr;
    return refuse(next, fetch_errc::fetch_failed,
                  fmt::format("libcurl refused the transfer: {}", curl_multi_strerror(code)), sent_state::no);
  }
  next.on_lane = true;
  limit_idle_connections(*next.lane);
}

void curl_transport::finish_hop(exchange& hop, CURLcode code) {
  if (hop.is_first) watch_connection(hop); // before the lane forgets which one it was
  leave_lane(hop);
  limit_idle_connections(*hop.lane);
  if (code == CURLE_OK && hop.decoder && hop.decoder->has_more()) return; // it has its turn in `decoding_`
  std::erase(decoding_, &hop);
  conclude(hop, code);
}

void curl_transport::leave_lane(exchange& on) {
  if (std::exchange(on.on_lane, false)) on.lane->remove(on.easy.get());
}

void curl_transport::decode_soon() {
  if (decoding_.empty() || std::exchange(decode_posted_, true)) return;
  asio::post(loop_, [this] {
    decode_posted_ = false;
    decode_some();
    decode_soon();
  });
}

/// One slice of one body, and the loop looks at everything else before the next: what unfolds into very much
/// is not to keep others from their turn.
void curl_transport::decode_some() {
  if (decoding_.empty()) return;
  auto& on = *decoding_.front();
  decoding_.pop_front();
  auto code = decode_slice(on) ? CURLE_OK : CURLE_WRITE_ERROR;
  if (!on.on_lane && code == CURLE_OK && steady_clock::now() > on.give_up_at) code = CURLE_OPERATION_TIMEDOUT;
  if (code == CURLE_OK && on.decoder->has_more()) return decoding_.push_back(&on);
  if (!on.on_lane) return conclude(on, code);                                  // all of it has come
  if (code == CURLE_OK) code = curl_easy_pause(on.easy.get(), CURLPAUSE_CONT); // calls `on_body`
  if (code != CURLE_OK) finish_hop(on, code);
}

void curl_transport::conclude(exchange& hop, CURLcode code) {
  auto* easy = hop.easy.get();
  if (hop.connection == connection_state::stale) {
    hop.needs_fresh = true; // the next one may be the same
    begin_hop(hop);
    return;
  }
  if (hop.jar && hop.answered) take_cookies(hop);
  const bool earlier_hop = hop.hops > 0;
  if (code == CURLE_OK) {
    long status = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    if (status < 100 || status > 999)
      return refuse(hop, fetch_errc::fetch_failed, "the answer is not HTTP", sent_state::yes);
    if (!hop.head.is_complete())
      return finish(hop,
                    unexpected<fetch_error>(fetch_error{
                        fetch_errc::network_error,
                        fmt::format("{} {}: the connection ended within the header section of the response",
                                    hop.method, hop.target.origin()),
                        sent_state::yes, 0}),
                    true);
    hop.status = static_cast<std::uint16_t>(status);
    const auto mode = hop.job.fetch->redirect;
    if (is_redirect_status(hop.status) && mode == redirect_mode::error)
      return refuse(
          hop, fetch_errc::network_error,
          fmt::format("the server answered with a redirect ({}) and the fetch forbids them", status),
          sent_state::yes);
    if (is_redirect_status(hop.status) && mode == redirect_mode::follow &&
        hop.head.fields().has("Location")) {
      if (follow_redirect(hop)) begin_hop(hop);
      return;
    }
    if (hop.decoder && !hop.decoder->is_whole())
      return finish(hop,
                    unexpected<fetch_error>(
                        fetch_error{fetch_errc::network_error,
                                    fmt::format("{} {}: the response's body ended within its content coding",
                                                hop.method, hop.target.origin()),
                                    sent_state::yes, 0}),
                    true);
    std::string body;
    if (hop.body_bytes <= settings_.max_inline_bytes)
      body = hop.body.take();
    else if (!(hop.file && hop.file->is_held()) && !spill(hop))
      return refuse(hop, sent_state::yes);
    return finish(hop,
                  response(hop.status, std::move(hop.head).take_fields(), std::move(body),
                           hop.target.target(), hop.hops),
                  is_retryable_status(hop.status));
  }
  long request_bytes = 0;
  curl_off_t pretransfer = 0;
  curl_easy_getinfo(easy, CURLINFO_REQUEST_SIZE, &request_bytes);
  curl_easy_getinfo(easy, CURLINFO_PRETRANSFER_TIME_T, &pretransfer);
  auto sent = hop.answered || earlier_hop                   ? sent_state::yes
              : hop.connection == connection_state::refused ? sent_state::no
              : request_bytes > 0 || pretransfer > 0        ? sent_state::maybe
                                                            : sent_state::no;
  if (!hop.refusal.empty()) return refuse(hop, sent);
  if (hop.connection != connection_state::good)
    return finish(hop,
                  unexpected<fetch_error>(
                      fetch_error{fetch_errc::network_error,
                                  fmt::format("{} {}: {}", hop.method, hop.target.origin(),
                                              hop.connection == connection_state::lost
                                                  ? "the connection was closed before a response came"
                                                  : "the server has refused the request's stream"),
                                  sent, 0}),
                  true);
  if (hop.blocked && code == CURLE_COULDNT_CONNECT)
    return refuse(hop, fetch_errc::blocked,
                  fmt::format("host '{}' resolves to a loopback, private or otherwise special address; only "
                              "naming it in options::allow allows it",
                              hop.target.host),
                  earlier_hop ? sent_state::yes : sent_state::no);
  fetch_error failed;
  failed.sent = sent;
  failed.message = fmt::format("{} {}: {}", hop.method, hop.target.origin(),
                               hop.detail[0] != '\0' ? hop.detail : curl_easy_strerror(code));
  bool retryable = true;
  switch (code) {
  case CURLE_OPERATION_TIMEDOUT:
    failed.code = fetch_errc::timeout;
    failed.message += limits_of(hop);
    break;
  case CURLE_OUT_OF_MEMORY: // what libcurl says of a line that is longer than it takes
    failed.code = hop.head.is_complete() ? fetch_errc::fetch_failed : fetch_errc::too_large;
    if (!hop.head.is_complete())
      failed.message = fmt::format("the response headers are over options::max_header_bytes = {}",
                                   settings_.max_header_bytes);
    retryable = false;
    break;
  case CURLE_COULDNT_RESOLVE_PROXY:
    failed.code = fetch_errc::network_error;
    failed.message += "; it is the one of options::proxy";
    break;
  case CURLE_COULDNT_RESOLVE_HOST:
  case CURLE_COULDNT_CONNECT:
  case CURLE_SEND_ERROR:
  case CURLE_RECV_ERROR:
  case CURLE_GOT_NOTHING:
  case CURLE_PARTIAL_FILE:
  case CURLE_HTTP2:
  case CURLE_HTTP2_STREAM:
  case CURLE_SSL_CONNECT_ERROR:
    failed.code = fetch_errc::network_error;
    break;
  case CURLE_PEER_FAILED_VERIFICATION:
  case CURLE_SSL_CACERT_BADFILE:
    failed.code = fetch_errc::network_error;
    failed.message +=
        settings_.ca_file.empty()
            ? "; trusted are the system's certificates, unless options::ca_file names others"
            : fmt::format("; trusted are the certificates of options::ca_file = '{}'", settings_.ca_file);
    retryable = false;
    break;
  default:
    failed.code = fetch_errc::fetch_failed;
    retryable = false;
  }
  finish(hop, unexpected<fetch_error>(std::move(failed)), retryable);
}

/// What this hop's response sets counts for the next hop, and for the object when it handles the result.
void curl_transport::take_cookies(exchange& hop) {
  auto fields = hop.head.fields().get_set_cookie();
  if (fields.empty()) return;
  const auto now = clock_.now_ms();
  auto own = std::make_shared<cookie_jar>(*hop.jar); // others look at that one too
  for (auto& field : fields)
    if (own->receive(hop.target, field, now)) // what RFC 6265bis ignores is ignored
      hop.cookies.push_back({hop.target.target(), std::move(field), now});
  hop.jar = std::move(own);
}

/// WHATWG Fetch, HTTP-redirect fetch. False if the redirect was refused.
bool curl_transport::follow_redirect(exchange& hop) {
  if (hop.hops >= max_redirects) {
    refuse(hop, fetch_errc::network_error, fmt::format("more than {} redirects", max_redirects),
           sent_state::yes);
    return false;
  }
  const auto locations = hop.head.fields().get_all("Location");
  if (locations.size() > 1) {
    refuse(hop, fetch_errc::network_error,
           fmt::format("a redirect ({}) with {} Location fields leads nowhere", hop.status, locations.size()),
           sent_state::yes);
    return false;
  }
  auto next = resolve_url(hop.target, locations.front());
  if (!next) {
    // What is wrong with it would show it, and it may have a token in its query.
    const bool blocked = next.error().code == errc::blocked;
    refuse(hop, blocked ? fetch_errc::blocked : fetch_errc::network_error,
           fmt::format("a redirect ({}) with a Location of {} bytes: {}", hop.status,
                       locations.front().size(),
                       blocked ? "its scheme is neither http nor https" : "it is no URL that can be fetched"),
           sent_state::yes);
    return false;
  }
  ++hop.hops;
  hop.needs_fresh = false;
  if ((hop.status == 303 && hop.method != "GET" && hop.method != "HEAD") ||
      ((hop.status == 301 || hop.status == 302) && hop.method == "POST")) {
    hop.method = "GET";
    hop.with_body = false;
    for (std::string_view name : {"Content-Encoding", "Content-Language", "Content-Location", "Content-Type"})
      hop.request_headers.erase(name);
  }
  if (next->origin() != hop.target.origin())
    for (std::string_view name : {"Authorization", "Cookie", "Proxy-Authorization"})
      hop.request_headers.erase(name);
  next->user.clear();
  next->password.clear();
  hop.target = std::move(*next);
  return true;
}

void curl_transport::refuse(exchange& last, fetch_errc code, std::string why, sent_state sent) {
  finish(last, unexpected<fetch_error>(fetch_error{code, std::move(why), sent, 0}), false);
}

/// For the reason that a callback gave.
void curl_transport::refuse(exchange& last, sent_state sent) {
  finish(last, unexpected<fetch_error>(fetch_error{last.refused_as, last.refusal, sent, 0}),
         last.refusal_passes);
}

void curl_transport::finish(exchange& last, fetch_result result, bool retryable) {
  auto owned = std::move(exchanges_.extract(&last).mapped());
  by_token_.erase(owned->job.token);
  if (lanes_.size() > 1 && owned->lane != nullptr && owned->lane->transfers() == 0)
    asio::post(loop_, [this] { close_spare_lanes(); }); // we are inside of it
  transfer_outcome outcome{owned->job.token, std::move(result), retryable, std::nullopt};
  outcome.cookies = std::move(owned->cookies);
  if (outcome.result) outcome.body = std::move(owned->file);
  if (outcome.result && retryable)
    if (auto value = outcome.result->headers().get("Retry-After"))
      outcome.retry_after = parse_retry_after(*value, clock_.now_ms());
  spare_.push_back(std::move(owned->easy));
  // Not from inside start(): the caller is told later, always.
  asio::post(loop_, [done = std::move(owned->done), outcome = std::move(outcome)]() mutable {
    done(std::move(outcome));
  });
}

} // namespace

std::unique_ptr<http_transport> make_curl_transport(asio::io_context& loop, transport_settings settings,
                                                    const url_policy& policy, const wall_clock& clock,
                                                    std::shared_ptr<blob_store> blobs) {
  return std::make_unique<curl_transport>(loop, std::move(settings), policy, clock, std::move(blobs));
}

} // namespace dormouse
