// One object that is known to one site and unknown to another:
//   mixed --url http://127.0.0.1:8080
#include <dormouse/dormouse.hpp>
#include <dormouse/serialization/url.hpp>

#include <CLI/CLI.hpp>

#include <cstdint>
#include <iostream>
#include <string>
#include <utility>

// The server answers at /cookies with the cookies that it was sent, so that one can see who was told what.
class visitor : public dormouse::durable_object {
public:
  // With cookies: those that the site has set go along, and what it sets now is kept. This one wants its
  // visitor back.
  dormouse::later<std::string> visit(std::string url) {
    return browser()
        .fetch(url + "/cookies?set_cookie=visitor%3D" + instance_id())
        .then<&visitor::on_site>(url);
  }

  // Without: the API of the same host learns nothing of the visitor, whatever is in the jar.
  dormouse::later<std::string> on_site(dormouse::fetch_result result, std::string url) {
    if (!result) return "the site: " + result.error().message;
    ++visits_;
    site_saw_ = what_was_sent(*result);
    return fetch(url + "/cookies").then<&visitor::on_api>();
  }

  std::string on_api(dormouse::fetch_result result) {
    if (!result) return "the API: " + result.error().message;
    api_saw_ = what_was_sent(*result);
    return "the site saw: " + site_saw_ + "\nthe API saw:  " + api_saw_;
  }

  std::uint32_t visits() const { return visits_; }

  template <class Archive> void serialize(Archive& ar) { ar(site_saw_, api_saw_, visits_); }

  using methods = dormouse::methods<
      "VISITOR", dormouse::method<"visit", &visitor::visit>, dormouse::method<"on_site", &visitor::on_site>,
      dormouse::method<"on_api", &visitor::on_api>, dormouse::method<"visits", &visitor::visits>>;

private:
  static std::string what_was_sent(const dormouse::response& answer) {
    const auto pairs = answer.json();
    return pairs.empty() ? "no cookie" : std::string(pairs[0][0]) + "=" + std::string(pairs[0][1]);
  }

  std::string site_saw_;
  std::string api_saw_;
  std::uint32_t visits_ = 0; // of all runs
};

int main(int argc, char** argv) try {
  std::string url = "http://127.0.0.1:8080";
  std::string directory = "mixed-data";
  CLI::App app{"One object that is known to one site and unknown to another."};
  app.add_option("--url", url, "of a samples/upstream")->capture_default_str();
  app.add_option("--directory", directory, "where the objects live")->capture_default_str();
  CLI11_PARSE(app, argc, argv);

  const auto server = dormouse::value_or_throw(dormouse::parse_url(url));
  dormouse::runtime runtime({.directory = directory, .allow = {server.host}});
  runtime.define<visitor>();
  const auto alice = runtime.get<visitor>("alice");
  std::cout << "visits before: " << alice.call<&visitor::visits>().get() << '\n';
  std::cout << alice.call<&visitor::visit>(server.origin()).get() << '\n';
} catch (const std::exception& e) {
  std::cerr << "mixed: " << e.what() << '\n';
  return 1;
}
