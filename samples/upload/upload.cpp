// Three uploads, and what the server says that it got:
//   upload --url http://127.0.0.1:8080
#include <dormouse/dormouse.hpp>
#include <dormouse/serialization/url.hpp>

#include <CLI/CLI.hpp>

#include <cstddef>
#include <cstdint>
#include <future>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

class uploader : public dormouse::durable_object {
public:
  // Bytes, with the type that the blob has. Every value arrives as it is.
  dormouse::later<std::string> send_bytes(std::string url) {
    std::string bytes;
    for (int value = 0; value < 256; ++value)
      bytes.push_back(static_cast<char>(value));
    return send(url, dormouse::blob(bytes, "application/octet-stream"));
  }

  // A form as a browser sends it, multipart/form-data: a text and two files.
  dormouse::later<std::string> send_form(std::string url) {
    dormouse::form_data form;
    form.append("title", "Dormouse, asleep");
    form.append("photo", dormouse::blob(std::string(50'000, '\xff'), "image/jpeg"), "dormouse.jpg");
    form.append("notes", dormouse::blob("It sleeps.\n", "text/plain"), "notes.txt");
    return send(url, form);
  }

  // More than fits into a message (options::max_inline_bytes): it waits in a file beside the store, and goes
  // from there.
  dormouse::later<std::string> send_large(std::string url, std::uint64_t bytes) {
    return send(url, dormouse::blob(std::string(bytes, 'z'), "application/octet-stream"));
  }

  std::string on_receipt(dormouse::fetch_result result) {
    if (!result)
      return result.error().message + " (sent: " + std::string(to_string(result.error().sent)) + ")";
    if (!result->ok()) return "HTTP status " + std::to_string(result->status());
    ++receipts_;
    const auto receipt = result->json();
    if (!receipt.contains("parts")) return line_of(receipt);
    std::string lines = "a form of " + std::to_string(receipt.at("parts").size()) + " parts";
    for (const auto& part : receipt.at("parts"))
      lines += "\n  " + std::string(part.at("name")) + ": " + line_of(part);
    return lines;
  }

  std::uint32_t receipts() const { return receipts_; }

  template <class Archive> void serialize(Archive& ar) { ar(sent_, receipts_); }

  using methods = dormouse::methods<"UPLOADER", dormouse::method<"send_bytes", &uploader::send_bytes>,
                                    dormouse::method<"send_form", &uploader::send_form>,
                                    dormouse::method<"send_large", &uploader::send_large>,
                                    dormouse::method<"on_receipt", &uploader::on_receipt>,
                                    dormouse::method<"receipts", &uploader::receipts>>;

private:
  // A POST that may have been received is not sent again, for nobody knows what that does. With a key the
  // server can tell, so it is: the key is the same on every try, and after a restart.
  dormouse::later<std::string> send(const std::string& url, dormouse::body what) {
    const auto key = instance_id() + "-" + std::to_string(++sent_);
    return fetch(url + "/upload", {.method = "POST", .body = std::move(what), .idempotency_key = key})
        .then<&uploader::on_receipt>();
  }

  static std::string line_of(const nlohmann::json& receipt) {
    return std::to_string(receipt.at("bytes").get<std::uint64_t>()) + " bytes, crc32 " +
           std::string(receipt.at("crc32"));
  }

  std::uint32_t sent_ = 0;
  std::uint32_t receipts_ = 0; // of all runs
};

int main(int argc, char** argv) try {
  std::string url = "http://127.0.0.1:8080";
  std::string directory = "upload-data";
  CLI::App app{"Three uploads, and what the server says that it got."};
  app.add_option("--url", url, "of a samples/upstream")->capture_default_str();
  app.add_option("--directory", directory, "where the objects live")->capture_default_str();
  CLI11_PARSE(app, argc, argv);

  const auto server = dormouse::value_or_throw(dormouse::parse_url(url));
  dormouse::runtime runtime({.directory = directory, .allow = {server.host}});
  runtime.define<uploader>();
  const auto camera = runtime.get<uploader>("camera");
  std::cout << "receipts before: " << camera.call<&uploader::receipts>().get() << '\n';
  std::vector<std::future<std::string>> outcomes; // all three are on their way at the same time
  outcomes.push_back(camera.call<&uploader::send_bytes>(server.origin()));
  outcomes.push_back(camera.call<&uploader::send_form>(server.origin()));
  outcomes.push_back(camera.call<&uploader::send_large>(server.origin(), std::uint64_t{16} << 20U));
  for (auto& each : outcomes)
    std::cout << each.get() << '\n';
  std::cout << "receipts now:    " << camera.call<&uploader::receipts>().get() << '\n';
} catch (const std::exception& e) {
  std::cerr << "upload: " << e.what() << '\n';
  return 1;
}
