#include "upstream/login_site.hpp"

#include "upstream/cookie_pairs.hpp"
#include "upstream/sample_content.hpp"
#include "upstream/sample_orders.hpp"

#include <array>
#include <cstddef>
#include <cstdio>
#include <utility>

namespace dormouse::samples {

namespace {

constexpr std::string_view html = "text/html; charset=utf-8";
constexpr std::size_t orders_shown = 5;

constexpr std::string_view remove_presession = "presession=; Path=/site; Max-Age=0";
constexpr std::string_view remove_session = "session=; Path=/site; Max-Age=0";

reply page(std::uint16_t status, std::string_view title, std::string_view content) {
  std::string text = "<!DOCTYPE html>\n<html><head><title>";
  text += title;
  text += "</title></head><body>\n<h1>";
  text += title;
  text += "</h1>\n";
  text += content;
  text += "\n</body></html>\n";
  auto answer = text_reply(status, html, std::move(text));
  add_header(answer, "cache-control", "no-store");
  return answer;
}

reply see_other(std::string_view location) {
  auto answer = page(303, "See other", "");
  add_header(answer, "location", location);
  return answer;
}

std::string cookie_of(const incoming_request& request, std::string_view name) {
  const auto cookies = read_cookies(request.header("cookie"));
  return std::string{find_value(cookies, name)};
}

} // namespace

reply login_site::login(const incoming_request& request) {
  if (request.method == "GET" || request.method == "HEAD") {
    return show_form(request);
  }
  return request.method == "POST" ? check_login(request) : wrong_method("GET, HEAD, POST");
}

reply login_site::show_form(const incoming_request& request) {
  auto presession = cookie_of(request, "presession");
  const bool is_new = presession.empty();
  if (is_new) {
    presession = random_token();
  }
  auto answer = page(200, "Log in",
                     "<form method=\"post\" action=\"/site/login\">\n"
                     "<input type=\"hidden\" name=\"csrf\" value=\"" +
                         csrf_of(presession) +
                         "\">\n"
                         "<label>User <input name=\"user\"></label>\n"
                         "<label>Password <input name=\"password\" type=\"password\"></label>\n"
                         "<button>Log in</button>\n"
                         "</form>");
  if (is_new) {
    add_header(answer, "set-cookie", "presession=" + presession + "; Path=/site; HttpOnly; SameSite=Lax");
  }
  return answer;
}

reply login_site::check_login(const incoming_request& request) {
  if (!request.header("content-type").starts_with("application/x-www-form-urlencoded")) {
    return page(415, "Not a form", "<p>Send application/x-www-form-urlencoded.</p>");
  }
  const auto form = read_form(request.body);
  const auto presession = cookie_of(request, "presession");
  if (presession.empty() || find_value(form, "csrf") != csrf_of(presession)) {
    return page(403, "Not our form",
                "<p>The form's token is not that of the cookie. <a href=\"/site/login\">Again</a></p>");
  }
  const auto user = find_value(form, "user");
  if (const auto password = secret_of(user); password.empty() || find_value(form, "password") != password) {
    return page(403, "Wrong password", "<p><a href=\"/site/login\">Again</a></p>");
  }
  auto answer = see_other("/site/account");
  add_header(answer, "set-cookie",
             "session=" + sessions_.issue(std::string{user}) + "; Path=/site; HttpOnly; SameSite=Lax");
  add_header(answer, "set-cookie", remove_presession);
  return answer;
}

reply login_site::account(const incoming_request& request) {
  if (request.method != "GET" && request.method != "HEAD") {
    return wrong_method("GET, HEAD");
  }
  const auto* user = sessions_.find(cookie_of(request, "session"));
  if (user == nullptr) {
    return page(401, "Not logged in", "<p><a href=\"/site/login\">Log in</a></p>");
  }
  std::string content = "<p>Logged in as <b id=\"user\">" + *user + "</b></p>\n<table id=\"orders\">\n";
  for (const auto& order : orders_of(*user, orders_shown)) {
    content += "<tr><td class=\"id\">" + std::to_string(order.id) + "</td><td class=\"item\">";
    content += order.item;
    content += "</td><td class=\"price\">" + price_of(order) + "</td></tr>\n";
  }
  content += "</table>\n<form method=\"post\" action=\"/site/logout\"><button>Log out</button></form>";
  return page(200, "Your account", content);
}

reply login_site::logout(const incoming_request& request) {
  if (request.method != "POST") {
    return wrong_method("POST");
  }
  sessions_.forget(cookie_of(request, "session"));
  auto answer = see_other("/site/login");
  add_header(answer, "set-cookie", remove_session);
  return answer;
}

std::string login_site::csrf_of(std::string_view presession) const {
  std::array<char, 17> digits{};
  static_cast<void>(
      std::snprintf(digits.data(), digits.size(), "%016llx",
                    static_cast<unsigned long long>(value_of(secret_ + std::string{presession}))));
  return digits.data();
}

} // namespace dormouse::samples
