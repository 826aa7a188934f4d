// All pages of a site, a few at a time:
//   crawler --url http://127.0.0.1:8080/pages/1
#include <dormouse/dormouse.hpp>
#include <dormouse/serialization/url.hpp>

#include <CLI/CLI.hpp>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <iostream>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <utility>
#include <vector>

// What is known of a page.
struct page {
  std::string url;
  std::string title;
  std::vector<std::string> links; // of the same site, absolute, without fragments
  std::string problem;            // empty: none

  template <class Archive> void serialize(Archive& ar) { ar(url, title, links, problem); }
};

struct limits {
  std::uint32_t pages = 0;
  std::uint32_t at_once = 0;

  template <class Archive> void serialize(Archive& ar) { ar(pages, at_once); }
};

page read_html(const dormouse::response& from);

class crawler : public dormouse::durable_object {
public:
  // The walk. Its variables need not be stored: when it goes on after a restart, it is run again from here,
  // and comes to the same ones.
  static dormouse::task<std::uint32_t> walk(dormouse::task_context<crawler> self, std::string from,
                                            limits most) {
    std::deque<std::string> next{from};
    std::set<std::string> seen{from};
    std::vector<dormouse::operation<page>> under_way;
    std::uint32_t asked = 0;
    while (true) {
      for (; !next.empty() && asked < most.pages && under_way.size() < most.at_once; ++asked) {
        under_way.push_back(self.call<&crawler::read>(next.front()));
        next.pop_front();
      }
      if (under_way.empty()) co_return asked;
      auto first = co_await race(under_way); // the others go on
      under_way.erase(under_way.begin() + static_cast<std::ptrdiff_t>(first.index));
      for (const auto& link : first.value.links)
        if (seen.insert(link).second) next.push_back(link);
      co_await self.call<&crawler::keep>(first.value);
    }
  }

  // One page, a task of its own. What goes wrong with it is a part of what it comes to: the walk goes on.
  static dormouse::task<page> read(dormouse::task_context<crawler> self, std::string url) {
    page out;
    try {
      const auto answer = co_await self.fetch(url);
      if (answer.ok())
        out = read_html(answer);
      else
        out.problem = "HTTP status " + std::to_string(answer.status());
    } catch (const std::exception& e) {
      out.problem = e.what();
    }
    out.url = url;
    co_return out;
  }

  // Once, however often it is called.
  dormouse::task_id begin(std::string from, limits most) {
    if (walk_.number == 0) walk_ = start<&crawler::walk>(from, most);
    return walk_;
  }

  void keep(page what) { pages_[what.url] = std::move(what); }
  std::map<std::string, page> pages() const { return pages_; }

  template <class Archive> void serialize(Archive& ar) { ar(walk_, pages_); }

  using methods =
      dormouse::methods<"CRAWLER", dormouse::method<"walk", &crawler::walk>,
                        dormouse::method<"read", &crawler::read>, dormouse::method<"begin", &crawler::begin>,
                        dormouse::method<"keep", &crawler::keep>, dormouse::method<"pages", &crawler::pages>>;

private:
  dormouse::task_id walk_;
  std::map<std::string, page> pages_; // by URL
};

// The least of HTML that will do here.
page read_html(const dormouse::response& from) {
  static const std::regex title{"<title>(.*?)</title>"};
  static const std::regex href{R"re(<a href="([^"]*)")re"};
  page out;
  if (std::smatch found; std::regex_search(from.text(), found, title)) out.title = found.str(1);
  const auto base = dormouse::value_or_throw(dormouse::parse_url(from.url()));
  for (std::sregex_iterator at(from.text().begin(), from.text().end(), href), end; at != end; ++at) {
    const auto to = dormouse::resolve_url(base, std::regex_replace(at->str(1), std::regex("&amp;"), "&"));
    if (to && to->origin() == base.origin()) out.links.push_back(to->target()); // without its fragment
  }
  return out;
}

int main(int argc, char** argv) try {
  std::string url = "http://127.0.0.1:8080/pages/1";
  std::string directory = "crawler-data";
  limits most{.pages = 100, .at_once = 4};
  CLI::App app{"All pages of a site, a few at a time."};
  app.add_option("--url", url, "of the first page, as of a samples/upstream")->capture_default_str();
  app.add_option("--directory", directory, "where the objects live")->capture_default_str();
  app.add_option("--pages", most.pages, "how many pages to ask for")->capture_default_str();
  app.add_option("--at-once", most.at_once, "how many of them at a time")
      ->check(CLI::Range(1, 1'000))
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);

  const auto first = dormouse::value_or_throw(dormouse::parse_url(url));
  dormouse::runtime runtime({.directory = directory, .allow = {first.host}});
  runtime.define<crawler>();
  const auto site = runtime.get<crawler>(first.origin());
  std::cout << "known: " << site.call<&crawler::pages>().get().size() << " pages\n";
  const auto walk = site.call<&crawler::begin>(first.target(), most).get();
  std::cout << "asked for: " << runtime.tasks().result<std::uint32_t>(walk).get() << " pages\n";
  std::map<std::string, std::string> lines; // by path
  for (const auto& [where, what] : site.call<&crawler::pages>().get())
    lines[dormouse::value_or_throw(dormouse::parse_url(where)).path] =
        what.problem.empty() ? what.title + ", " + std::to_string(what.links.size()) + " links"
                             : what.problem;
  for (const auto& [path, text] : lines)
    std::cout << "  " << path << "  " << text << '\n';
} catch (const std::exception& e) {
  std::cerr << "crawler: " << e.what() << '\n';
  return 1;
}
