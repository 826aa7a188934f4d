// A durable object that asks the web for a number and remembers it:
//   quickstart https://api.github.com/repos/actor-framework/actor-framework stargazers_count
#include <dormouse/dormouse.hpp>
#include <dormouse/serialization/url.hpp>

#include <iostream>

class number_watch : public dormouse::durable_object {
public:
  // A committing turn: nothing goes out before the question is on disk. Then the object may hibernate and the
  // process may die, the answer still finds it. later<> makes the caller's reply what the continuation
  // returns.
  dormouse::later<std::string> refresh(std::string url, std::string field) {
    return fetch(url, {.headers = {{"Accept", "application/json"}}}).then<&number_watch::on_answer>(field);
  }

  // The continuation. A status such as 404 is a response; an error is that there is none.
  std::string on_answer(dormouse::fetch_result result, std::string field) {
    if (!result) return result.error().message;
    if (!result->ok()) return "HTTP status " + std::to_string(result->status());
    number_ = result->json().at(field);
    return "ok";
  }

  // const, so a read-only turn: no commit.
  std::int64_t number() const { return number_; }

  template <class Archive> void serialize(Archive& ar) { ar(number_); }

  using methods = dormouse::methods<"NUMBER_WATCH", dormouse::method<"refresh", &number_watch::refresh>,
                                    dormouse::method<"on_answer", &number_watch::on_answer>,
                                    dormouse::method<"number", &number_watch::number>>;

private:
  std::int64_t number_ = 0;
};

int main(int argc, char** argv) try {
  if (argc != 3)
    throw std::invalid_argument("usage: quickstart <url of a JSON object> <name of a number in it>");
  const std::string url = argv[1];
  const auto host = dormouse::value_or_throw(dormouse::parse_url(url)).host;
  dormouse::runtime runtime({.directory = "quickstart-data", .allow = {host}});
  runtime.define<number_watch>();
  auto watch = runtime.get<number_watch>(url);
  std::cout << "remembered: " << watch.call<&number_watch::number>().get() << '\n';
  const auto outcome = watch.call<&number_watch::refresh>(url, argv[2]).get(); // waits for the answer
  std::cout << "asked:      " << outcome << '\n';
  std::cout << "now:        " << watch.call<&number_watch::number>().get() << '\n';
} catch (const std::exception& e) {
  std::cerr << "quickstart: " << e.what() << '\n';
  return 1;
}
