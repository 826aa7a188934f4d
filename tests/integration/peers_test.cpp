// Servers that we did not write: nginx and Node.js.

#include "nginx_server.hpp"
#include "node_server.hpp"
#include "upstream/sample_content.hpp"
#include "upstream_fixture.hpp"
#include "url_encoded.hpp"

#include <curl/curl.h>
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace dormouse::test::peers_test {

using namespace std::chrono_literals;
using nlohmann::json;

namespace {

struct fixture : upstream_fixture {
  test_ca ca;

  options trusting() const {
    auto chosen = settings();
    chosen.ca_file = ca.file();
    return chosen;
  }
};

/// What /protocol of nginx says.
struct protocol {
  std::string version;
  std::uint64_t connection = 0;
  std::uint64_t request = 0;
};

protocol protocol_of(const response& got) {
  protocol out;
  std::istringstream(got.text()) >> out.version >> out.connection >> out.request;
  return out;
}

/// GETs of the same URL, all at once.
std::vector<response> many(const object_ref<fetcher>& object, const std::string& url, int count) {
  std::vector<order> orders;
  for (int i = 0; i < count; ++i)
    orders.push_back({.tag = url + std::to_string(i), .url = url});
  value_of(object.call<&fetcher::send_all>(orders));
  std::vector<response> all;
  for (const auto& each : orders)
    all.push_back(answered(result_under(object, each.tag)));
  return all;
}

/// libcurl without us, for what we have no option for.
class bare_curl {
public:
  bare_curl() : easy_(curl_easy_init()) {
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_WRITEDATA, &text_);
    set(
        CURLOPT_WRITEFUNCTION, +[](char* data, std::size_t size, std::size_t count, void* into) {
          static_cast<std::string*>(into)->append(data, size * count);
          return size * count;
        });
  }
  bare_curl(const bare_curl&) = delete;
  bare_curl& operator=(const bare_curl&) = delete;
  ~bare_curl() { curl_easy_cleanup(easy_); }

  template <class T> void set(CURLoption option, T value) {
    REQUIRE(curl_easy_setopt(easy_, option, value) == CURLE_OK);
  }
  std::string get(const std::string& url) {
    text_.clear();
    set(CURLOPT_URL, url.c_str());
    REQUIRE(curl_easy_perform(easy_) == CURLE_OK);
    return text_;
  }
  long status() const {
    long out = 0;
    curl_easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &out);
    return out;
  }

private:
  CURL* easy_;
  std::string text_;
};

} // namespace

// --- TLS and HTTP/2 ----------------------------------------------------------------------------------------

TEST_CASE_FIXTURE(fixture, "nginx: HTTP/2 over TLS, to a server that options::ca_file vouches for") {
  nginx_server nginx(&ca);
  runtime running(trusting());
  auto mine = object(running);
  const auto got = answered(fetched(mine, {.tag = "tls", .url = nginx.tls_url() + "/protocol"}));
  CHECK(protocol_of(got).version == "HTTP/2.0");
  CHECK(got.url() == nginx.tls_url() + "/protocol");
  CHECK(got.headers().has("Server"));
  CHECK(protocol_of(answered(fetched(mine, {.tag = "plain", .url = nginx.url() + "/protocol"}))).version ==
        "HTTP/1.1");
  for (const auto& url : {nginx.url(), nginx.tls_url()}) {
    CAPTURE(url);
    order put{.tag = "put" + url, .url = url + "/uploads/a", .method = "PUT"};
    value_of(mine.call<&fetcher::send_bytes>(put, std::uint64_t{3} << 20U));
    CHECK(answered(result_under(mine, put.tag)).ok());
    CHECK(answered(fetched(mine, {.tag = "get" + url, .url = url + "/uploads/a"})).text() ==
          std::string(3 << 20, 'b'));
    CHECK(answered(fetched(mine, {.tag = "delete" + url, .url = url + "/uploads/a", .method = "DELETE"}))
              .status() == 204);
    CHECK(answered(fetched(mine, {.tag = "post" + url, .url = url + "/plain", .method = "POST", .body = "x"}))
              .text()
              .size() == 1024);
    CHECK(answered(fetched(mine, {.tag = "head" + url, .url = url + "/plain", .method = "HEAD"}))
              .headers()
              .get("Content-Length") == "1024");
  }
}

TEST_CASE_FIXTURE(fixture, "nginx: fetches at the same time share an HTTP/2 connection") {
  nginx_server nginx(&ca);
  runtime running(trusting());
  auto mine = object(running);
  const auto first =
      protocol_of(answered(fetched(mine, {.tag = "first", .url = nginx.tls_url() + "/protocol"})));
  for (const auto& got : many(mine, nginx.tls_url() + "/protocol", 100)) {
    CHECK(protocol_of(got).version == "HTTP/2.0");
    CHECK(protocol_of(got).connection == first.connection);
  }
}

TEST_CASE_FIXTURE(fixture, "nginx: fetches that begin at the same time wait for the first HTTP/2 connection "
                           "instead of making one each") {
  nginx_server nginx(&ca);
  runtime running(trusting());
  auto mine = object(running);
  std::set<std::uint64_t> connections;
  for (const auto& got : many(mine, nginx.tls_url() + "/protocol", 100))
    connections.insert(protocol_of(got).connection);
  CHECK(connections.size() == 1);
  // Whoever does not speak it costs them nothing but that wait.
  for (const auto& got : many(mine, nginx.http1_url() + "/protocol", 100))
    CHECK(protocol_of(got).version == "HTTP/1.1");
}

TEST_CASE_FIXTURE(fixture, "nginx: a server that ends its HTTP/2 connections all the time fails no fetch") {
  nginx_server nginx(&ca);
  runtime running(trusting());
  auto mine = object(running);
  std::set<std::uint64_t> connections;
  for (const auto& got : many(mine, nginx.departing_url() + "/protocol", 60))
    connections.insert(protocol_of(got).connection);
  CHECK(connections.size() >= 20);
}

TEST_CASE_FIXTURE(
    fixture,
    "TLS: a server that nobody vouches for is a NETWORK_ERROR, is sent nothing, and is not tried again") {
  nginx_server nginx(&ca);
  test_ca other;
  auto others = settings();
  others.ca_file = other.file();
  auto misnamed = trusting();
  misnamed.allow.push_back("127.0.0.2");
  struct stranger {
    std::string who;
    options chosen;
    std::string url;
  };
  for (const auto& each : {stranger{"not known to the system", settings(), nginx.tls_url()},
                           stranger{"another authority", others, nginx.tls_url()},
                           stranger{"another name", misnamed, nginx.misnamed_url()}}) {
    CAPTURE(each.who);
    runtime running(each.chosen);
    auto mine = object(running);
    for (const std::string method : {"GET", "POST"}) {
      const auto refused =
          failed(fetched(mine, {.tag = each.who + method, .url = each.url + "/plain", .method = method}));
      CHECK(to_string(refused.code) == "NETWORK_ERROR");
      CHECK(refused.sent == sent_state::no);
      CHECK(refused.attempts == 1);
      CHECK(contains(refused.message, each.url));
      CHECK(contains(refused.message, "certificate"));
      CHECK(contains(refused.message, "options::ca_file"));
    }
    CHECK(running.stats().retries == 0);
  }
}

TEST_CASE_FIXTURE(
    fixture, "TLS: of fetches that begin at the same time each is told that nobody vouches for the server") {
  nginx_server nginx(&ca);
  runtime running(settings());
  auto mine = object(running);
  std::vector<order> orders;
  for (int i = 0; i < 100; ++i)
    orders.push_back({.tag = std::to_string(i), .url = nginx.tls_url() + "/plain"});
  value_of(mine.call<&fetcher::send_all>(orders));
  for (const auto& each : orders)
    CHECK(failed(result_under(mine, each.tag)).code == fetch_errc::network_error);
}

TEST_CASE_FIXTURE(fixture, "TLS: a ca_file that is gone when it is needed is named") {
  nginx_server nginx(&ca);
  auto chosen = settings();
  chosen.ca_file = directory.path() / "ca.pem";
  std::filesystem::copy_file(ca.file(), chosen.ca_file);
  runtime running(chosen);
  std::filesystem::remove(chosen.ca_file);
  const auto refused = failed(fetched(object(running), {.tag = "a", .url = nginx.tls_url() + "/plain"}));
  CHECK(to_string(refused.code) == "NETWORK_ERROR");
  CHECK(refused.sent == sent_state::no);
  CHECK(refused.attempts == 1);
  CHECK(contains(refused.message, "options::ca_file"));
}

TEST_CASE_FIXTURE(fixture, "TLS: to a server that does not speak it nothing is sent") {
  nginx_server nginx;
  runtime running(settings());
  order what{.tag = "a",
             .url = "https" + nginx.url().substr(4) + "/plain",
             .method = "POST",
             .body = "x",
             .max_retries = 1};
  const auto refused = failed(fetched(object(running), what));
  CHECK(to_string(refused.code) == "NETWORK_ERROR");
  CHECK(refused.sent == sent_state::no);
}

TEST_CASE_FIXTURE(fixture, "nginx: a client's certificate is asked for") {
  nginx_server nginx(&ca);
  runtime running(trusting());
  CHECK(answered(fetched(object(running), {.tag = "a", .url = nginx.tls_url() + "/client"})).status() == 403);
  bare_curl curl;
  curl.set(CURLOPT_CAINFO, ca.file().c_str());
  curl.set(CURLOPT_SSLCERT, ca.client_certificate().c_str());
  curl.set(CURLOPT_SSLKEY, ca.client_key().c_str());
  CHECK(curl.get(nginx.tls_url() + "/client") == "CN=test client");
}

TEST_CASE_FIXTURE(
    fixture, "Node: a stream that the server refused is sent again, one that it broke only if that is safe") {
  node_server node(&ca);
  runtime running(trusting());
  auto mine = object(running);
  for (const std::string method : {"GET", "POST"}) {
    CAPTURE(method);
    CHECK(answered(fetched(mine, {.tag = "refused" + method,
                                  .url = node.tls_url() + "/refuse_first?key=" + method,
                                  .method = method}))
              .text() == "accepted");
    CHECK(answered(
              fetched(mine, {.tag = "goaway" + method, .url = node.tls_url() + "/goaway", .method = method}))
              .text() == "the last one");
    CHECK(answered(
              fetched(mine, {.tag = "behind" + method, .url = node.tls_url() + "/plain", .method = method}))
              .text() == "node");
  }
  const auto get =
      failed(fetched(mine, {.tag = "get", .url = node.tls_url() + "/stream_error", .max_retries = 2}));
  CHECK(to_string(get.code) == "NETWORK_ERROR");
  CHECK(get.attempts == 3);
  const auto post = failed(fetched(
      mine, {.tag = "post", .url = node.tls_url() + "/stream_error", .method = "POST", .max_retries = 2}));
  CHECK(to_string(post.code) == "NETWORK_ERROR");
  CHECK(post.sent == sent_state::maybe);
  CHECK(post.attempts == 1);
}

// --- bodies ------------------------------------------------------------------------------------------------

TEST_CASE_FIXTURE(fixture, "content codings are undone") {
  runtime running(settings());
  auto mine = object(running);
  for (const std::string coding : {"gzip", "br", "zstd"})
    for (const std::string bytes : {"0", "1", "300000"}) {
      CAPTURE(coding);
      CAPTURE(bytes);
      const auto got = answered(fetched(mine, key(coding + bytes, "bytes=" + bytes + "&encoding=" + coding)));
      CHECK(got.text() == samples::body_of(coding + bytes, std::stoull(bytes)));
      CHECK(got.headers().get("Content-Encoding") == coding);
      CHECK(answered(fetched(mine, key("chunked" + coding + bytes,
                                       "mode=chunked&bytes=" + bytes + "&encoding=" + coding)))
                .text() == samples::body_of("chunked" + coding + bytes, std::stoull(bytes)));
    }
  const auto asked = answered(fetched(mine, {.tag = "asked", .url = at("/headers")})).text();
  for (const std::string coding : {"gzip", "br", "zstd"})
    CHECK(contains(asked, coding));

  nginx_server nginx;
  nginx.put_file("a.txt", samples::body_of("a", 100'000));
  const auto packed = answered(fetched(mine, {.tag = "nginx", .url = nginx.url() + "/compressed/a.txt"}));
  CHECK(packed.headers().get("Content-Encoding") == "gzip");
  CHECK(packed.text() == samples::body_of("a", 100'000));
  node_server node;
  for (const std::string path : {"/gzip", "/br"}) {
    const auto got = answered(fetched(mine, {.tag = path, .url = node.url() + path})).text();
    CHECK(got.size() == 12'000);
    CHECK(got.starts_with("compressible"));
  }
}

TEST_CASE_FIXTURE(fixture, "R12: a decompression bomb is TOO_LARGE, and is not asked for again") {
  auto chosen = settings();
  chosen.max_body_bytes = 1 << 20;
  runtime running(chosen);
  auto mine = object(running);
  for (const std::string coding : {"gzip", "br", "zstd"}) {
    CAPTURE(coding);
    const auto burst = failed(fetched(mine, key(coding, "bytes=200000000&encoding=" + coding)));
    CHECK(to_string(burst.code) == "TOO_LARGE");
    CHECK(burst.sent == sent_state::yes);
    CHECK(burst.attempts == 1);
    CHECK(contains(burst.message, "options::max_body_bytes = 1048576"));
    CHECK(answered(fetched(mine, key("just fits" + coding, "bytes=1048576&encoding=" + coding)))
              .text()
              .size() == 1 << 20);
    CHECK(failed(fetched(mine, key("one more" + coding, "bytes=1048577&encoding=" + coding))).code ==
          fetch_errc::too_large);
  }
}

TEST_CASE_FIXTURE(
    fixture, "a coded body that is broken off is asked for again, one that is not what it says is an error") {
  runtime running(settings());
  auto mine = object(running);
  for (const std::string coding : {"gzip", "br", "zstd"}) {
    CAPTURE(coding);
    CHECK(answered(fetched(mine, key("broken off" + coding,
                                     "bytes=300000&mode=drop_body&fail_first=1&encoding=" + coding)))
              .text()
              .size() == 300'000);
    const auto wrong =
        failed(fetched(mine, key("wrong" + coding, "bytes=1000&header=content-encoding:" + coding)));
    CHECK(to_string(wrong.code) == "FETCH_FAILED");
    CHECK(wrong.sent == sent_state::yes);
    CHECK(wrong.attempts == 1);
  }
}

TEST_CASE_FIXTURE(fixture, "nginx: parts of a file and validators") {
  nginx_server nginx;
  nginx.put_file("a.txt", "0123456789");
  runtime running(settings());
  auto mine = object(running);
  const auto whole = answered(fetched(mine, {.tag = "whole", .url = nginx.url() + "/files/a.txt"}));
  CHECK(whole.text() == "0123456789");
  const auto part = answered(fetched(
      mine, {.tag = "part", .url = nginx.url() + "/files/a.txt", .headers = {{"Range", "bytes=2-4"}}}));
  CHECK(part.status() == 206);
  CHECK(part.text() == "234");
  CHECK(part.headers().get("Content-Range") == "bytes 2-4/10");
  const headers unless_same{{"If-None-Match", whole.headers().get("ETag").value()}};
  const auto same =
      answered(fetched(mine, {.tag = "same", .url = nginx.url() + "/files/a.txt", .headers = unless_same}));
  CHECK(same.status() == 304);
  CHECK(same.text().empty());
}

TEST_CASE_FIXTURE(fixture, "nginx: a refusal that comes before the body has gone out is the response") {
  nginx_server nginx(&ca);
  runtime running(trusting());
  auto mine = object(running);
  for (const auto& url : {nginx.url(), nginx.tls_url()}) {
    CAPTURE(url);
    value_of(mine.call<&fetcher::send_bytes>(order{.tag = url, .url = url + "/limited", .method = "PUT"},
                                             std::uint64_t{8} << 20U));
    CHECK(answered(result_under(mine, url)).status() == 413);
  }
}

// --- the ways of Node.js -----------------------------------------------------------------------------------

TEST_CASE_FIXTURE(fixture, "Node: trailers are no headers") {
  node_server node(&ca);
  runtime running(trusting());
  auto mine = object(running);
  for (const auto& url : {node.url(), node.tls_url()}) {
    CAPTURE(url);
    const auto got = answered(fetched(mine, {.tag = url, .url = url + "/chunked"}));
    CHECK(got.text() == "one,two,three");
    CHECK(got.headers().has("Trailer"));
    CHECK_FALSE(got.headers().has("X-Sum"));
    CHECK_FALSE(got.headers().has("Set-Cookie"));
  }
}

TEST_CASE_FIXTURE(fixture, "Node: a trailer that looks like another response is none") {
  node_server node;
  runtime running(settings());
  const std::string answer = "HTTP/1.1 200 OK\r\nX-First: 1\r\nTransfer-Encoding: "
                             "chunked\r\n\r\n5\r\nwhole\r\n0\r\nHTTP/1.1 500 No: x\r\nX-Second: 2\r\n\r\n";
  const auto got = answered(
      fetched(object(running), {.tag = "a", .url = node.url() + "/raw?answer=" + url_encoded(answer)}));
  CHECK(got.status() == 200);
  CHECK(got.text() == "whole");
  CHECK(got.headers().has("X-First"));
  CHECK_FALSE(got.headers().has("X-Second"));
}

TEST_CASE_FIXTURE(fixture, "Node: of interim responses nothing is left in the response") {
  node_server node(&ca);
  runtime running(trusting());
  auto mine = object(running);
  for (const auto& url : {node.url(), node.tls_url()}) {
    CAPTURE(url);
    const auto got = answered(fetched(mine, {.tag = url, .url = url + "/early_hints"}));
    CHECK(got.status() == 200);
    CHECK(got.text() == "final");
    CHECK(got.headers().get("X-Final") == "yes");
    CHECK_FALSE(got.headers().has("X-Hint"));
    CHECK_FALSE(got.headers().has("Link"));
  }
  CHECK(answered(fetched(mine, {.tag = "102", .url = node.url() + "/processing"})).text() == "processed");
}

TEST_CASE_FIXTURE(fixture, "Node: Set-Cookie headers are kept apart") {
  node_server node(&ca);
  runtime running(trusting());
  auto mine = object(running);
  for (const auto& url : {node.url(), node.tls_url()})
    CHECK(
        answered(fetched(mine, {.tag = url, .url = url + "/set_cookies"})).headers().get_all("Set-Cookie") ==
        std::vector<std::string>{"a=1; Path=/", "b=2; Expires=Wed, 21 Oct 2122 07:28:00 GMT", "c=\"x, y\""});
}

TEST_CASE_FIXTURE(
    fixture, "Node: a connection that the server closes between requests costs no fetch and no retry, and "
             "one that it closes in spite of a request an attempt") {
  node_server node;
  runtime running(settings());
  auto mine = object(running);
  for (int i = 0; i < 20; ++i)
    CHECK(answered(fetched(mine,
                           {.tag = std::to_string(i), .url = node.url() + "/close_behind", .max_retries = 0}))
              .status() == 200);
  CHECK(running.stats().retries == 0);
  for (const std::string path : {"/close_on_reuse", "/reset_on_reuse"})
    for (int i = 0; i < 20; ++i) {
      CAPTURE(path);
      const auto got = answered(
          fetched(mine, {.tag = path + std::to_string(i), .url = node.url() + path, .max_retries = 1}));
      CHECK(got.status() == 200);
    }
  const auto retries = running.stats().retries;
  CHECK(retries > 0);
  // What must not be repeated is never tried on a connection that may be dead.
  for (int i = 0; i < 5; ++i)
    CHECK(answered(fetched(mine, {.tag = "post" + std::to_string(i),
                                  .url = node.url() + "/close_on_reuse",
                                  .method = "POST",
                                  .body = "x"}))
              .text() == "first");
  CHECK(running.stats().retries == retries);
}

TEST_CASE_FIXTURE(fixture,
                  "Node: a response that nobody has asked for answers no request, with TLS neither") {
  node_server node(&ca);
  runtime running(trusting());
  auto mine = object(running);
  std::size_t count = 0;
  for (const auto& url : {node.url(), node.old_tls_url()})
    for (int i = 0; i < 5; ++i) {
      CAPTURE(url);
      const auto tag = std::to_string(count++);
      CHECK(answered(fetched(mine, {.tag = tag, .url = url + "/talk_behind?answer=" + tag, .max_retries = 0}))
                .text() == tag);
      std::size_t looks = 0;
      CHECK(eventually([&] {
        const auto said = answered(fetched(mine, {.tag = fmt::format("said {} {}", tag, looks++),
                                                  .url = node.tls_url() + "/unasked"}))
                              .json();
        return said.at("said") == count;
      }));
    }
  CHECK(running.stats().retries == 0);
  // What TLS itself says, the tickets of a session, is no reason to give a connection up.
  const auto opened = [&](const std::string& tag) {
    return answered(fetched(mine, {.tag = tag, .url = node.tls_url() + "/connections"}))
        .json()
        .at("opened")
        .get<int>();
  };
  (void)answered(fetched(mine, {.tag = "a fresh one", .url = node.old_tls_url() + "/plain"}));
  const auto before = opened("before");
  for (int i = 0; i < 5; ++i)
    (void)answered(fetched(mine, {.tag = fmt::format("plain {}", i), .url = node.old_tls_url() + "/plain"}));
  CHECK(opened("after") == before);
}

TEST_CASE_FIXTURE(fixture, "Node: a request arrives as it was meant, and waits for no 100") {
  node_server node(&ca);
  runtime running(trusting());
  auto mine = object(running);
  for (const auto& url : {node.url(), node.tls_url()}) {
    CAPTURE(url);
    const order what{.tag = url,
                     .url = url + "/echo?a=b#c",
                     .method = "POST",
                     .headers = {{"X-Empty", ""}, {"X-Twice", "1"}, {"X-Twice", "2"}}};
    value_of(mine.call<&fetcher::send_bytes>(what, std::uint64_t{2} << 20U));
    const auto seen = answered(result_under(mine, url)).json();
    CHECK(seen.at("method") == "POST");
    CHECK(seen.at("target") == "/echo?a=b");
    CHECK(seen.at("continued") == false);
    CHECK(seen.at("body").get<std::string>() == std::string(2 << 20, 'b'));
    CHECK(seen.at("version") == (url == node.url() ? "1.1" : "2.0"));
    const auto fields = seen.at("headers").get<std::vector<std::pair<std::string, std::string>>>();
    const auto count = [&fields](const std::pair<std::string, std::string>& field) {
      return std::count(fields.begin(), fields.end(), field);
    };
    CHECK(count({"x-empty", ""}) == 1);
    CHECK(count({"x-twice", "1"}) == 1);
    CHECK(count({"x-twice", "2"}) == 1);
    CHECK(count({"content-length", std::to_string(2 << 20)}) == 1);
    CHECK(std::none_of(fields.begin(), fields.end(),
                       [](const auto& field) { return field.first == "expect"; }));
  }
}

TEST_CASE_FIXTURE(fixture, "R21: an answer that is not HTTP is a typed error") {
  node_server node;
  runtime running(settings());
  auto mine = object(running);
  struct oddity {
    std::string answer;
    std::string code;
    sent_state sent;
  };
  for (const auto& each : {
           oddity{"", "NETWORK_ERROR", sent_state::maybe},
           oddity{"hello\r\n\r\n", "FETCH_FAILED", sent_state::maybe},
           oddity{"HTTP/1.1 200 OK\r\nna me: x\r\n\r\n", "FETCH_FAILED", sent_state::yes},
           oddity{"HTTP/1.1 200 OK\r\na: \x01\r\n\r\n", "FETCH_FAILED", sent_state::yes},
           oddity{"HTTP/1.1 200 OK\r\nContent-Length: ten\r\n\r\nx", "FETCH_FAILED", sent_state::yes},
           oddity{"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "NETWORK_ERROR", sent_state::yes},
           oddity{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nx", "NETWORK_ERROR",
                  sent_state::yes},
           oddity{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nha", "NETWORK_ERROR",
                  sent_state::yes},
       }) {
    CAPTURE(each.answer);
    const auto wrong = failed(fetched(mine, {.tag = each.answer,
                                             .url = node.url() + "/raw?answer=" + url_encoded(each.answer),
                                             .max_retries = 0}));
    CHECK(to_string(wrong.code) == each.code);
    CHECK(wrong.sent == each.sent);
  }
  CHECK(answered(fetched(mine, {.tag = "1.0",
                                .url = node.url() +
                                       "/raw?answer=" + url_encoded("HTTP/1.0 200 OK\r\n\r\nto the end")}))
            .text() == "to the end");
}

TEST_CASE_FIXTURE(fixture, "R21: a folded header is one, and a trailer is none") {
  node_server node;
  runtime running(settings());
  auto mine = object(running);
  const auto answer_to = [&](const std::string& tag, const std::string& answer) {
    return answered(fetched(
        mine, {.tag = tag, .url = node.url() + "/raw?answer=" + url_encoded(answer), .max_retries = 0}));
  };
  const auto folded = answer_to(
      "folded", "HTTP/1.1 200 OK\r\nX-Fold: one\r\n two\r\n\t three: four\r\nContent-Length: 2\r\n\r\nok");
  CHECK(folded.headers().get("X-Fold") == "one two three: four");
  CHECK(folded.text() == "ok");
  const auto trailed =
      answer_to("trailed", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Head: "
                           "1\r\n\r\n2\r\nok\r\n0\r\nX-Trailer: 1\r\nSet-Cookie: late=1\r\n\r\n");
  CHECK(trailed.headers().get("X-Head") == "1");
  CHECK_FALSE(trailed.headers().has("X-Trailer"));
  CHECK_FALSE(trailed.headers().has("Set-Cookie"));
  CHECK(trailed.text() == "ok");
}

// --- what later tests rest on ------------------------------------------------------------------------------

TEST_CASE_FIXTURE(fixture,
                  "Node: the proxies pass on what they are asked for, the second one if it knows who asks") {
  node_server node(&ca);
  bare_curl curl;
  curl.set(CURLOPT_CAINFO, ca.file().c_str());
  curl.set(CURLOPT_PROXY, node.proxy_url().c_str());
  CHECK(json::parse(curl.get(at("/k/a"))).at("hit") == 1);
  CHECK(upstream.hits("a") == 1);
  CHECK(curl.get(node.tls_url() + "/plain") == "node");
  curl.set(CURLOPT_PROXY, node.auth_proxy_url().c_str());
  curl.get(at("/k/b"));
  CHECK(curl.status() == 407);
  CHECK(upstream.hits("b") == 0);
  curl.set(CURLOPT_PROXYUSERPWD, "dormouse:acorn");
  curl.get(at("/k/b"));
  CHECK(curl.status() == 200);

  curl.set(CURLOPT_PROXY, "");
  const auto seen = json::parse(curl.get(node.url() + "/proxied"));
  REQUIRE(seen.size() == 4);
  CHECK(seen[0] == json{{"method", "GET"}, {"target", at("/k/a")}, {"authorization", nullptr}});
  CHECK(seen[1] ==
        json{{"method", "CONNECT"}, {"target", node.tls_url().substr(8)}, {"authorization", nullptr}});
  CHECK(seen[3].at("authorization") == "Basic ZG9ybW91c2U6YWNvcm4=");
}

} // namespace dormouse::test::peers_test
