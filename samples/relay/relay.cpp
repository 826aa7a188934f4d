// An answer that comes back through three objects, all of them asleep while it is awaited:
//   relay --url http://127.0.0.1:8080
#include <dormouse/dormouse.hpp>
#include <dormouse/serialization/url.hpp>

#include <CLI/CLI.hpp>

#include <chrono>
#include <cstdint>
#include <future>
#include <iostream>
#include <string>

using namespace std::chrono_literals;

// The last one asks the outside world.
class archive : public dormouse::durable_object {
public:
  dormouse::later<std::string> look_up(std::string url) { return fetch(url).then<&archive::on_page>(); }

  // An error that is returned, not thrown: there is nothing to undo here, and it goes back to whoever asked.
  dormouse::call_result<std::string> on_page(dormouse::fetch_result page) {
    if (!page) return missing(page.error().message);
    if (!page->ok()) return missing("HTTP status " + std::to_string(page->status()));
    return std::string(page->json().at("key")) + ", found by " + instance_id();
  }

  template <class Archive> void serialize(Archive&) {}

  using methods = dormouse::methods<"ARCHIVE", dormouse::method<"look_up", &archive::look_up>,
                                    dormouse::method<"on_page", &archive::on_page>>;

private:
  dormouse::call_result<std::string> missing(std::string why) const {
    return tl::unexpected<dormouse::call_error>({dormouse::errc::not_found, std::move(why), self_address()});
  }
};

// The one in between asks on, and hands back what it gets, error or not.
class department : public dormouse::durable_object {
public:
  dormouse::later<std::string> look_up(std::string url) {
    return call<&archive::look_up>(dormouse::object_id<archive>("the archive"), url)
        .then<&department::on_answer>();
  }

  dormouse::call_result<std::string> on_answer(dormouse::call_result<std::string> answer) {
    if (answer) *answer += ", signed by " + instance_id();
    return answer;
  }

  template <class Archive> void serialize(Archive&) {}

  using methods = dormouse::methods<"DEPARTMENT", dormouse::method<"look_up", &department::look_up>,
                                    dormouse::method<"on_answer", &department::on_answer>>;
};

// The first one is asked from outside, and its caller waits for all of them.
class reception : public dormouse::durable_object {
public:
  dormouse::later<std::string> ask(std::string url) {
    return call<&department::look_up>(dormouse::object_id<department>("the department"), url)
        .then<&reception::on_answer>();
  }

  std::string on_answer(dormouse::call_result<std::string> answer) {
    ++answers_;
    if (!answer) return "no answer: " + to_string(answer.error().origin) + " says: " + answer.error().message;
    return *answer + ", handed out by " + instance_id();
  }

  std::uint32_t answers() const { return answers_; }

  template <class Archive> void serialize(Archive& ar) { ar(answers_); }

  using methods = dormouse::methods<"RECEPTION", dormouse::method<"ask", &reception::ask>,
                                    dormouse::method<"on_answer", &reception::on_answer>,
                                    dormouse::method<"answers", &reception::answers>>;

private:
  std::uint32_t answers_ = 0; // of all runs
};

// Waits for the answer and looks at the runtime meanwhile.
bool all_asleep_before(std::future<std::string>& answer, const dormouse::runtime& runtime) {
  bool seen = false;
  while (answer.wait_for(5ms) != std::future_status::ready) {
    const auto now = runtime.stats();
    seen = seen || (now.active_objects == 0 && now.queued_fetches > 0);
  }
  return seen;
}

int main(int argc, char** argv) try {
  std::string url = "http://127.0.0.1:8080";
  std::string directory = "relay-data";
  CLI::App app{"An answer that comes back through three objects, all of them asleep while it is awaited."};
  app.add_option("--url", url, "of a samples/upstream")->capture_default_str();
  app.add_option("--directory", directory, "where the objects live")->capture_default_str();
  CLI11_PARSE(app, argc, argv);

  const auto server = dormouse::value_or_throw(dormouse::parse_url(url));
  dormouse::runtime runtime({.directory = directory, .allow = {server.host}, .idle_after = 20ms});
  runtime.define<archive, department, reception>();
  const auto front = runtime.get<reception>("the reception");
  std::cout << "answers so far: " << front.call<&reception::answers>().get() << '\n';

  auto slow = front.call<&reception::ask>(server.origin() + "/k/apple?delay_ms=1000");
  const bool slept = all_asleep_before(slow, runtime);
  std::cout << slow.get() << '\n';
  std::cout << "in memory while the server thought about it: "
            << (slept ? "no object" : "some object, all the time") << '\n';
  std::cout << front.call<&reception::ask>(server.origin() + "/k/pear?status=404").get() << '\n';
  return slept ? 0 : 1;
} catch (const std::exception& e) {
  std::cerr << "relay: " << e.what() << '\n';
  return 1;
}
