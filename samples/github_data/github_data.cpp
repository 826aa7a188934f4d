// What GitHub says of repositories, asked for again only if it has changed:
//   github_data --url https://api.github.com actor-framework/actor-framework facebook/rocksdb
#include <dormouse/dormouse.hpp>
#include <dormouse/serialization/url.hpp>

#include <CLI/CLI.hpp>

#include <cstdint>
#include <future>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

// One repository. Its instance id is the URL of its facts.
class repository : public dormouse::durable_object {
public:
  // Stateless: nothing but what is said here goes along. A conditional request (RFC 9110, 13.1.2): it has the
  // tag of the last answer, and a server that has nothing newer says so without a body.
  dormouse::later<std::string> refresh() {
    dormouse::headers headers{{"Accept", "application/json"}};
    if (!etag_.empty()) headers.set("If-None-Match", etag_);
    return fetch(instance_id(), {.headers = headers}).then<&repository::on_answer>();
  }

  std::string on_answer(dormouse::fetch_result result) {
    if (!result) return result.error().message;
    ++answers_;
    const auto& headers = result->headers();
    if (result->status() == 304) return "not modified";
    if (result->status() == 403 && headers.get("X-RateLimit-Remaining") == "0") return "rate limit exceeded";
    if (!result->ok()) return "HTTP status " + std::to_string(result->status());
    const auto facts = result->json();
    stars_ = facts.at("stargazers_count");
    open_issues_ = facts.at("open_issues_count");
    etag_ = headers.get("ETag").value_or("");
    return "read";
  }

  std::string summary() const {
    return std::to_string(stars_) + " stars, " + std::to_string(open_issues_) +
           " open issues; answers: " + std::to_string(answers_);
  }

  template <class Archive> void serialize(Archive& ar) { ar(etag_, stars_, open_issues_, answers_); }

  using methods = dormouse::methods<"REPOSITORY", dormouse::method<"refresh", &repository::refresh>,
                                    dormouse::method<"on_answer", &repository::on_answer>,
                                    dormouse::method<"summary", &repository::summary>>;

private:
  std::string etag_;
  std::uint64_t stars_ = 0;
  std::uint64_t open_issues_ = 0;
  std::uint32_t answers_ = 0; // of all runs
};

int main(int argc, char** argv) try {
  std::string url = "http://127.0.0.1:8080";
  std::string directory = "github-data";
  std::vector<std::string> names{"actor-framework/actor-framework", "facebook/rocksdb"};
  CLI::App app{"Facts about repositories, asked for again only if they have changed."};
  app.add_option("--url", url, "of the API: https://api.github.com, or a samples/upstream")
      ->capture_default_str();
  app.add_option("--directory", directory, "where the objects live")->capture_default_str();
  app.add_option("names", names, "<owner>/<name> of repositories")->capture_default_str();
  CLI11_PARSE(app, argc, argv);

  const auto api = dormouse::value_or_throw(dormouse::parse_url(url));
  dormouse::runtime runtime({.directory = directory, .allow = {api.host}});
  runtime.define<repository>();

  std::vector<std::future<std::string>> outcomes; // all are asked at the same time
  for (const auto& name : names)
    outcomes.push_back(runtime.get<repository>(api.origin() + "/repos/" + name).call<&repository::refresh>());
  for (std::size_t i = 0; i < names.size(); ++i) {
    const auto outcome = outcomes[i].get();
    const auto known =
        runtime.get<repository>(api.origin() + "/repos/" + names[i]).call<&repository::summary>().get();
    std::cout << names[i] << ": " << outcome << "; " << known << '\n';
  }
} catch (const std::exception& e) {
  std::cerr << "github_data: " << e.what() << '\n';
  return 1;
}
