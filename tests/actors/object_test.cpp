#include <dormouse/actors/class_descriptor.hpp>
#include <dormouse/actors/durable_object.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace dormouse::test::object_test {

using namespace std::chrono_literals;
using namespace std::string_literals;
using namespace std::string_view_literals;

namespace {

/// One turn, kept to look at.
class fake_turn final : public turn_host {
public:
  explicit fake_turn(address self) : self_(std::move(self)) {}

  expected<std::size_t> enqueue(fetch_message&& fetch) override {
    if (refuse) return unexpected<error>(*refuse);
    taken.push_back(std::move(fetch));
    return taken.size() - 1;
  }
  std::chrono::milliseconds default_timeout() const override { return 30s; }
  std::chrono::system_clock::time_point now() const override {
    return std::chrono::system_clock::time_point(1'000s);
  }
  std::uint64_t tasks_started = 0;
  const address& self() const override { return self_; }
  expected<std::size_t> enqueue_call(const address& to, call_message&& what) override {
    calls.emplace_back(to, std::move(what));
    return 2 * (calls.size() - 1) + 1;
  }
  expected<taken_call> enqueue_call(const address& to, call_message&& what,
                                    std::chrono::milliseconds within) override {
    limits.push_back(within);
    return enqueue_call(to, std::move(what)).map([this](std::size_t place) {
      return taken_call{place, {limits.size()}};
    });
  }
  expected<bool> cancel_call(const call_id& which) override {
    return which.number != 0 && which.number <= limits.size();
  }
  expected<void> abort(const abort_id& id, std::string reason) override {
    aborts.emplace_back(id, std::move(reason));
    return {};
  }
  expected<bool> aborted(const abort_id& id) override {
    return std::any_of(aborts.begin(), aborts.end(), [&](const auto& each) { return each.first == id; });
  }
  expected<schedule_id> enqueue_schedule(schedule_message&& what) override {
    if (refuse) return unexpected<error>(*refuse);
    what.id.number = scheduled.size() + 1;
    scheduled.push_back(std::move(what));
    return scheduled.back().id;
  }
  expected<bool> cancel_schedule(const schedule_id& which) override {
    return std::erase_if(scheduled, [&](const auto& each) {
             return each.id.name == which.name && (which.number == 0 || each.id.number == which.number);
           }) != 0;
  }
  expected<std::vector<schedule_message>> schedules(std::size_t limit) override {
    return std::vector(scheduled.begin(),
                       scheduled.begin() + static_cast<std::ptrdiff_t>(std::min(limit, scheduled.size())));
  }
  std::optional<std::chrono::system_clock::time_point> tick() const override { return std::nullopt; }
  cookie_jar* jar(const std::string& name) override { return &jars[name]; }
  const cookie_jar& peek_jar(const std::string& name) override { return jars[name]; }
  void hibernate() override { ++hibernations; }
  expected<task_id> start_task(std::string_view, std::string) override {
    return task_id{self(), ++tasks_started};
  }
  expected<void> destroy() override {
    ++destructions;
    return {};
  }
  expected<void> block_until_ready(std::chrono::milliseconds) override { return {}; }
  void ready() override {}
  expected<std::optional<std::string>> get_row(std::string_view key) override {
    auto found = rows.find(key);
    return found == rows.end() ? std::nullopt : std::optional(found->second);
  }
  expected<void> put_rows(std::vector<storage_row>&& given) override {
    if (refuse) return unexpected<error>(*refuse);
    for (auto& row : given)
      rows.insert_or_assign(std::move(row.key), std::move(row.value));
    return {};
  }
  expected<std::size_t> erase_rows(const std::vector<std::string>& keys) override {
    std::size_t erased = 0;
    for (const auto& key : keys)
      erased += rows.erase(key);
    return erased;
  }
  expected<std::vector<storage_row>> list_rows(const storage_list_options& which) override {
    listed = which;
    std::vector<storage_row> all;
    for (const auto& [key, value] : rows)
      all.push_back({key, value});
    return all;
  }
  expected<void> erase_all_rows() override {
    rows.clear();
    return {};
  }

  std::map<std::string, std::string, std::less<>> rows;
  storage_list_options listed;
  std::vector<fetch_message> taken;
  std::vector<std::pair<address, call_message>> calls;
  std::vector<std::chrono::milliseconds> limits; ///< of those that have one
  std::vector<schedule_message> scheduled;
  std::vector<std::pair<abort_id, std::string>> aborts;
  std::map<std::string, cookie_jar> jars;
  std::optional<error> refuse;
  int hibernations = 0;
  int destructions = 0;

private:
  address self_;
};

struct point {
  int x = 0;
  int y = 0;
  friend bool operator==(const point&, const point&) = default;
  template <class Archive> void serialize(Archive& ar) { ar(x, y); }
};

class watch : public durable_object {
public:
  void refresh(const std::string& repo) {
    fetch("https://api.example/repos/" + repo, {.headers = {{"Accept", "application/json"}}, .timeout = 5s})
        .then<&watch::on_repo>(repo, 7);
  }
  later<std::string> ask(int which) {
    auto first = fetch("https://one.example/").then<&watch::on_number>();
    static_assert(std::is_same_v<decltype(first), later<std::uint64_t>>);
    auto second = fetch("https://two.example/").then<&watch::on_text>();
    auto third = fetch("https://three.example/").then<&watch::on_text>();
    return which == 2 ? second : third;
  }
  later<void> ask_nothing() { return fetch("https://nothing.example/").then<&watch::on_plain>(); }
  // A hop: what the continuation of the continuation returns is what the caller of this one gets.
  later<std::string> ask_twice() {
    auto reply = fetch("https://hop.example/").then<&watch::on_hop>();
    static_assert(std::is_same_v<decltype(reply), later<std::string>>);
    return reply;
  }
  later<std::string> on_hop(fetch_result) { return fetch("https://next.example/").then<&watch::on_text>(); }
  later<std::string> on_last_hop(fetch_result result) {
    if (!result) return result.error().message;
    return fetch("https://next.example/").then<&watch::on_text>();
  }
  later<std::uint64_t> count(std::uint64_t number) {
    return number;
  } // no slot, though it has the type of one
  later<void> maybe_nothing(int which) {
    if (which == 0) return {};
    return ask_nothing();
  }

  void on_repo(fetch_result result, std::string repo, std::uint64_t count) {
    last_ = repo + " " + std::to_string(count) + " " + (result ? result->text() : result.error().message);
  }
  std::uint64_t on_number(const fetch_result& result) { return result->status(); }
  std::string on_text(fetch_result result) { return std::move(*result).text(); }
  void on_plain(fetch_result) {}

  void with_request() {
    request what{"https://example.com/", {.method = "POST", .body = "own", .timeout = 3s}};
    fetch(what).then<&watch::on_plain>();
    fetch(what, {.method = "PUT", .timeout = 4s}).then<&watch::on_plain>();
    fetch(what, {}).then<&watch::on_plain>();
  }
  void with_proxy() {
    auto slow = create_proxy_fetch(queue(), {.return_address = self_address(), .timeout = 5min});
    slow("https://example.com/default").then<&watch::on_plain>();
    slow("https://example.com/own", {.method = "PUT", .timeout = 1s}).then<&watch::on_plain>();
    slow(request{"https://example.com/request", {.method = "DELETE"}}).then<&watch::on_plain>();
    slow(request{"https://example.com/request", {.method = "DELETE", .timeout = 2s}}, {.method = "POST"})
        .then<&watch::on_plain>();
    create_proxy_fetch(queue(), {.return_address = {"WATCH", "another"}})("https://example.com/")
        .then<&watch::on_plain>();
  }
  void return_to(const address& to) {
    create_proxy_fetch(queue(), {.return_address = to})("https://example.com/").then<&watch::on_plain>();
  }
  void twice() {
    auto asked = fetch("https://example.com/");
    asked.then<&watch::on_repo>("a", 1);
    asked.then<&watch::on_plain>();
  }
  // What is in the message is the string that the caller gave, or a copy of it.
  void with_body(bool named) {
    std::string text(100'000, 'x');
    given_ = text.data();
    auto described = fetch("https://example.com/", {.method = "POST", .body = std::move(text)});
    if (named)
      described.then<&watch::on_plain>();
    else
      std::move(described).then<&watch::on_plain>();
  }
  const char* given() const noexcept { return given_; }
  void bad_url() { fetch("ftp://example.com/").then<&watch::on_plain>(); }
  void sleep_now() { hibernate(); }

  std::uint64_t stars(const std::string& repo) const { return repo.size(); }
  std::string where() const {
    return self_address().binding + "/" + instance_id() + " at " +
           std::to_string(now().time_since_epoch() / 1s);
  }
  const point& moved(point by, const std::vector<int>& more, std::optional<std::string> name) noexcept {
    at_.x += by.x + static_cast<int>(more.size());
    at_.y += by.y;
    last_ = name.value_or("nobody");
    return at_;
  }
  void boom() { throw std::runtime_error("boom"); }

  const std::string& last() const { return last_; }

  template <class Archive> void serialize(Archive& ar) { ar(last_, at_); }

  using methods =
      dormouse::methods<"WATCH", method<"refresh", &watch::refresh>, method<"ask", &watch::ask>,
                        method<"ask_nothing", &watch::ask_nothing>, method<"ask_twice", &watch::ask_twice>,
                        method<"on_hop", &watch::on_hop>, method<"on_last_hop", &watch::on_last_hop>,
                        method<"count", &watch::count>, method<"maybe_nothing", &watch::maybe_nothing>,
                        method<"repo", &watch::on_repo>, method<"on_number", &watch::on_number>,
                        method<"on_text", &watch::on_text>, method<"on_plain", &watch::on_plain>,
                        method<"with_request", &watch::with_request>,
                        method<"with_proxy", &watch::with_proxy>, method<"return_to", &watch::return_to>,
                        method<"twice", &watch::twice>, method<"bad_url", &watch::bad_url>,
                        method<"sleep_now", &watch::sleep_now>, method<"stars", &watch::stars>,
                        method<"where", &watch::where>, method<"moved", &watch::moved>,
                        method<"boom", &watch::boom>, method<"with_body", &watch::with_body>>;

private:
  std::string last_;
  point at_;
  const char* given_ = nullptr;
};

class stateless : public durable_object {
public:
  using methods = dormouse::methods<"STATELESS">;
};

class with_create : public durable_object {
public:
  void on_create() override {}
  using methods = dormouse::methods<"WITH_CREATE">;
};

class with_private_wake : public durable_object {
public:
  using methods = dormouse::methods<"WITH_WAKE">;

private:
  void on_wake() override {}
};

class inherits_both : public with_create {
public:
  void on_wake() override {}
  using methods = dormouse::methods<"INHERITS">;
};

class uses_host_too_early : public durable_object {
public:
  uses_host_too_early() { early_ = instance_id(); }
  template <class Archive> void serialize(Archive& ar) { ar(early_); }
  using methods = dormouse::methods<"EARLY">;

private:
  std::string early_;
};

/// A `watch` in a turn.
struct in_turn {
  fake_turn turn{{"WATCH", "me"}};
  watch object;

  in_turn() { object_access::enter(object, &turn); }

  template <auto Method, class... Args> invocation run(const Args&... args) {
    auto bytes = encode(args...);
    invocation call{.arguments = bytes};
    describe_method<watch, Method>().invoke(object, call);
    call.arguments = {};
    return call;
  }

  template <auto Method, class... Context> invocation answer(fetch_result result, const Context&... context) {
    auto bytes = encode(context...);
    invocation call{.arguments = bytes, .result = &result};
    describe_method<watch, Method>().invoke(object, call);
    call.arguments = {};
    call.result = nullptr;
    return call;
  }
};

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

template <class Body> error failure_of(Body body) {
  try {
    body();
  } catch (const failure& f) {
    return f.what_failed();
  }
  FAIL("no failure was thrown");
  return {};
}

} // namespace

TEST_CASE("a fetch of a turn carries what was asked and where its result returns to") {
  in_turn t;
  t.run<&watch::refresh>(std::string("caf"));
  REQUIRE(t.turn.taken.size() == 1);
  const auto& fetch = t.turn.taken[0];
  CHECK(fetch.url == "https://api.example/repos/caf");
  CHECK(fetch.method == "GET");
  CHECK(fetch.headers == headers{{"Accept", "application/json"}});
  CHECK(fetch.timeout_ms == 5'000);
  CHECK(fetch.created_ms == 1'000'000);

  REQUIRE(fetch.path.size() == 1);
  const auto& top = *fetch.path.top();
  CHECK(top.object == address{"WATCH", "me"});
  CHECK(top.method == "repo"); // the wire name, not the name in C++
  // The context has the parameters' own types: the int that the caller had is stored as the uint64 that the
  // method takes.
  auto context = decode<std::tuple<std::string, std::uint64_t>>(top.context);
  REQUIRE(context);
  CHECK(*context == std::tuple<std::string, std::uint64_t>{"caf", 7});
}

TEST_CASE("a continuation gets the result and its context") {
  in_turn t;
  t.run<&watch::refresh>(std::string("caf"));
  REQUIRE(t.turn.taken.size() == 1);
  auto top = t.turn.taken[0].path.pop();
  REQUIRE(top);
  const auto* method = describe<watch>().find(top->method);
  REQUIRE(method != nullptr);
  CHECK(method->takes_result);

  fetch_result answered = response(200, {}, "42");
  invocation call{.arguments = top->context, .result = &answered};
  method->invoke(t.object, call);
  CHECK(t.object.last() == "caf 7 42");

  t.answer<&watch::on_repo>(unexpected<fetch_error>({fetch_errc::timeout, "too late", sent_state::maybe, 4}),
                            std::string("x"), std::uint64_t{1});
  CHECK(t.object.last() == "x 1 too late");
}

TEST_CASE("R15: a later holds the slot of the fetch that the reply hangs on") {
  for (int which : {2, 3}) {
    in_turn t;
    auto call = t.run<&watch::ask>(which);
    CHECK(t.turn.taken.size() == 3);
    REQUIRE(call.reply_slot);
    CHECK(*call.reply_slot == static_cast<std::size_t>(which - 1));
    CHECK(call.reply.empty());
  }
  in_turn t;
  auto nothing = t.run<&watch::ask_nothing>();
  CHECK(nothing.reply_slot == std::size_t{0});
}

TEST_CASE("R15: a continuation may itself reply later") {
  in_turn t;
  auto asked = t.run<&watch::ask_twice>();
  CHECK(asked.reply_slot == std::size_t{0});
  auto hop = t.answer<&watch::on_hop>(response(200, {}, ""));
  CHECK(hop.reply_slot == std::size_t{1});
  auto last = t.answer<&watch::on_text>(response(200, {}, "at last"));
  CHECK_FALSE(last.reply_slot);
  CHECK(decode<std::string>(last.reply) == "at last");
}

TEST_CASE("R15: a method that may reply later may also reply at once") {
  in_turn t;
  auto failed = t.answer<&watch::on_last_hop>(
      unexpected<fetch_error>({fetch_errc::timeout, "too late", sent_state::maybe, 4}));
  CHECK_FALSE(failed.reply_slot);
  CHECK(decode<std::string>(failed.reply) == "too late");
  CHECK(t.turn.taken.empty());
  auto went_on = t.answer<&watch::on_last_hop>(response(200, {}, ""));
  CHECK(went_on.reply_slot == std::size_t{0});
  CHECK(went_on.reply.empty());

  auto counted = t.run<&watch::count>(std::uint64_t{7});
  CHECK_FALSE(counted.reply_slot);
  CHECK(decode<std::uint64_t>(counted.reply) == 7);

  auto nothing = t.run<&watch::maybe_nothing>(0);
  CHECK_FALSE(nothing.reply_slot);
  CHECK(nothing.reply.empty());
  CHECK(t.run<&watch::maybe_nothing>(1).reply_slot == std::size_t{1});
}

TEST_CASE("a method that replies at once has no slot") {
  in_turn t;
  CHECK_FALSE(t.run<&watch::refresh>(std::string("x")).reply_slot);
  CHECK_FALSE(t.run<&watch::stars>(std::string("x")).reply_slot);
}

TEST_CASE("a fetch of a request keeps the request's settings but for those that are given") {
  in_turn t;
  t.run<&watch::with_request>();
  REQUIRE(t.turn.taken.size() == 3);
  CHECK(t.turn.taken[0].method == "POST");
  CHECK(t.turn.taken[0].body == "own");
  CHECK(t.turn.taken[0].timeout_ms == 3'000);
  CHECK(t.turn.taken[1].method == "PUT");
  CHECK(t.turn.taken[1].body == "own");
  CHECK(t.turn.taken[1].headers == headers{{"Content-Type", "text/plain;charset=UTF-8"}});
  CHECK(t.turn.taken[1].timeout_ms == 4'000);
  CHECK(t.turn.taken[2].method == "POST");
  CHECK(t.turn.taken[2].body == "own");
  CHECK(t.turn.taken[2].timeout_ms == 3'000);
}

TEST_CASE("a proxy fetch has fetch's shape and its own time limit and return address") {
  in_turn t;
  t.run<&watch::with_proxy>();
  REQUIRE(t.turn.taken.size() == 5);
  CHECK(t.turn.taken[0].timeout_ms == 300'000);
  CHECK(t.turn.taken[0].path.top()->object == address{"WATCH", "me"});
  CHECK(t.turn.taken[1].timeout_ms == 1'000);
  CHECK(t.turn.taken[1].method == "PUT");
  CHECK(t.turn.taken[2].timeout_ms == 300'000);
  CHECK(t.turn.taken[2].method == "DELETE");
  CHECK(t.turn.taken[3].timeout_ms == 2'000);
  CHECK(t.turn.taken[3].method == "POST");
  CHECK(t.turn.taken[4].timeout_ms == 30'000);
  CHECK(t.turn.taken[4].path.top()->object == address{"WATCH", "another"});
}

TEST_CASE("a return address is checked before the fetch is queued") {
  in_turn t;
  auto other_class = failure_of([&] { t.run<&watch::return_to>(address{"OTHER", "me"}); });
  CHECK(other_class.code == errc::unknown_method);
  CHECK(contains(other_class.message, "WATCH.on_plain"));
  CHECK(contains(other_class.message, "OTHER/me"));
  CHECK(failure_of([&] {
          t.run<&watch::return_to>(address{"WATCH", ""});
        }).code == errc::invalid_instance_id);
  CHECK(failure_of([&] { t.run<&watch::return_to>(address{"W-H", "me"}); }).code == errc::invalid_binding);
  CHECK(failure_of([&] {
          t.run<&watch::return_to>(address{"WATCH", std::string(1025, 'a')});
        }).code == errc::invalid_instance_id);
  CHECK(t.turn.taken.empty());
}

TEST_CASE("a described fetch given two continuations is two fetches") {
  in_turn t;
  t.run<&watch::twice>();
  REQUIRE(t.turn.taken.size() == 2);
  CHECK(t.turn.taken[0].url == t.turn.taken[1].url);
  CHECK(t.turn.taken[0].path.size() == 1);
  CHECK(t.turn.taken[0].path.top()->method == "repo");
  CHECK(t.turn.taken[1].path.size() == 1);
  CHECK(t.turn.taken[1].path.top()->method == "on_plain");
  CHECK(t.turn.taken[1].path.top()->context.empty());
}

TEST_CASE("a body is moved into the fetch of an expression, and copied for one that has a name") {
  in_turn t;
  for (const bool named : {false, true}) {
    CAPTURE(named);
    t.run<&watch::with_body>(named);
    const auto& body = t.turn.taken.back().body;
    CHECK(body == std::string(100'000, 'x'));
    CHECK((body.data() == t.object.given()) == !named);
  }
}

TEST_CASE("R12: a limit of the queue is a named error at the call") {
  for (auto code : {errc::too_large, errc::queue_full, errc::blocked}) {
    in_turn t;
    t.turn.refuse = error{code, "the limit is 5; see options::five"};
    auto refused = failure_of([&] { t.run<&watch::refresh>(std::string("x")); });
    CHECK(refused == *t.turn.refuse);
  }
  in_turn t;
  auto refused = failure_of([&] { t.run<&watch::bad_url>(); });
  CHECK(refused.code == errc::blocked);
  CHECK(t.turn.taken.empty());
}

TEST_CASE("an object sees its turn and nothing outside of one") {
  in_turn t;
  CHECK(decode<std::string>(t.run<&watch::where>().reply) == "WATCH/me at 1000");
  t.run<&watch::sleep_now>();
  CHECK(t.turn.hibernations == 1);

  object_access::enter(t.object, nullptr);
  auto repo = std::string("x");
  for (auto code : {failure_of([&] { t.run<&watch::refresh>(repo); }).code,
                    failure_of([&] { t.run<&watch::with_proxy>(); }).code,
                    failure_of([&] { t.run<&watch::where>(); }).code,
                    failure_of([&] { t.run<&watch::sleep_now>(); }).code})
    CHECK(code == errc::invalid_request);
  CHECK(t.turn.taken.empty());
  CHECK(t.turn.hibernations == 1);

  auto early = failure_of([] { describe<uses_host_too_early>().make(); });
  CHECK(early.code == errc::invalid_request);
  CHECK(contains(early.message, "constructor"));
}

TEST_CASE("a class descriptor has every registered method with its wire name and constness") {
  const auto& about = describe<watch>();
  CHECK(about.binding == "WATCH");
  CHECK(about.method_count == 23);
  struct row {
    std::string_view name;
    bool read_only;
    bool takes_result;
  };
  for (const auto& at : {row{"refresh", false, false},
                         {"ask", false, false},
                         {"repo", false, true},
                         {"on_number", false, true},
                         {"on_hop", false, true},
                         {"stars", true, false},
                         {"where", true, false},
                         {"moved", false, false}}) {
    CAPTURE(at.name);
    const auto* found = about.find(at.name);
    REQUIRE(found != nullptr);
    CHECK(found->name == at.name);
    CHECK(found->read_only == at.read_only);
    CHECK(found->takes_result == at.takes_result);
  }
  for (auto none : {""sv, "on_repo"sv, "refres"sv, "refresh "sv, "REFRESH"sv, "last"sv}) {
    CAPTURE(none);
    CHECK(about.find(none) == nullptr);
  }
  CHECK(&describe_method<watch, &watch::on_repo>() == about.find("repo"));
  CHECK(&describe_method<watch, &watch::stars>() == about.find("stars"));

  CHECK(describe<stateless>().binding == "STATELESS");
  CHECK(describe<stateless>().method_count == 0);
  CHECK(describe<stateless>().find("refresh") == nullptr);
  // It is one object for the whole program: tables of classes may keep its address.
  CHECK(&describe<watch>() == &about);
  static_assert(describe<watch>().binding == "WATCH");
}

TEST_CASE("R2: a descriptor says which of the two hooks a class has") {
  CHECK_FALSE(describe<watch>().has_on_create);
  CHECK_FALSE(describe<watch>().has_on_wake);
  CHECK(describe<with_create>().has_on_create);
  CHECK_FALSE(describe<with_create>().has_on_wake);
  CHECK_FALSE(describe<with_private_wake>().has_on_create);
  CHECK(describe<with_private_wake>().has_on_wake);
  CHECK(describe<inherits_both>().has_on_create);
  CHECK(describe<inherits_both>().has_on_wake);
}

TEST_CASE("a method is called with its arguments and its reply is encoded") {
  in_turn t;
  auto call = t.run<&watch::moved>(point{1, 2}, std::vector<int>{7, 7, 7}, std::optional<std::string>("me"));
  CHECK(decode<point>(call.reply) == point{4, 2});
  CHECK(t.object.last() == "me");
  CHECK(decode<std::uint64_t>(t.run<&watch::stars>(std::string("four")).reply) == 4);
  CHECK(t.run<&watch::refresh>(std::string("x")).reply.empty());
  CHECK(decode<std::uint64_t>(t.answer<&watch::on_number>(response(201, {}, "")).reply) == 201);
}

TEST_CASE("a result can also be an argument like any other value") {
  in_turn t;
  t.run<&watch::on_repo>(fetch_result(response(200, {}, "text")), std::string("r"), std::uint64_t{3});
  CHECK(t.object.last() == "r 3 text");
}

TEST_CASE("R21: argument bytes that do not decode never enter the method") {
  in_turn t;
  t.run<&watch::moved>(point{}, std::vector<int>{}, std::optional<std::string>("before"));
  auto good = encode(point{1, 2}, std::vector<int>{7}, std::optional<std::string>("after"));
  auto call_with = [&t](std::string_view bytes) {
    invocation call{.arguments = bytes};
    describe_method<watch, &watch::moved>().invoke(t.object, call);
  };
  for (std::size_t size = 0; size < good.size(); ++size) {
    CAPTURE(size);
    auto refused = failure_of([&] { call_with(std::string_view(good).substr(0, size)); });
    CHECK(refused.code == errc::bad_arguments);
    CHECK(contains(refused.message, "do not decode"));
  }
  CHECK(failure_of([&] { call_with(good + "x"); }).code == errc::bad_arguments);
  CHECK(contains(failure_of([&] { call_with(good + "x"); }).message, "trailing"));
  CHECK(t.object.last() == "before");
  call_with(good);
  CHECK(t.object.last() == "after");

  // A method without parameters takes no bytes, a continuation no context but its own.
  CHECK(failure_of([&] { t.run<&watch::where>(1); }).code == errc::bad_arguments);
  CHECK(failure_of([&] { t.answer<&watch::on_plain>(response(), 1); }).code == errc::bad_arguments);
  CHECK(failure_of([&] { t.answer<&watch::on_repo>(response(), std::string("x")); }).code ==
        errc::bad_arguments);
  CHECK(t.object.last() == "after");
}

TEST_CASE("a result for a method that takes none is refused") {
  in_turn t;
  auto refused = failure_of([&] {
    t.answer<&watch::moved>(response(), point{}, std::vector<int>{}, std::optional<std::string>());
  });
  CHECK(refused.code == errc::bad_arguments);
  CHECK(contains(refused.message, "fetch_result"));
}

TEST_CASE("what a method throws passes through") {
  in_turn t;
  CHECK_THROWS_WITH_AS(t.run<&watch::boom>(), "boom", std::runtime_error);
}

TEST_CASE("the state of an object comes back from its bytes") {
  in_turn t;
  t.run<&watch::moved>(point{3, 4}, std::vector<int>{}, std::optional<std::string>("kept"));
  std::string state;
  describe<watch>().save(t.object, state);
  CHECK(state == encode(std::string("kept"), point{3, 4}));

  auto back = describe<watch>().make();
  describe<watch>().load(*back, state, 0);
  CHECK(dynamic_cast<watch&>(*back).last() == "kept");
  std::string again;
  describe<watch>().save(*back, again);
  CHECK(again == state);

  std::string none;
  auto nobody = describe<stateless>().make();
  describe<stateless>().save(*nobody, none);
  CHECK(none.empty());
  CHECK_NOTHROW(describe<stateless>().load(*nobody, "", 0));
}

TEST_CASE("R21: state bytes that do not decode are refused") {
  in_turn t;
  t.run<&watch::moved>(point{3, 4}, std::vector<int>{}, std::optional<std::string>("kept"));
  std::string state;
  describe<watch>().save(t.object, state);
  for (std::size_t size = 0; size < state.size(); ++size) {
    CAPTURE(size);
    auto fresh = describe<watch>().make();
    CHECK_THROWS(describe<watch>().load(*fresh, std::string_view(state).substr(0, size), 0));
  }
  auto fresh = describe<watch>().make();
  CHECK_THROWS(describe<watch>().load(*fresh, state + '\0', 0));
  auto nobody = describe<stateless>().make();
  CHECK_THROWS(describe<stateless>().load(*nobody, "x", 0));
}

TEST_CASE("storage: a row comes back as the type it was put as") {
  in_turn t;
  dormouse::storage rows(t.turn);
  rows.put("point", point{1, 2});
  rows.put("literal", "text");
  rows.put("view", "view"sv);
  rows.put("string", "string"s);
  rows.put(std::map<std::string, int>{{"one", 1}, {"two", 2}});
  rows.put(std::vector<std::pair<std::string_view, const char*>>{{"pair", "of text"}});
  CHECK(t.turn.rows.at("point") == encode(point{1, 2}));
  CHECK(rows.get<point>("point") == point{1, 2});
  CHECK(rows.get<std::string>("literal") == "text");
  CHECK(rows.get<std::string>("view") == "view");
  CHECK(rows.get<std::string>("string") == "string");
  CHECK(rows.get<std::string>("pair") == "of text");
  CHECK_FALSE(rows.get<int>("none"));

  const std::map<std::string, int> both{{"one", 1}, {"two", 2}};
  CHECK(rows.get<int>({"one", "two", "three"}) == both);
  CHECK(rows.get<int>(std::vector<std::string>{"two", "one"}) == both);
  CHECK(rows.get<int>({"one"}).size() == 1);

  CHECK(rows.erase("point"));
  CHECK_FALSE(rows.erase("point"));
  CHECK(rows.erase({"literal", "view", "none"}) == 2);
  CHECK(rows.erase(std::vector<std::string>{"string", "pair"}) == 2);
  CHECK(rows.list<int>({.prefix = "p", .start = "s", .end = "e", .limit = 7, .reverse = true}) ==
        std::vector<std::pair<std::string, int>>{{"one", 1}, {"two", 2}});
  CHECK(t.turn.listed.prefix == "p");
  CHECK(t.turn.listed.start == "s");
  CHECK(t.turn.listed.end == "e");
  CHECK(t.turn.listed.limit == 7);
  CHECK(t.turn.listed.reverse);
  rows.erase_all();
  CHECK(t.turn.rows.empty());
}

TEST_CASE("R21: storage: a row that is not of the type asked for is corrupt, by name") {
  in_turn t;
  dormouse::storage rows(t.turn);
  rows.put("a\n\xff", "text");
  for (const auto& why :
       {failure_of([&] { rows.get<int>("a\n\xff"); }), failure_of([&] { rows.get<int>({"a\n\xff"}); }),
        failure_of([&] { rows.list<int>(); })}) {
    CHECK(why.code == errc::corrupt);
    CHECK(contains(why.message, "'a\\x0a\\xff'"));
    CHECK(contains(why.message, "WATCH/me"));
  }
  CHECK(contains(name_of_row({"A", "b"}, std::string(101, 'x')), std::string(100, 'x') + "...'"));
}

TEST_CASE("storage: a limit of the host is a named error at the call") {
  in_turn t;
  t.turn.refuse = error{errc::too_large, "the limit is 5; see options::five"};
  CHECK(failure_of([&] { dormouse::storage(t.turn).put("key", 1); }) == *t.turn.refuse);
}

} // namespace dormouse::test::object_test
