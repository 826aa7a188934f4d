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

void check(CURLcode code, const std::string& body) {
  if (code != CURLE_OK || body.size() != 1024)
    throw std::runtime_error(std::string("bare libcurl: ") + curl_easy_strerror(code));
}

} // namespace

double bare_curl_rate(const std::string& url, int total, int in_flight) {
  CURLM* multi = curl_multi_init();
  std::vector<std::string> bodies(static_cast<std::size_t>(in_flight));
  std::vector<CURL*> handles;
  const auto start = steady::now();
  int started = 0;
  int finished = 0;
  for (auto& body : bodies) {
    auto* easy = handles.emplace_back(curl_easy_init());
    set_up(easy, url, body);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, &body);
    curl_multi_add_handle(multi, easy);
    ++started;
  }
  while (finished < total) {
    int running = 0;
    curl_multi_perform(multi, &running);
    int left = 0;
    while (auto* message = curl_multi_info_read(multi, &left)) {
      std::string* body = nullptr;
      auto* easy = message->easy_handle;
      curl_easy_getinfo(easy, CURLINFO_PRIVATE, &body);
      check(message->data.result, *body);
      body->clear();
      ++finished;
      curl_multi_remove_handle(multi, easy);
      if (started < total) {
        curl_multi_add_handle(multi, easy);
        ++started;
      }
    }
    if (finished < total)
      curl_multi_poll(multi, nullptr, 0, 1000, nullptr);
  }
  const auto rate = total / seconds_since(start);
  for (auto* easy : handles)
    curl_easy_cleanup(easy);
  curl_multi_cleanup(multi);
  return rate;
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
    check(code, body);
  }
  curl_easy_cleanup(easy);
  return samples;
}

} // namespace dormouse::bench
