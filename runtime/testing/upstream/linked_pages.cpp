#include "upstream/linked_pages.hpp"

#include "upstream/sample_content.hpp"

#include <algorithm>
#include <charconv>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace dormouse::samples {

namespace {

constexpr std::string_view html = "text/html; charset=utf-8";
constexpr std::string_view pages_prefix = "/pages/";
constexpr std::uint32_t missing_page = 99;

// 0 for a page that is not there.
std::uint32_t number_of(std::string_view text) noexcept {
  std::uint32_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  return error == std::errc{} && stop == end && !text.starts_with('0') && number <= linked_page_count ? number
                                                                                                      : 0;
}

// HTML, 13.1.2.3: what cannot be in an attribute's value as it is.
std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '&') {
      out += "&amp;";
    } else if (c == '"') {
      out += "&quot;";
    } else {
      out += c;
    }
  }
  return out;
}

void add_link(std::string& to, std::string_view where, std::string_view name) {
  to += "<li><a href=\"";
  to += escaped(where);
  to += "\">";
  to += name;
  to += "</a></li>\n";
}

} // namespace

std::vector<std::uint32_t> links_of_page(std::uint32_t number) {
  std::vector<std::uint32_t> links;
  const auto add = [&](std::uint32_t to) {
    if (to >= 1 && to <= linked_page_count && to != number &&
        std::find(links.begin(), links.end(), to) == links.end()) {
      links.push_back(to);
    }
  };
  add(2 * number);
  add(2 * number + 1);
  add(static_cast<std::uint32_t>(value_of(std::string{pages_prefix} + std::to_string(number)) %
                                 linked_page_count) +
      1);
  add(1);
  if (number == linked_page_count) {
    links.push_back(missing_page);
  }
  return links;
}

reply linked_page(const incoming_request& request) {
  if (request.method != "GET" && request.method != "HEAD") {
    return wrong_method("GET, HEAD");
  }
  const auto number = number_of(std::string_view{request.plan.key}.substr(pages_prefix.size()));
  if (number == 0) {
    return text_reply(404, html,
                      "<!DOCTYPE html>\n<title>Not found</title>\n<p><a href=\"1\">The first page</a></p>\n");
  }
  const auto title = "Page " + std::to_string(number);
  auto query = request.target;
  query.erase(0, query.find('?')); // all of it if there is none
  auto text = "<!DOCTYPE html>\n<html><head><title>" + title + "</title></head><body>\n<h1 id=\"top\">" +
              title + "</h1>\n<ul>\n";
  for (const auto to : links_of_page(number)) {
    // In the ways of links: a path from the root, with a part of the page, and relative to this page.
    add_link(text, (to == 1 ? "/pages/1" + query + "#top" : std::to_string(to) + query),
             "page " + std::to_string(to));
  }
  add_link(text, "https://example.com/", "another site");
  text += "</ul>\n</body></html>\n";
  return text_reply(200, html, std::move(text));
}

} // namespace dormouse::samples
