// The upstream keeps what its README says of cookies, uploads, content codings and applications: other tests
// and samples rest on it.

#include "upstream/compression.hpp"
#include "upstream/linked_pages.hpp"
#include "upstream/repo_facts.hpp"
#include "upstream/sample_content.hpp"
#include "upstream/sample_orders.hpp"
#include "upstream_fixture.hpp"
#include "url_encoded.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

namespace dormouse::test::upstream_test {

using nlohmann::json;

namespace {

struct fixture : upstream_fixture {
  runtime running{settings()};
  object_ref<fetcher> mine = object(running);
  int count = 0;

  /// One attempt, no redirect followed.
  response ask(const std::string& method, const std::string& target, const std::string& body = "",
               const headers& fields = {}) {
    order what{.tag = std::to_string(++count),
               .url = at(target),
               .method = method,
               .body = body,
               .headers = fields,
               .max_retries = 0};
    what.redirect = redirect_mode::manual;
    return answered(fetched(mine, what));
  }

  response get(const std::string& target, const headers& fields = {}) {
    return ask("GET", target, "", fields);
  }

  response post_form(const std::string& target, const std::string& body, headers fields = {}) {
    fields.set("Content-Type", "application/x-www-form-urlencoded");
    return ask("POST", target, body, fields);
  }
};

using texts = std::vector<std::string>;

/// `name=value` of a Set-Cookie header.
std::string pair_of(const std::string& set_cookie) { return set_cookie.substr(0, set_cookie.find(';')); }

/// What stands between the first `before` and the next `after`.
std::string between(const std::string& text, const std::string& before, const std::string& after) {
  const auto begin = text.find(before);
  REQUIRE(begin != std::string::npos);
  const auto from = begin + before.size();
  return text.substr(from, text.find(after, from) - from);
}

} // namespace

TEST_CASE_FIXTURE(fixture,
                  "upstream: cookies are set as they are asked for, by every path, and read in order") {
  const texts wanted{"a=1; Path=/; HttpOnly", "b=x, y", "nameless"};
  const auto target = "/set_cookie?c=" + url_encoded(wanted[0]) + "&c=" + url_encoded(wanted[1]) +
                      "&c=" + url_encoded(wanted[2]);
  CHECK(get(target).headers().get_all("Set-Cookie") == wanted);
  CHECK(get("/set_cookie").status() == 400);
  CHECK(get("/plain?c=a%3D1").headers().get_all("Set-Cookie").empty());
  for (const std::string path :
       {"/redirect?to=%2Fplain", "/redirect_chain?n=1", "/k/a?", "/k/a?status=500", "/site/login?"}) {
    CAPTURE(path);
    CHECK(get(path + "&set_cookie=c%3D3").headers().get_all("Set-Cookie").back() == "c=3");
  }

  CHECK(get("/cookies", {{"Cookie", "a=1; b; c = d=e;"}}).json() ==
        json::array({{"a", "1"}, {"", "b"}, {"c", "d=e"}}));
  CHECK(get("/cookies").json() == json::array());
  CHECK(upstream.hits("/cookies") == 2);
}

TEST_CASE_FIXTURE(fixture, "upstream: an upload is told back, part by part") {
  const auto plain = ask("PUT", "/upload", "hello", {{"Content-Type", "text/x"}}).json();
  CHECK(plain == json{{"bytes", 5},
                      {"content_type", "text/x"},
                      {"crc32", "3610a686"}}); // as zlib.crc32(b"hello") of Python
  CHECK(samples::crc32_of("hello") == "3610a686");

  const std::string content = "line\r\n--not the end\r\n";
  const auto form = "--x y\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n\r\n"
                    "--x y\r\nContent-Disposition: form-data; name=\"f%22\"; "
                    "filename=\"c;d.txt\"\r\nContent-Type: text/x\r\n\r\n" +
                    content + "\r\n--x y--\r\n";
  const auto as_form = [this](const std::string& body,
                              const std::string& type = "multipart/form-data; boundary=\"x y\"") {
    return ask("POST", "/upload", body, {{"Content-Type", type}});
  };
  const auto parts = as_form(form).json().at("parts");
  REQUIRE(parts.size() == 2);
  CHECK(parts[0] == json{{"name", "a"}, {"type", ""}, {"bytes", 0}, {"crc32", "00000000"}});
  CHECK(parts[1] == json{{"name", "f%22"},
                         {"filename", "c;d.txt"},
                         {"type", "text/x"},
                         {"bytes", content.size()},
                         {"crc32", samples::crc32_of(content)}});
  CHECK(as_form("--x y--").json().at("parts") == json::array());

  for (const auto& malformed :
       texts{"", form.substr(1), form.substr(0, form.size() - 6), "--x y\r\n\r\nno name\r\n--x y--",
             "--x y\r\nContent-Disposition: form-data; name=\"a\r\n\r\n\r\n--x y--"}) {
    CAPTURE(malformed);
    CHECK(as_form(malformed).status() == 400);
  }
  CHECK(as_form(form, "multipart/form-data").status() == 400);
}

TEST_CASE_FIXTURE(fixture, "upstream: HEAD has the headers of GET and no body") {
  for (const std::string target : {"/k/a?bytes=1000", "/plain", "/plain?encoding=br", "/site/login",
                                   "/repos/a/b", "/pages/3", "/cookies"}) {
    CAPTURE(target);
    const auto head = ask("HEAD", target);
    const auto whole = get(target);
    CHECK(head.status() == whole.status());
    CHECK(head.text().empty());
    CHECK(head.headers().get("Content-Length") == whole.headers().get("Content-Length"));
    CHECK(head.headers().get("Content-Type") == whole.headers().get("Content-Type"));
  }
  CHECK(ask("HEAD", "/echo?a=b").headers().get("X-Method") == "HEAD");
  CHECK(ask("PURGE", "/echo?a=b").headers().get("X-Method") == "PURGE");
  CHECK(get("/echo?a=b").headers().get("X-Request-Target") == "/echo?a=b");
}

TEST_CASE_FIXTURE(fixture,
                  "upstream: the site lets in who posts its form with the right password, until the logout") {
  const auto form = get("/site/login");
  const headers visitor{{"Cookie", pair_of(form.headers().get("Set-Cookie").value())}};
  const auto csrf = between(form.text(), "name=\"csrf\" value=\"", "\"");
  const auto login = [&](const std::string& user, const std::string& password, const std::string& token,
                         const headers& who) {
    return post_form("/site/login", "user=" + user + "&password=" + password + "&csrf=" + token, who);
  };
  CHECK(get("/site/login", visitor).headers().get_all("Set-Cookie").empty()); // the form that is open stays
                                                                              // good
  CHECK(login("alice", "wrong", csrf, visitor).status() == 403);
  CHECK(login("a%20b", "a%20b-secret", csrf, visitor).status() == 403);
  CHECK(login("alice", "alice-secret", "1", visitor).status() == 403);
  CHECK(login("alice", "alice-secret", csrf, {}).status() == 403);
  CHECK(login("alice", "alice-secret", csrf, {{"Cookie", "presession=another"}}).status() == 403);
  CHECK(ask("POST", "/site/login", "user=alice&password=alice-secret&csrf=" + csrf, visitor).status() == 415);
  CHECK(get("/site/account", visitor).status() == 401);
  CHECK(post_form("/site/login?status=503", "", visitor).status() == 503);

  const auto in = login("alice", "alice-secret", csrf, visitor);
  CHECK(in.status() == 303);
  CHECK(in.headers().get("Location") == "/site/account");
  const auto set = in.headers().get_all("Set-Cookie").front();
  CHECK(contains(set, "; HttpOnly"));
  CHECK(contains(set, "; Path=/site;"));
  const headers alice{{"Cookie", "other=1; " + pair_of(set)}};
  const auto page = get("/site/account", alice).text();
  CHECK(between(page, "<b id=\"user\">", "<") == "alice");
  for (const auto& order : samples::orders_of("alice", 5))
    CHECK(contains(page, "<td class=\"item\">" + std::string(order.item) + "</td><td class=\"price\">" +
                             samples::price_of(order) + "</td>"));
  upstream.stop();
  upstream.start();
  CHECK(get("/site/account", alice).ok());

  CHECK(get("/site/logout", alice).status() == 405);
  const auto out = post_form("/site/logout", "", alice);
  CHECK(out.status() == 303);
  CHECK(contains(out.headers().get("Set-Cookie").value(), "Max-Age=0"));
  CHECK(get("/site/account", alice).status() == 401);
  CHECK(upstream.hits("/site/account") == 4);
}

TEST_CASE_FIXTURE(fixture,
                  "upstream: the API wants a token that has not ended, and shows its orders page by page") {
  const auto credentials = json{{"client_id", "demo"}, {"client_secret", "demo-secret"}}.dump();
  const headers as_json{{"Content-Type", "application/json"}};
  const auto first = ask("POST", "/auth/token?uses=2&expires_in=600", credentials, as_json).json();
  CHECK(first.at("expires_in") == 600);
  CHECK(first.at("token_type") == "Bearer");
  const auto bearer = [](const json& token) {
    return headers{{"Authorization", "Bearer " + token.at("access_token").get<std::string>()}};
  };
  CHECK(get("/api/profile", bearer(first)).json().at("client_id") == "demo");
  CHECK(get("/api/profile", bearer(first)).ok());
  const auto ended = get("/api/profile", bearer(first));
  CHECK(ended.status() == 401);
  CHECK(contains(ended.headers().get("WWW-Authenticate").value(), "invalid_token"));
  CHECK(get("/api/orders").status() == 401);
  CHECK(get("/api/orders", {{"Authorization", "Bearer made-up"}}).status() == 401);

  const auto second =
      post_form("/auth/refresh", "refresh_token=" + first.at("refresh_token").get<std::string>()).json();
  json orders = json::array();
  auto target = std::string("/api/orders");
  for (int page = 1; page <= 3; ++page) {
    const auto got = get(target, bearer(second));
    const auto content = got.json();
    CHECK(content.at("page") == page);
    orders.insert(orders.end(), content.at("orders").begin(), content.at("orders").end());
    if (content.at("next").is_null()) {
      CHECK_FALSE(got.headers().has("Link"));
      break;
    }
    CHECK(got.headers().get("Link") == "<" + content.at("next").get<std::string>() + ">; rel=\"next\"");
    target = content.at("next").get<std::string>().substr(upstream.url().size());
  }
  const auto wanted = samples::orders_of("demo", 10);
  REQUIRE(orders.size() == wanted.size());
  for (std::size_t i = 0; i < wanted.size(); ++i)
    CHECK(orders[i] ==
          json{{"id", wanted[i].id}, {"item", wanted[i].item}, {"price", samples::price_of(wanted[i])}});

  CHECK(post_form("/auth/token", "client_id=demo&client_secret=wrong").status() == 401);
  CHECK(post_form("/auth/token", "client_id=demo").status() == 400);
  CHECK(ask("POST", "/auth/token", "{", as_json).status() == 400);
  CHECK(post_form("/auth/refresh", "refresh_token=made-up").status() == 400);
  const auto gone = post_form("/auth/token?expires_in=0", "client_id=demo&client_secret=demo-secret").json();
  CHECK(get("/api/profile", bearer(gone)).status() == 401);
}

TEST_CASE_FIXTURE(fixture, "upstream: facts about a repository have a validator and a rate limit") {
  const auto facts = samples::repo_facts_of("actor-framework/actor-framework");
  const auto got = get("/repos/actor-framework/actor-framework?rate_limit=3");
  CHECK(got.json().at("stargazers_count") == facts.stars);
  CHECK(got.json().at("forks_count") == facts.forks);
  CHECK(got.json().at("open_issues_count") == facts.open_issues);
  CHECK(got.json().at("language") == facts.language);
  CHECK(got.headers().get("X-RateLimit-Remaining") == "2");
  CHECK(got.headers().get("ETag") == facts.etag);
  const auto same = get("/repos/actor-framework/actor-framework?rate_limit=3",
                        {{"If-None-Match", "\"other\", W/" + facts.etag}});
  CHECK(same.status() == 304);
  CHECK(same.text().empty());
  CHECK(same.headers().get("ETag") == facts.etag);
  CHECK(
      get("/repos/actor-framework/actor-framework?rate_limit=3", {{"If-None-Match", "\"other\""}}).status() ==
      200);
  const auto spent = get("/repos/actor-framework/actor-framework?rate_limit=3");
  CHECK(spent.status() == 403);
  CHECK(spent.headers().get("X-RateLimit-Remaining") == "0");
  CHECK(samples::repo_facts_of("a/b").etag != facts.etag);
  CHECK(get("/repos/a").status() == 404);
  CHECK(get("/repos/a/b/c").status() == 404);
}

TEST_CASE_FIXTURE(fixture,
                  "upstream: all pages can be reached from the first one, and one link leads nowhere") {
  std::set<std::uint32_t> reached{1};
  std::vector<std::uint32_t> next{1};
  std::set<std::uint32_t> missing;
  while (!next.empty()) {
    const auto number = next.back();
    next.pop_back();
    const auto page = get("/pages/" + std::to_string(number)).text();
    CHECK(between(page, "<title>", "</title>") == "Page " + std::to_string(number));
    const auto links = samples::links_of_page(number);
    CHECK(std::count(links.begin(), links.end(), number) == 0);
    for (const auto to : links) {
      CHECK(
          contains(page, to == 1 ? "<a href=\"/pages/1#top\">" : "<a href=\"" + std::to_string(to) + "\">"));
      if (to > samples::linked_page_count)
        missing.insert(to);
      else if (reached.insert(to).second)
        next.push_back(to);
    }
  }
  CHECK(reached.size() == samples::linked_page_count);
  CHECK(missing == std::set<std::uint32_t>{99});
  for (const std::string name : {"99", "0", "01", "16", "1x", "none"}) {
    CAPTURE(name);
    CHECK(get("/pages/" + name).status() == 404);
  }
  CHECK(get("/pages/").status() == 404);
  CHECK(get("/pages/1/2").status() == 404);
  CHECK(post_form("/pages/1", "").status() == 405);
  CHECK(contains(get("/pages/2?delay_ms=1&x=\"").text(), "<a href=\"4?delay_ms=1&amp;x="));
  CHECK(upstream.hits("/pages/1") == 2);
  CHECK(upstream.hits("/pages/99") == 1);
}

} // namespace dormouse::test::upstream_test
