// All pages of an API whose tokens end in the middle of them:
//   multi_step_auth --url http://127.0.0.1:8080
#include <dormouse/dormouse.hpp>
#include <dormouse/serialization/url.hpp>

#include <CLI/CLI.hpp>

#include <cstdint>
#include <iostream>
#include <map>
#include <string>
#include <utility>

// What goes along from step to step: any type that can be stored.
struct errand {
  std::string api;
  std::string secret;
  std::string page;           // the URL to ask for
  std::uint32_t refusals = 0; // of this page

  template <class Archive> void serialize(Archive& ar) { ar(api, secret, page, refusals); }
};

// One client of the API, and the orders it has there.
class api_client : public dormouse::durable_object {
public:
  dormouse::later<std::string> sync(std::string api, std::string secret) {
    return ask({.api = api, .secret = std::move(secret), .page = api + "/api/orders?page=1"});
  }

  dormouse::later<std::string> on_page(dormouse::fetch_result result, errand now) {
    if (!result) return result.error().message;
    if (result->status() == 401 && now.refusals++ < 3) return renew(std::move(now));
    if (!result->ok()) return "HTTP status " + std::to_string(result->status());
    const auto page = result->json();
    for (const auto& order : page.at("orders"))
      orders_[order.at("id")] = order.at("item"); // by id, so that a page that is read again does no harm
    if (page.at("next").is_null()) return "all pages read";
    now.page = page.at("next");
    now.refusals = 0;
    return ask(std::move(now));
  }

  dormouse::later<std::string> on_token(dormouse::fetch_result result, errand now) {
    if (!result) return result.error().message;
    if (!result->ok() && refresh_.empty()) return "no token: HTTP status " + std::to_string(result->status());
    if (!result->ok()) {
      refresh_.clear(); // it has ended too: with the secret, as at first
      return renew(std::move(now));
    }
    const auto token = result->json();
    access_ = token.at("access_token");
    refresh_ = token.value("refresh_token", refresh_);
    ++tokens_;
    return ask(std::move(now));
  }

  std::string summary() const {
    return std::to_string(orders_.size()) + " orders, " + std::to_string(tokens_) + " tokens so far";
  }

  template <class Archive> void serialize(Archive& ar) { ar(access_, refresh_, orders_, tokens_); }

  using methods = dormouse::methods<"API_CLIENT", dormouse::method<"sync", &api_client::sync>,
                                    dormouse::method<"on_page", &api_client::on_page>,
                                    dormouse::method<"on_token", &api_client::on_token>,
                                    dormouse::method<"summary", &api_client::summary>>;

private:
  dormouse::later<std::string> ask(errand now) {
    if (access_.empty()) return renew(std::move(now));
    return fetch(now.page, {.headers = {{"Authorization", "Bearer " + access_}}})
        .then<&api_client::on_page>(now);
  }

  // RFC 6749, 4.4 and 6. `uses` is the sample server's: a token that ends after two requests.
  dormouse::later<std::string> renew(errand now) {
    const auto way = now.api + (refresh_.empty() ? "/auth/token?uses=2" : "/auth/refresh?uses=2");
    const auto proof = refresh_.empty()
                           ? dormouse::form{{"client_id", instance_id()}, {"client_secret", now.secret}}
                           : dormouse::form{{"refresh_token", refresh_}};
    return fetch(way, {.method = "POST", .body = proof}).then<&api_client::on_token>(now);
  }

  std::string access_;
  std::string refresh_;
  std::map<std::uint64_t, std::string> orders_;
  std::uint32_t tokens_ = 0; // of all runs
};

int main(int argc, char** argv) try {
  std::string url = "http://127.0.0.1:8080";
  std::string directory = "multi-step-auth-data";
  CLI::App app{"All pages of an API whose tokens end in the middle of them."};
  app.add_option("--url", url, "of a samples/upstream")->capture_default_str();
  app.add_option("--directory", directory, "where the objects live")->capture_default_str();
  CLI11_PARSE(app, argc, argv);

  const auto api = dormouse::value_or_throw(dormouse::parse_url(url));
  dormouse::runtime runtime({.directory = directory, .allow = {api.host}});
  runtime.define<api_client>();
  const auto demo = runtime.get<api_client>("demo");
  std::cout << "remembered: " << demo.call<&api_client::summary>().get() << '\n';
  std::cout << "asked:      " << demo.call<&api_client::sync>(api.origin(), "demo-secret").get() << '\n';
  std::cout << "now:        " << demo.call<&api_client::summary>().get() << '\n';
} catch (const std::exception& e) {
  std::cerr << "multi_step_auth: " << e.what() << '\n';
  return 1;
}
