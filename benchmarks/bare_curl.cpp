#include "bare_curl.hpp"

#include "measure.hpp"

#include <curl/curl.h>

namespace dormouse::bench {
namespace {

std::size_t keep(char* data, std::size_t size, std::size_t count, void* into) {
  static_cast<std::string*>(into)->append(data, size * count);
  return size * count;
}

void set_up(CURL* easy, const std::string& url, std::string& body) {
  curl_easy_setopt(easy, CURLOPT_URL, url.c_str());
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_PROXY, "");
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &keep);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, &body);
}

void check(CURLcode code, std::size_t bytes, std::size_t expected_bytes) {
  if (code != CURLE_OK || bytes != expected_bytes)
    throw std::runtime_error(std::string("bare libcurl: ") + curl_easy_strerror(code));
}

/// `total` transfers, so many of them at a time, each into a string.
void run_all(const std::string& url, std::size_t body_bytes, int total, int in_flight) {
  CURLM* multi = curl_multi_init();
  std::vector<std::string> bodies(static_cast<std::size_t>(in_flight));
  std::vector<CURL*> handles;
  for (auto& body : bodies) {
    set_up(handles.emplace_back(curl_easy_init()), url, body);
    curl_easy_setopt(handles.back(), CURLOPT_PRIVATE, &body);
    curl_multi_add_handle(multi, handles.back());
  }
  int started = in_flight;
  for (int finished = 0; finished < total;) {
    int running = 0;
    curl_multi_perform(multi, &running);
    int left = 0;
    while (auto* message = curl_multi_info_read(multi, &left)) {
      auto* easy = message->easy_handle;
      std::string* body = nullptr;
      curl_easy_getinfo(easy, CURLINFO_PRIVATE, &body);
      check(message->data.result, body->size(), body_bytes);
      ++finished;
      curl_multi_remove_handle(multi, easy);
      if (started < total) {
        body->clear();
        curl_multi_add_handle(multi, easy);
        ++started;
      }
    }
    if (finished < total) curl_multi_poll(multi, nullptr, 0, 1000, nullptr);
  }
  for (auto* easy : handles)
    curl_easy_cleanup(easy);
  curl_multi_cleanup(multi);
}

constexpr std::size_t document_bytes = 1024;

} // namespace

double bare_curl_rate(const std::string& url, int total, int in_flight) {
  const auto start = steady::now();
  run_all(url, document_bytes, total, in_flight);
  return total / seconds_since(start);
}

double bare_curl_body_rate(const std::string& url, std::size_t body_bytes, int total, int in_flight) {
  const auto start = steady::now();
  run_all(url, body_bytes, total, in_flight);
  return static_cast<double>(body_bytes) * total / (1 << 20) / seconds_since(start);
}

std::vector<double> bare_curl_latencies(const std::string& url, int count) {
  std::vector<double> samples;
  std::string body;
  CURL* easy = curl_easy_init();
  set_up(easy, url, body);
  for (int i = 0; i < count; ++i) {
    body.clear();
    const auto start = steady::now();
    const auto code = curl_easy_perform(easy);
    samples.push_back(seconds_since(start));
    check(code, body.size(), document_bytes);
  }
  curl_easy_cleanup(easy);
  return samples;
}

} // namespace dormouse::bench
