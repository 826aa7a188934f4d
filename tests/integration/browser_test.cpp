// Cookies: what responses set goes along with the next request, and is part of the object's state.

#include "disk.hpp"
#include "movable_clock.hpp"
#include "raw_server.hpp"
#include "storage_valve.hpp"
#include "store/store.hpp"
#include "upstream_fixture.hpp"

#include <dormouse/serialization/codec.hpp>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dormouse::test::browser_test {

using namespace std::chrono_literals;

namespace {

class surfer : public durable_object {
public:
  /// Handlers throw until it is 0.
  static inline std::atomic<int> refusals{0};
  static inline std::atomic<int> handlers_run{0};

  void visit(order what) {
    auto jar = what.jar;
    browser(jar).fetch(what.url, what.init()).then<&surfer::on_page>(what.tag, jar);
  }
  void visit_all(std::vector<order> all) {
    for (auto& each : all)
      visit(std::move(each));
  }
  void on_page(fetch_result result, std::string tag, std::string jar) {
    ++handlers_run;
    browser(jar).set_cookie("handled", tag, {.url = "http://handler.test/"});
    if (result) seen_[tag] = cookies(jar).header_for(value_or_throw(parse_url(result->url())), in_ms());
    pages_[tag] =
        result ? result->text() : std::string(to_string(result.error().code)) + " " + result.error().message;
    if (refusals > 0) {
      --refusals;
      throw std::runtime_error("the handler refuses");
    }
  }
  /// Through a fetch that is bound to another queue, with the jar of this object.
  void visit_bound(order what) {
    auto bound =
        create_proxy_fetch(queue(), {.return_address = self_address(), .timeout = std::chrono::seconds(20)});
    browser(bound, what.jar).fetch(what.url, what.init()).then<&surfer::on_page>(what.tag, what.jar);
  }

  void set(std::string jar, std::string name, std::string value, std::string url) {
    browser(jar).set_cookie(name, value, {.url = url});
  }
  void set_for(std::string jar, std::string name, std::string value, std::string url, std::int64_t seconds) {
    browser(jar).set_cookie(name, value, {.url = url, .max_age = std::chrono::seconds(seconds)});
  }
  void set_for_domain(std::string jar, std::string name, std::string domain) {
    browser(jar).set_cookie(name, "v", {.domain = domain});
  }
  void set_and_throw(std::string jar, std::string name, std::string url) {
    set(std::move(jar), std::move(name), "v", std::move(url));
    throw std::runtime_error("changed my mind");
  }
  void set_many(std::string jar, std::uint64_t count, std::uint64_t bytes) {
    auto mine = browser(jar);
    for (std::uint64_t i = 0; i < count; ++i)
      mine.set_cookie("c" + std::to_string(i), std::string(bytes, 'v'),
                      {.url = "http://" + std::to_string(i) + ".test/"});
  }
  void set_and_visit(std::string name, order what) {
    set(what.jar, std::move(name), "v", what.url);
    visit(std::move(what));
  }
  std::optional<std::string> get(std::string jar, std::string name) { return browser(jar).get_cookie(name); }
  std::optional<std::string> get_for(std::string jar, std::string name, std::string url) {
    return browser(jar).get_cookie(name, url);
  }
  std::uint64_t remove(std::string jar, std::string name) { return browser(jar).remove_cookie(name); }
  std::uint64_t remove_for(std::string jar, std::string name, std::string url) {
    return browser(jar).remove_cookie(name, url);
  }
  void clear(std::string jar) { browser(jar).clear(); }
  void clear_and_set(std::string jar, std::string name, std::string url) {
    clear(jar);
    set(std::move(jar), std::move(name), "v", std::move(url));
  }
  void fetch_with_jar(std::string jar, std::string url) {
    create_proxy_fetch(queue(), {.return_address = self_address(), .jar = jar})(url).then<&surfer::on_page>(
        jar, jar);
  }
  /// In the jar of another object, which is not this one's to look at.
  void pry(std::string whose, std::uint64_t action) {
    auto theirs = create_proxy_browser(queue(), {.return_address = {"SURFER", whose}, .jar = "private"});
    const std::string url = "http://127.0.0.1/";
    switch (action) {
    case 0:
      theirs.set_cookie("a", "1", {.url = url});
      break;
    case 1:
      (void)theirs.get_cookie("a");
      break;
    case 2:
      (void)theirs.get_cookie("a", url);
      break;
    case 3:
      (void)theirs.remove_cookie("a");
      break;
    case 4:
      (void)theirs.cookies();
      break;
    case 5:
      (void)theirs.cookies_for(url);
      break;
    default:
      theirs.clear();
      break;
    }
  }
  std::vector<std::string> names(std::string jar) { return names_of(browser(jar).cookies()); }
  std::vector<std::string> names_for(std::string jar, std::string url) {
    return names_of(browser(jar).cookies_for(url));
  }

  /// Read-only.
  std::vector<std::string> look(std::string jar) const { return names_of(cookies(jar).cookies(in_ms())); }
  std::uint64_t look_at_default() const { return cookies().size(); }
  std::string page(std::string tag) const { return pages_.contains(tag) ? pages_.at(tag) : std::string(); }
  std::string seen(std::string tag) const { return seen_.contains(tag) ? seen_.at(tag) : std::string(); }
  std::uint64_t pages() const { return pages_.size(); }

  template <class Archive> void serialize(Archive& ar) { ar(pages_, seen_); }

  using methods = dormouse::methods<
      "SURFER", method<"visit", &surfer::visit>, method<"visit_all", &surfer::visit_all>,
      method<"on_page", &surfer::on_page>, method<"visit_bound", &surfer::visit_bound>,
      method<"set", &surfer::set>, method<"set_for", &surfer::set_for>,
      method<"set_for_domain", &surfer::set_for_domain>, method<"set_and_throw", &surfer::set_and_throw>,
      method<"set_many", &surfer::set_many>, method<"set_and_visit", &surfer::set_and_visit>,
      method<"get", &surfer::get>, method<"get_for", &surfer::get_for>, method<"remove", &surfer::remove>,
      method<"remove_for", &surfer::remove_for>, method<"clear", &surfer::clear>,
      method<"clear_and_set", &surfer::clear_and_set>, method<"fetch_with_jar", &surfer::fetch_with_jar>,
      method<"pry", &surfer::pry>, method<"names", &surfer::names>, method<"names_for", &surfer::names_for>,
      method<"look", &surfer::look>, method<"look_at_default", &surfer::look_at_default>,
      method<"page", &surfer::page>, method<"seen", &surfer::seen>, method<"pages", &surfer::pages>>;

private:
  std::int64_t in_ms() const {
    return std::chrono::duration_cast<std::chrono::milliseconds>(now().time_since_epoch()).count();
  }

  static std::vector<std::string> names_of(const std::vector<cookie>& all) {
    std::vector<std::string> out;
    for (const auto& each : all)
      if (each.name != "handled") // the handler's own
        out.push_back(each.name);
    return out;
  }

  std::map<std::string, std::string> pages_;
  std::map<std::string, std::string> seen_; ///< the cookies that the handler found for the page it was handed
};

using names = std::vector<std::string>;
using pairs = std::vector<std::pair<std::string, std::string>>;

std::string encoded(std::string_view text) {
  constexpr std::string_view hex = "0123456789ABCDEF";
  std::string out;
  for (unsigned char c : text)
    out += std::string{'%', hex[c >> 4U], hex[c & 15U]};
  return out;
}

struct fixture : upstream_fixture {
  fixture() {
    surfer::refusals = 0;
    surfer::handlers_run = 0;
  }

  options settings() const {
    auto chosen = upstream_fixture::settings();
    chosen.allow = {"127.0.0.1", "localhost"};
    return chosen;
  }

  static object_ref<surfer> someone(runtime& running, const std::string& id = "me") {
    running.define<surfer>();
    return running.get<surfer>(id);
  }

  order page(const std::string& tag, const std::string& target,
             const std::string& jar = std::string(default_jar)) const {
    return {.tag = tag, .url = at(target), .max_retries = 0, .jar = jar};
  }

  /// A page that sets these.
  order setting(const std::string& tag, const std::vector<std::string>& cookies,
                const std::string& jar = std::string(default_jar), const std::string& more = "") const {
    std::string target = "/k/" + tag + "?" + more;
    for (const auto& each : cookies)
      target += "&set_cookie=" + encoded(each);
    return page(tag, target, jar);
  }

  std::string redirect(const std::string& to, const std::vector<std::string>& cookies = {}) const {
    std::string target = "/redirect?to=" + encoded(to);
    for (const auto& each : cookies)
      target += "&set_cookie=" + encoded(each);
    return target;
  }

  static std::string text_of(const object_ref<surfer>& object, const std::string& tag) {
    std::string text;
    if (!eventually([&] {
          text = value_of(object.call<&surfer::page>(tag));
          return !text.empty();
        }))
      throw std::runtime_error("no page for " + tag);
    return text;
  }

  static std::string visited(const object_ref<surfer>& object, order what) {
    auto tag = what.tag;
    value_of(object.call<&surfer::visit>(std::move(what)));
    return text_of(object, tag);
  }

  /// The cookies that a request carries.
  pairs sent(const object_ref<surfer>& object, const std::string& tag,
             const std::string& jar = std::string(default_jar)) const {
    return nlohmann::json::parse(visited(object, page(tag, "/cookies", jar))).get<pairs>();
  }

  static names jar_of(const object_ref<surfer>& object, const std::string& jar = std::string(default_jar)) {
    auto found = value_of(object.call<&surfer::look>(jar));
    std::sort(found.begin(), found.end());
    return found;
  }
};

} // namespace

// --- requests and responses --------------------------------------------------------------------------------

TEST_CASE_FIXTURE(fixture, "browser: what a response sets is in the jar when its handler runs, and goes "
                           "along with the next request") {
  runtime running(settings());
  auto me = someone(running);
  CHECK(sent(me, "before") == pairs{});
  visited(me, setting("a", {"a=1", "b=2; Path=/", "gone=1; Max-Age=0", "there=1; Path=/elsewhere"}));
  CHECK(value_of(me.call<&surfer::seen>(std::string("a"))) == "a=1; b=2");
  CHECK(sent(me, "after") == pairs{{"b", "2"}}); // a belongs to /k
  visited(me, setting("b", {"b=3; Path=/", "c=4; Path=/"}));
  CHECK(sent(me, "last") == pairs{{"b", "3"}, {"c", "4"}});
  visited(me, setting("c", {"b=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT"}));
  CHECK(sent(me, "removed") == pairs{{"c", "4"}});
}

TEST_CASE_FIXTURE(fixture,
                  "browser: a response with an error status sets cookies, and so does one that is retried") {
  runtime running(settings());
  auto me = someone(running);
  visited(me, setting("a", {"a=1; Path=/"}, "default", "status=404"));
  auto retried = setting("b", {"b=2; Path=/"}, "default", "fail_first=1");
  retried.max_retries = 3;
  visited(me, retried);
  CHECK(sent(me, "after") == pairs{{"a", "1"}, {"b", "2"}});
}

TEST_CASE_FIXTURE(fixture, "browser: an attempt that is tried again leaves no cookies") {
  const std::string fine =
      "HTTP/1.1 200 OK\r\nSet-Cookie: fine=1; Path=/\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
  const std::string busy =
      "HTTP/1.1 503 Busy\r\nSet-Cookie: busy=1; Path=/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
  const std::string torn =
      "HTTP/1.1 200 OK\r\nSet-Cookie: torn=1; Path=/\r\nContent-Length: 100\r\nConnection: close\r\n\r\nhalf";
  raw_server server(fine, {busy, torn});
  runtime running(settings());
  auto me = someone(running);
  order tried{.tag = "tried", .url = server.url(), .max_retries = 3, .jar = std::string(default_jar)};
  CHECK(visited(me, tried) == "ok");
  CHECK(running.stats().retries == 2);
  CHECK(value_of(me.call<&surfer::seen>(std::string("tried"))) == "fine=1");
  CHECK(jar_of(me) == names{"fine"});
}

TEST_CASE_FIXTURE(fixture,
                  "browser: what RFC 6265bis ignores is ignored, and the rest of the response is taken") {
  runtime running(settings());
  auto me = someone(running);
  visited(me,
          setting("a", {"super=1; Domain=com", "other=1; Domain=example.com", "__Host-x=1; Path=/a; Secure",
                        "good=1; Path=/", "=", "loopback=1; Secure; Path=/"}));
  CHECK(sent(me, "after") == pairs{{"good", "1"}, {"loopback", "1"}});
}

TEST_CASE_FIXTURE(
    fixture, "browser: each hop of a redirect chain sends what the hops before have set, and all is kept") {
  runtime running(settings());
  auto me = someone(running);
  const auto third = redirect("/cookies", {"c=3; Path=/", "a=; Path=/; Max-Age=0"});
  const auto second = redirect(third, {"b=2; Path=/"});
  const auto first = redirect(second, {"a=1; Path=/"});
  CHECK(nlohmann::json::parse(visited(me, page("chain", first))).get<pairs>() ==
        pairs{{"b", "2"}, {"c", "3"}});
  CHECK(jar_of(me) == names{"b", "c"});
  CHECK(sent(me, "after") == pairs{{"b", "2"}, {"c", "3"}});

  auto manual = page("manual", redirect("/cookies", {"m=1; Path=/"}));
  manual.redirect = redirect_mode::manual;
  visited(me, manual);
  CHECK(jar_of(me) == names{"b", "c", "m"});
  // A chain that ends in an error has said what it has said.
  auto forbidden = page("forbidden", redirect("http://example.com/", {"f=1; Path=/"}));
  CHECK(contains(visited(me, forbidden), "BLOCKED"));
  CHECK(jar_of(me) == names{"b", "c", "f", "m"});
}

TEST_CASE_FIXTURE(fixture, "browser: cookies do not go to another host, and those of its own go to each") {
  runtime running(settings());
  auto me = someone(running);
  const auto port = std::to_string(upstream.port());
  visited(me, setting("a", {"numeric=1; Path=/"}));
  const auto there = "http://localhost:" + port;
  auto own = page("b", redirect(there + "/cookies", {"hop=1; Path=/"}));
  own.headers.append("Cookie", "own=1");
  CHECK(nlohmann::json::parse(visited(me, own)).get<pairs>() ==
        pairs{}); // neither the jar's nor the caller's
  auto named = page("c", "");
  named.url = there + "/k/c?set_cookie=" + encoded("named=1; Path=/");
  visited(me, named);
  CHECK(sent(me, "d") == pairs{{"numeric", "1"}, {"hop", "1"}});
  named = page("e", "");
  named.url = there + "/cookies";
  CHECK(nlohmann::json::parse(visited(me, named)).get<pairs>() == pairs{{"named", "1"}});
  // RFC 6265bis 8.5: cookies do not tell ports apart.
  samples::upstream_server other;
  other.start();
  named = page("f", "");
  named.url = other.url() + "/cookies";
  CHECK(nlohmann::json::parse(visited(me, named)).get<pairs>() == pairs{{"numeric", "1"}, {"hop", "1"}});
}

TEST_CASE_FIXTURE(
    fixture,
    "browser: a Cookie header of the caller's is merged with the jar's, and wins over one of the same name") {
  runtime running(settings());
  auto me = someone(running);
  visited(me, setting("a", {"a=jar; Path=/", "b=jar; Path=/"}));
  auto own = page("b", "/cookies");
  own.headers.append("Cookie", "b=own; c=own");
  own.headers.append("Cookie", "d=own");
  CHECK(nlohmann::json::parse(visited(me, own)).get<pairs>() ==
        pairs{{"b", "own"}, {"c", "own"}, {"d", "own"}, {"a", "jar"}});
  CHECK(sent(me, "c") == pairs{{"a", "jar"}, {"b", "jar"}}); // the jar does not hear of it
  own = page("d", "/cookies", "empty");
  own.headers.append("Cookie", "only=own");
  CHECK(nlohmann::json::parse(visited(me, own)).get<pairs>() == pairs{{"only", "own"}});
}

TEST_CASE_FIXTURE(fixture, "browser: a site with a login, from its form to the logout") {
  runtime running(settings());
  auto me = someone(running);
  const auto form = visited(me, page("form", "/site/login"));
  const auto begin = form.find("value=\"", form.find("name=\"csrf\"")) + 7;
  auto login = page("login", "/site/login");
  login.method = "POST";
  login.headers.append("Content-Type", "application/x-www-form-urlencoded");
  login.body = "user=ada&password=ada-secret&csrf=" + form.substr(begin, form.find('"', begin) - begin);
  CHECK(contains(visited(me, login), "<b id=\"user\">ada</b>")); // the 303 led there, with the session
  CHECK(contains(visited(me, page("account", "/site/account")), "ada"));
  CHECK_FALSE(contains(visited(me, page("stranger", "/site/account", "another")), "ada"));
  auto logout = page("logout", "/site/logout");
  logout.method = "POST";
  visited(me, logout);
  CHECK_FALSE(contains(visited(me, page("after", "/site/account")), "ada"));
}

// --- durability --------------------------------------------------------------------------------------------

TEST_CASE_FIXTURE(fixture, "R3: cookies commit with the turn that consumed the response: a handler that "
                           "throws leaves the jar as it was") {
  runtime running(settings());
  auto me = someone(running);
  visited(me, setting("a", {"old=1; Path=/"}));
  surfer::refusals = 1'000'000;
  const auto before = surfer::handlers_run.load();
  value_of(me.call<&surfer::visit>(setting("b", {"new=1; Path=/", "old=; Path=/; Max-Age=0"})));
  REQUIRE(eventually([&] { return surfer::handlers_run > before; }));
  CHECK(jar_of(me) == names{"old"});
  surfer::refusals = 0;
  text_of(me, "b");
  CHECK(jar_of(me) == names{"new"});
  CHECK(running.stats().failed_turns >= 1);
  CHECK(running.stats().dead_letters == 0);
}

TEST_CASE_FIXTURE(fixture,
                  "R3: cookies that a turn set go with it: not when it throws, not when its commit fails") {
  auto valve = std::make_shared<storage_valve>();
  runtime running(settings(), {.wrap_engine = valve->wrap(), .wrap_transport = {}});
  auto me = someone(running);
  const auto jar = std::string(default_jar);
  value_of(me.call<&surfer::set>(jar, std::string("kept"), std::string("1"), at("/")));
  CHECK(error_of(me.call<&surfer::set_and_throw>(jar, std::string("thrown"), at("/"))).code ==
        errc::handler_failed);
  CHECK(jar_of(me) == names{"kept"});
  valve->fail_writes([](const write_op& op) { return op.key.front() == 'C'; });
  CHECK(error_of(me.call<&surfer::set>(jar, std::string("failed"), std::string("1"), at("/"))).code ==
        errc::storage_error);
  CHECK(jar_of(me) == names{"kept"});
  valve->heal();
  CHECK(sent(me, "a") == pairs{{"kept", "1"}});
}

TEST_CASE_FIXTURE(fixture, "R5: a jar survives hibernation and restart") {
  {
    runtime running(settings());
    auto me = someone(running);
    visited(me, setting("a", {"a=1; Path=/; Max-Age=3600; Secure; HttpOnly; SameSite=Lax", "b=2; Path=/"}));
    REQUIRE(eventually([&running] { return running.stats().active_objects == 0; }));
    CHECK(sent(me, "b") == pairs{{"a", "1"}, {"b", "2"}});
  }
  {
    runtime running(settings());
    auto me = someone(running);
    CHECK(jar_of(me) == names{"a", "b"});
    CHECK(sent(me, "c") == pairs{{"a", "1"}, {"b", "2"}});
    value_of(me.call<&surfer::clear>(std::string(default_jar)));
    CHECK(jar_of(me) == names{});
    value_of(me.call<&surfer::set_many>(std::string("big"), std::uint64_t{50}, std::uint64_t{4000}));
  }
  {
    runtime running(settings());
    auto me = someone(running);
    CHECK(jar_of(me) == names{});
    CHECK(jar_of(me, "big").size() == 50);
    CHECK(sent(me, "d") == pairs{});
    value_of(me.call<&surfer::clear>(std::string("big")));
  }
  CHECK(disk(directory.path()).count('C') ==
        1); // the default jar's, with what the handler set: an empty jar has no row
}

TEST_CASE_FIXTURE(fixture, "R7: cookies that arrived before the process ended are taken by the next") {
  {
    runtime running(settings()); // without a class: the result waits in the inbox
    create_proxy_browser(running.queue(), {.return_address = {"SURFER", "me"}})
        .fetch(setting("a", {"a=1; Path=/"}).url)
        .then<&surfer::on_page>(std::string("a"), std::string(default_jar));
    REQUIRE(eventually([&running] { return running.stats().undeliverable == 1; }));
  }
  CHECK(disk(directory.path()).count('C') == 0);
  runtime running(settings());
  auto me = someone(running);
  text_of(me, "a");
  CHECK(jar_of(me) == names{"a"});
  CHECK(upstream.total() == 1);
}

TEST_CASE_FIXTURE(
    fixture,
    "browser: two fetches in flight on one jar do not undo each other, nor what the program does meanwhile") {
  runtime running(settings());
  auto me = someone(running);
  const auto jar = std::string(default_jar);
  visited(me, setting("a", {"removed=1; Path=/", "replaced=old; Path=/", "dropped=1; Path=/"}));
  value_of(me.call<&surfer::visit_all>(
      std::vector{setting("b", {"b=1; Path=/", "dropped=; Path=/; Max-Age=0"}, jar, "delay_ms=700"),
                  setting("c", {"c=1; Path=/", "replaced=new; Path=/"}, jar, "delay_ms=700")}));
  REQUIRE(eventually([this] { return upstream.total() == 3; }));
  value_of(me.call<&surfer::set>(jar, std::string("d"), std::string("1"), at("/")));
  CHECK(value_of(me.call<&surfer::remove>(jar, std::string("removed"))) == 1);
  text_of(me, "b");
  text_of(me, "c");
  CHECK(jar_of(me) == names{"b", "c", "d", "replaced"});
  CHECK(value_of(me.call<&surfer::get>(jar, std::string("replaced"))) == "new");
}

TEST_CASE_FIXTURE(fixture,
                  "browser: a request carries the jar as it is when it really goes out, retries included") {
  auto clock = std::make_shared<movable_clock>();
  runtime running(with_clock(settings(), clock));
  auto me = someone(running);
  const auto jar = std::string(default_jar);
  auto what = page("a", "/cookies?fail_first=1&retry_after=250");
  what.max_retries = 3;
  value_of(me.call<&surfer::set_and_visit>(std::string("early"), what)); // in one turn
  REQUIRE(eventually([&running] { return running.stats().retries == 1; }));
  value_of(me.call<&surfer::set>(jar, std::string("late"), std::string("1"), at("/")));
  CHECK(value_of(me.call<&surfer::remove>(jar, std::string("early"))) == 1);
  clock->advance(251s);
  CHECK(nlohmann::json::parse(text_of(me, "a")).get<pairs>() == pairs{{"late", "1"}});
  CHECK(upstream.total() == 2);
}

// --- jars --------------------------------------------------------------------------------------------------

TEST_CASE_FIXTURE(fixture, "browser: jars of one object, and of two objects, know nothing of each other") {
  runtime running(settings());
  auto me = someone(running);
  auto you = someone(running, "you");
  visited(me, setting("a", {"a=1; Path=/"}, "first"));
  visited(me, setting("b", {"b=1; Path=/"}, "second"));
  visited(you, setting("c", {"c=1; Path=/"}, "first"));
  CHECK(sent(me, "d", "first") == pairs{{"a", "1"}});
  CHECK(sent(me, "e", "second") == pairs{{"b", "1"}});
  CHECK(sent(me, "f") == pairs{});
  CHECK(sent(you, "g", "first") == pairs{{"c", "1"}});
  value_of(me.call<&surfer::clear>(std::string("first")));
  CHECK(jar_of(me, "first") == names{});
  CHECK(jar_of(me, "second") == names{"b"});
  CHECK(jar_of(you, "first") == names{"c"});
}

TEST_CASE_FIXTURE(fixture, "browser: the name of a jar is 1 to 64 bytes of UTF-8") {
  runtime running(settings());
  auto me = someone(running);
  for (const std::string& name : {std::string(), std::string(65, 'j'), std::string("\xff")}) {
    std::vector<error> refusals{error_of(me.call<&surfer::clear>(name)),
                                error_of(me.call<&surfer::look>(name))};
    if (!name.empty()) // of a proxy_fetch it is none
      refusals.push_back(error_of(me.call<&surfer::fetch_with_jar>(name, at("/"))));
    for (const auto& why : refusals) {
      CHECK(why.code == errc::invalid_request);
      CHECK(contains(why.message, "1..64 bytes"));
    }
    if (!name.empty())
      CHECK(error_thrown_by([&] {
              create_proxy_fetch(running.queue(), {.return_address = {"SURFER", "me"}, .jar = name});
            }).code == errc::invalid_request);
  }
  CHECK(upstream.total() == 0);
  for (const std::string& name : {std::string(64, 'j'), std::string("gl\u00e4ser"), std::string("a\0b", 3)}) {
    value_of(me.call<&surfer::set>(name, std::string("a"), std::string("1"), at("/")));
    CHECK(sent(me, "in " + std::to_string(name.size()), name) == pairs{{"a", "1"}});
  }
}

TEST_CASE_FIXTURE(fixture, "browser: a turn looks at a jar and changes it, a const method looks") {
  auto clock = std::make_shared<movable_clock>();
  runtime running(with_clock(settings(), clock));
  auto me = someone(running);
  const auto jar = std::string(default_jar);
  const auto set = [&](const std::string& name, const std::string& value, const std::string& url) {
    value_of(me.call<&surfer::set>(jar, name, value, url));
    clock->advance(1s); // cookies of one millisecond have no last one
  };
  using maybe = std::optional<std::string>;
  CHECK(value_of(me.call<&surfer::get>(jar, std::string("a"))) == maybe());
  set("a", "here", at("/x/y"));
  set("a", "there", "https://example.com/");
  set("b", "2", at("/"));
  value_of(me.call<&surfer::set_for_domain>(jar, std::string("d"), std::string("example.com")));
  CHECK(value_of(me.call<&surfer::get>(jar, std::string("a"))) == maybe("there")); // set last
  CHECK(value_of(me.call<&surfer::get_for>(jar, std::string("a"), at("/x/z"))) == maybe("here"));
  CHECK(value_of(me.call<&surfer::get_for>(jar, std::string("a"), at("/"))) == maybe());
  CHECK(value_of(me.call<&surfer::names_for>(jar, at("/x/"))) == names{"a", "b"}); // in the order of sending
  CHECK(value_of(me.call<&surfer::names_for>(jar, std::string("https://www.example.com/"))) == names{"d"});
  CHECK(value_of(me.call<&surfer::names>(jar)).size() == 4);
  CHECK(value_of(me.call<&surfer::look_at_default>()) == 4);
  CHECK(jar_of(me) == names{"a", "a", "b", "d"});
  CHECK(value_of(me.call<&surfer::remove_for>(jar, std::string("a"), at("/x/"))) == 1);
  CHECK(value_of(me.call<&surfer::remove_for>(jar, std::string("a"), at("/x/"))) == 0);
  CHECK(value_of(me.call<&surfer::remove>(jar, std::string("a"))) == 1);
  CHECK(jar_of(me) == names{"b", "d"});
  value_of(me.call<&surfer::clear>(jar));
  CHECK(jar_of(me) == names{});
  CHECK(error_of(me.call<&surfer::set>(jar, std::string("bad name"), std::string("1\n"), at("/"))).code ==
        errc::invalid_cookie);
  CHECK(
      error_of(me.call<&surfer::set>(jar, std::string("a"), std::string("1"), std::string("nowhere"))).code ==
      errc::invalid_url);
  CHECK(error_of(me.call<&surfer::get_for>(jar, std::string("a"), std::string("nowhere"))).code ==
        errc::invalid_url);
}

TEST_CASE_FIXTURE(fixture, "browser: over a proxy_fetch, and from outside of any object, the jar is that of "
                           "the object which gets the result") {
  runtime running(settings());
  auto me = someone(running);
  auto from_outside = create_proxy_browser(running.queue(), {.return_address = {"SURFER", "me"}});
  from_outside.fetch(setting("a", {"a=1; Path=/"}).url)
      .then<&surfer::on_page>(std::string("a"), std::string(default_jar));
  text_of(me, "a");
  CHECK(jar_of(me) == names{"a"});
  from_outside.fetch(at("/cookies")).then<&surfer::on_page>(std::string("b"), std::string(default_jar));
  CHECK(nlohmann::json::parse(text_of(me, "b")).get<pairs>() == pairs{{"a", "1"}});
  auto other_jar =
      create_proxy_browser(running.queue(), {.return_address = {"SURFER", "me"}, .jar = "other"});
  other_jar.fetch(at("/cookies")).then<&surfer::on_page>(std::string("c"), std::string("other"));
  CHECK(nlohmann::json::parse(text_of(me, "c")).get<pairs>() == pairs{});

  value_of(me.call<&surfer::visit_bound>(page("d", "/cookies")));
  CHECK(nlohmann::json::parse(text_of(me, "d")).get<pairs>() == pairs{{"a", "1"}});
  value_of(me.call<&surfer::visit_bound>(setting("e", {"e=1; Path=/"}, "bound")));
  text_of(me, "e");
  CHECK(jar_of(me, "bound") == names{"e"});

  for (const auto& action : std::vector<std::function<void()>>{
           [&] { from_outside.cookies(); }, [&] { from_outside.clear(); },
           [&] { (void)from_outside.get_cookie("a"); },
           [&] { from_outside.set_cookie("a", "2", {.url = at("/")}); },
           [&] { from_outside.remove_cookie("a"); }, [&] { from_outside.cookies_for(at("/")); }}) {
    const auto why = error_thrown_by(action);
    CHECK(why.code == errc::invalid_request);
    CHECK(contains(why.message, "turn"));
  }
  CHECK(jar_of(me) == names{"a"});
}

TEST_CASE_FIXTURE(fixture, "browser: a turn fetches with another object's jar, and does not look into it") {
  runtime running(settings());
  auto me = someone(running);
  value_of(me.call<&surfer::set>(std::string("private"), std::string("a"), std::string("mine"), at("/")));
  value_of(someone(running, "you")
               .call<&surfer::set>(std::string("private"), std::string("a"), std::string("yours"), at("/")));
  for (std::uint64_t action = 0; action < 7; ++action) {
    CAPTURE(action);
    const auto why = error_of(me.call<&surfer::pry>(std::string("you"), action));
    CHECK(why.code == errc::invalid_request);
    CHECK(contains(why.message, "'private'"));
    CHECK(contains(why.message, to_string(address{"SURFER", "you"})));
    CHECK(contains(why.message, to_string(address{"SURFER", "me"})));
    value_of(me.call<&surfer::pry>(std::string("me"), std::uint64_t{4})); // its own
  }
  CHECK(jar_of(me, "private") == names{"a"});
  CHECK(sent(someone(running, "you"), "b", "private") == pairs{{"a", "yours"}});
}

TEST_CASE_FIXTURE(fixture, "browser: a cookie goes until it expires, by the runtime's clock") {
  auto clock = std::make_shared<movable_clock>();
  {
    runtime running(with_clock(settings(), clock));
    auto me = someone(running);
    visited(me, setting("a", {"minute=1; Path=/; Max-Age=60", "hour=1; Path=/; Max-Age=3600",
                              "always=1; Path=/"}));
    value_of(me.call<&surfer::set_for>(std::string(default_jar), std::string("mine"), std::string("1"),
                                       at("/"), std::int64_t{60}));
    CHECK(sent(me, "b") == pairs{{"minute", "1"}, {"hour", "1"}, {"always", "1"}, {"mine", "1"}});
    clock->advance(61s);
    CHECK(sent(me, "c") == pairs{{"hour", "1"}, {"always", "1"}});
    CHECK(jar_of(me) == names{"always", "hour"});
  }
  clock->advance(2h);
  runtime running(with_clock(settings(), clock));
  auto me = someone(running);
  CHECK(sent(me, "d") == pairs{{"always", "1"}});
  // 400 days at most, whatever it says (6265bis 5.5).
  visited(me, setting("e", {"long=1; Path=/; Max-Age=99999999"}));
  clock->advance(24h * 399);
  CHECK(jar_of(me) == names{"always", "long"});
  clock->advance(24h * 2);
  CHECK(jar_of(me) == names{"always"});
}

TEST_CASE_FIXTURE(fixture, "R21: a jar over max_jar_bytes loses cookies of the site that has most") {
  auto chosen = settings();
  chosen.max_jar_bytes = 16'384;
  runtime running(chosen);
  auto me = someone(running);
  value_of(me.call<&surfer::set>(std::string("big"), std::string("kept"), std::string("1"), at("/")));
  value_of(me.call<&surfer::set_many>(std::string("big"), std::uint64_t{10}, std::uint64_t{2000}));
  const auto left = jar_of(me, "big");
  CHECK(left.size() == 8); // seven of 2,000 bytes, and the small one
  CHECK(std::find(left.begin(), left.end(), "kept") != left.end());
}

TEST_CASE_FIXTURE(fixture, "R5: cookie jars count for max_active_bytes, and of many those used last stay") {
  auto chosen = settings();
  chosen.max_jar_bytes = 16'384;
  chosen.idle_after = 1h;
  runtime running(chosen);
  auto me = someone(running);
  const auto fill = [&](int jar) {
    value_of(me.call<&surfer::set_many>("jar" + std::to_string(jar), std::uint64_t{7}, std::uint64_t{2000}));
  };
  fill(0);
  CHECK(running.stats().active_bytes > 7 * 2'000);
  for (int i = 1; i < 60; ++i)
    fill(i);
  CHECK(running.stats().active_bytes < 16'384 * (4 + 2) * 3);
  for (int i = 0; i < 60; ++i)
    CHECK(jar_of(me, "jar" + std::to_string(i)).size() == 7); // from the disk
}

// --- damage ------------------------------------------------------------------------------------------------

TEST_CASE_FIXTURE(
    fixture,
    "R21: a damaged jar is an error that names it, for calls and for fetches, and all else runs on") {
  const std::vector<std::pair<std::string, std::function<void(std::string&)>>> damages{
      {"flipped", flip_last_bit},
      {"truncated", cut_in_half},
      {"empty", [](std::string& row) { row.clear(); }},
      {"another type",
       [](std::string& row) { row = seal(frame_type::object, row.substr(frame_header_bytes)); }},
      {"sealed garbage",
       [](std::string& row) { row = seal(frame_type::cookie_jar, std::string(100, '\xff')); }},
      {"a forbidden cookie",
       [](std::string& row) {
         const auto found = row.find("value");
         row.replace(found, 5, "va\nue");
         row = seal(frame_type::cookie_jar, row.substr(frame_header_bytes));
       }},
  };
  {
    runtime running(settings());
    auto me = someone(running);
    for (const auto& [name, how] : damages)
      value_of(me.call<&surfer::set>(name, std::string("a"), std::string("value"), at("/")));
    value_of(me.call<&surfer::set>(std::string("sound"), std::string("a"), std::string("value"), at("/")));
    value_of(
        someone(running, "you")
            .call<&surfer::set>(std::string("flipped"), std::string("a"), std::string("value"), at("/")));
  }
  {
    disk rows(directory.path());
    for (const auto& [name, how] : damages) {
      const auto key = keys::jar({"SURFER", "me"}, name);
      auto row = rows.rows('C').at(key);
      how(row);
      rows.put(key, row);
    }
  }
  runtime running(settings());
  auto me = someone(running);
  for (const auto& [name, how] : damages) {
    const auto& this_name = name; // clang 14 captures no structured binding
    CAPTURE(this_name);
    for (const auto& why :
         {error_of(me.call<&surfer::look>(name)), error_of(me.call<&surfer::names>(name)),
          error_of(me.call<&surfer::set>(name, std::string("b"), std::string("1"), at("/")))}) {
      CHECK(why.code == errc::corrupt);
      CHECK(contains(why.message, "'" + name + "'"));
      CHECK(contains(why.message, "SURFER"));
    }
    const auto before = running.stats().fetch_errors;
    value_of(me.call<&surfer::visit>(
        page("of " + name, "/k/never-sent", name))); // its handler wants the jar, and fails too
    CHECK(eventually([&] { return running.stats().fetch_errors == before + 1; }));
  }
  CHECK(upstream.total() == 0);
  CHECK(sent(me, "sound", "sound") == pairs{{"a", "value"}});
  // It is mended by being emptied.
  bool sets_at_once = false;
  for (const auto& [name, how] : damages) {
    const auto& this_name = name; // clang 14 captures no structured binding
    CAPTURE(this_name);
    sets_at_once = !sets_at_once;
    if (sets_at_once)
      value_of(me.call<&surfer::clear_and_set>(name, std::string("new"), at("/")));
    else
      value_of(me.call<&surfer::clear>(name));
    CHECK(jar_of(me, name) == (sets_at_once ? names{"new"} : names{}));
    CHECK(sent(me, "mended " + name, name) == (sets_at_once ? pairs{{"new", "v"}} : pairs{}));
  }
  CHECK(sent(someone(running, "you"), "yours", "flipped") == pairs{{"a", "value"}});
}

TEST_CASE_FIXTURE(fixture,
                  "R21: a fetch whose jar is damaged is FETCH_FAILED, says which jar, and was not sent") {
  {
    runtime running(settings());
    auto what = key("a", "mode=hang&fail_first=1&set_cookie=a%3D1");
    what.jar = "session";
    what.timeout_ms = 300;
    auto mine = object(running);
    CHECK(answered(fetched(mine, what)).ok());
  }
  CHECK(disk(directory.path()).change('C', flip_last_bit) == 1);
  runtime running(settings());
  auto mine = object(running);
  auto what = key("b");
  what.jar = "session";
  const auto why = failed(fetched(mine, what));
  CHECK(to_string(why.code) == "FETCH_FAILED");
  CHECK(contains(why.message, "'session'"));
  CHECK(contains(why.message, "CRC-32C"));
  CHECK(why.sent == sent_state::no);
  CHECK(upstream.hits("b") == 0);
  CHECK(running.stats().in_flight_fetches == 0);
  CHECK(answered(fetched(mine, key("c"))).ok());
}

TEST_CASE_FIXTURE(fixture, "R21: cookies for a jar that is damaged meanwhile: their result becomes a dead "
                           "letter and no other object notices") {
  {
    runtime running(settings());
    value_of(someone(running).call<&surfer::set>(std::string(default_jar), std::string("a"), std::string("1"),
                                                 at("/")));
  }
  {
    runtime running(settings()); // without a class
    create_proxy_browser(running.queue(), {.return_address = {"SURFER", "me"}})
        .fetch(setting("a", {"a=2; Path=/"}).url)
        .then<&surfer::on_page>(std::string("a"), std::string(default_jar));
    REQUIRE(eventually([&running] { return running.stats().undeliverable == 1; }));
  }
  CHECK(disk(directory.path()).change('C', cut_in_half) == 1);
  runtime running(settings());
  auto me = someone(running);
  CHECK(eventually([&running] { return running.stats().dead_letters == 1; }));
  CHECK(surfer::handlers_run == 0);
  CHECK(value_of(me.call<&surfer::pages>()) == 0);
  CHECK(sent(someone(running, "you"), "b") == pairs{});
}

} // namespace dormouse::test::browser_test
