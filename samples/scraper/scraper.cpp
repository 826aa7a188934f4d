// What a site shows to those who have logged in:
//   scraper --url http://127.0.0.1:8080
#include <dormouse/dormouse.hpp>
#include <dormouse/serialization/url.hpp>

#include <CLI/CLI.hpp>

#include <chrono>
#include <iostream>
#include <regex>
#include <string>
#include <utility>
#include <vector>

using namespace std::chrono_literals;

// One customer of the site. Its cookies are part of it, on disk like the rest.
class customer : public dormouse::durable_object {
public:
  // The five lines: the account page; a 401, and the form; the login, that leads back to the account.
  dormouse::later<std::string> look(std::string site, std::string password) {
    return browser().fetch(site + "/site/account").then<&customer::on_account>(site, password);
  }

  dormouse::later<std::string> on_account(dormouse::fetch_result page, std::string site,
                                          std::string password) {
    if (!page || page->status() != 401) return read(page, "still logged in");
    if (std::exchange(logging_in_,
                      true)) // so is another call, or what a killed process left: look again in a moment
      return browser()
          .fetch(site + "/site/account", {.delay = 100ms})
          .then<&customer::on_account>(site, password);
    return browser().fetch(site + "/site/login").then<&customer::on_form>(password);
  }

  dormouse::later<std::string> on_form(dormouse::fetch_result page, std::string password) {
    static const std::regex hidden{R"re(name="csrf" value="([^"]*)")re"};
    std::smatch csrf;
    if (!page || !std::regex_search(page->text(), csrf, hidden))
      return end_login("there is no form to log in with");
    const dormouse::form login{{"user", instance_id()}, {"password", password}, {"csrf", csrf.str(1)}};
    return browser().fetch(page->url(), {.method = "POST", .body = login}).then<&customer::on_login>();
  }

  // The redirect to the account has been followed, with the cookie that came with it.
  std::string on_login(dormouse::fetch_result page) { return end_login(read(page, "logged in")); }

  dormouse::later<std::string> log_out(std::string site) {
    return browser().fetch(site + "/site/logout", {.method = "POST"}).then<&customer::on_logout>();
  }

  std::string on_logout(dormouse::fetch_result page) { return page ? "logged out" : page.error().message; }

  std::vector<std::string> orders() const { return orders_; }

  template <class Archive> void serialize(Archive& ar) { ar(orders_, logging_in_); }

  using methods = dormouse::methods<
      "CUSTOMER", dormouse::method<"look", &customer::look>,
      dormouse::method<"on_account", &customer::on_account>, dormouse::method<"on_form", &customer::on_form>,
      dormouse::method<"on_login", &customer::on_login>, dormouse::method<"log_out", &customer::log_out>,
      dormouse::method<"on_logout", &customer::on_logout>, dormouse::method<"orders", &customer::orders>>;

private:
  std::string end_login(std::string outcome) {
    logging_in_ = false;
    return outcome;
  }

  // The rows of the table.
  std::string read(const dormouse::fetch_result& page, std::string outcome) {
    static const std::regex row{R"(<td class="item">(.*?)</td><td class="price">(.*?)</td>)"};
    if (!page) return page.error().message;
    if (!page->ok()) return "HTTP status " + std::to_string(page->status());
    orders_.clear();
    for (std::sregex_iterator at(page->text().begin(), page->text().end(), row), end; at != end; ++at)
      orders_.push_back(at->str(2) + "  " + at->str(1));
    return outcome;
  }

  std::vector<std::string> orders_;
  bool logging_in_ = false;
};

int main(int argc, char** argv) try {
  std::string url = "http://127.0.0.1:8080";
  std::string directory = "scraper-data";
  bool log_out = false;
  CLI::App app{"What a site shows to those who have logged in."};
  app.add_option("--url", url, "of a samples/upstream")->capture_default_str();
  app.add_option("--directory", directory, "where the objects live")->capture_default_str();
  app.add_flag("--log-out", log_out, "end the session");
  CLI11_PARSE(app, argc, argv);

  const auto site = dormouse::value_or_throw(dormouse::parse_url(url));
  dormouse::runtime runtime({.directory = directory, .allow = {site.host}});
  runtime.define<customer>();
  const auto alice = runtime.get<customer>("alice");
  std::cout << "remembered: " << alice.call<&customer::orders>().get().size() << " orders\n";
  if (log_out) {
    std::cout << alice.call<&customer::log_out>(site.origin()).get() << '\n';
    return 0;
  }
  std::cout << alice.call<&customer::look>(site.origin(), "alice-secret").get() << '\n';
  for (const auto& order : alice.call<&customer::orders>().get())
    std::cout << "  " << order << '\n';
} catch (const std::exception& e) {
  std::cerr << "scraper: " << e.what() << '\n';
  return 1;
}
