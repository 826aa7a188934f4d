#include "bare_curl.hpp"

#include "measure.hpp"

#include <curl/curl.h>

#include <fcntl.h>

namespace dormouse::bench {
namespace {

std::size_t keep(char* data, std::size_t size, std::size_t count, void* into) {
  static_cast<std::string*>(into)->append(data, size * count);
  return size * count;
}

/// A file that is synced and closed when its body is there.
struct body_file {
  std::filesystem::path path;
  int descriptor = -1;
  std::size_t bytes = 0;

  void begin() {
    bytes = 0;
    descriptor = ::open(path.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);
    if (descriptor < 0)
      throw std::runtime_error("bare libcurl: no file");
  }
  void finish() {
    if (::fdatasync(descriptor) != 0)
      throw std::runtime_error("bare libcurl: a file cannot be synced");
    ::close(descriptor);
    ::unlink(path.c_str());
  }
};

std::size_t write_file(char* data, std::size_t size, std::size_t count, void* into) {
  auto& file = *static_cast<body_file*>(into);
  const auto written = ::write(file.descriptor, data, size * count);
  file.bytes += size * count;
  return written < 0 ? 0 : static_cast<std::size_t>(written);
}

void set_up(CURL* easy, const std::string& url) {
  curl_easy_setopt(easy, CURLOPT_URL, url.c_str());
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_PROXY, "");
}

void set_up(CURL* easy, const std::string& url, std::string& body) {
  set_up(easy, url);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &keep);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, &body);
}

void check(CURLcode code, std::size_t bytes, std::size_t expected_bytes) {
  if (code != CURLE_OK || bytes != expected_bytes)
    throw std::runtime_error(std::string("bare libcurl: ") + curl_easy_strerror(code));
}

/// `total` transfers over these handles. `done(easy, code)` when one has ended, `again(easy)` before a handle goes out once more.
template <class Done, class Again>
void run_all(const std::vector<CURL*>& handles, int total, const Done& done, const Again& again) {
  CURLM* multi = curl_multi_init();
  int started = 0;
  int finished = 0;
  const auto start = [&](CURL* easy) {
    again(easy);
    curl_multi_add_handle(multi, easy);
    ++started;
  };
  for (auto* easy : handles)
    start(easy);
  while (finished < total) {
    int running = 0;
    curl_multi_perform(multi, &running);
    int left = 0;
    while (auto* message = curl_multi_info_read(multi, &left)) {
      auto* easy = message->easy_handle;
      done(easy, message->data.result);
      ++finished;
      curl_multi_remove_handle(multi, easy);
      if (started < total)
        start(easy);
    }
    if (finished < total)
      curl_multi_poll(multi, nullptr, 0, 1000, nullptr);
  }
  for (auto* easy : handles)
    curl_easy_cleanup(easy);
  curl_multi_cleanup(multi);
}

template <class T>
T& private_of(CURL* easy) {
  T* value = nullptr;
  curl_easy_getinfo(easy, CURLINFO_PRIVATE, &value);
  return *value;
}

void run_into_memory(const std::string& url, std::size_t body_bytes, int total, int in_flight) {
  std::vector<std::string> bodies(static_cast<std::size_t>(in_flight));
  std::vector<CURL*> handles;
  for (auto& body : bodies) {
    set_up(handles.emplace_back(curl_easy_init()), url, body);
    curl_easy_setopt(handles.back(), CURLOPT_PRIVATE, &body);
  }
  run_all(
    handles, total,
    [body_bytes](CURL* easy, CURLcode code) { check(code, private_of<std::string>(easy).size(), body_bytes); },
    [](CURL* easy) { private_of<std::string>(easy).clear(); });
}

void run_into_files(const std::string& url, std::size_t body_bytes, int total, int in_flight) {
  const scratch_directory directory;
  std::vector<body_file> files(static_cast<std::size_t>(in_flight));
  std::vector<CURL*> handles;
  for (auto& file : files) {
    file.path = directory.path() / std::to_string(handles.size());
    auto* easy = handles.emplace_back(curl_easy_init());
    set_up(easy, url);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &write_file);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, &file);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, &file);
  }
  run_all(
    handles, total,
    [body_bytes](CURL* easy, CURLcode code) {
      auto& file = private_of<body_file>(easy);
      check(code, file.bytes, body_bytes);
      file.finish();
    },
    [](CURL* easy) { private_of<body_file>(easy).begin(); });
}

constexpr std::size_t document_bytes = 1024;

} // namespace

double bare_curl_rate(const std::string& url, int total, int in_flight) {
  const auto start = steady::now();
  run_into_memory(url, document_bytes, total, in_flight);
  return total / seconds_since(start);
}

double bare_curl_body_rate(const std::string& url, std::size_t body_bytes, int total, int in_flight, body_place place) {
  const auto start = steady::now();
  if (place == body_place::memory)
    run_into_memory(url, body_bytes, total, in_flight);
  else
    run_into_files(url, body_bytes, total, in_flight);
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
