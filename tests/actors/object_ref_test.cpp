#include <dormouse/actors/durable_object.hpp>
#include <dormouse/actors/object_ref.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace dormouse::test::object_ref_test {

using namespace std::chrono_literals;

namespace {

/// Keeps what it is asked to deliver; the test is the object and replies by hand.
class fake_router final : public router {
public:
  struct delivery {
    address to;
    std::string_view method;
    std::string arguments;
    std::unique_ptr<reply_sink> sink;
    bool is_post;
    std::string key = {};
  };

  void call(const address& to, const method_descriptor& method, std::string arguments,
            std::unique_ptr<reply_sink> sink) override {
    deliveries.push_back({to, method.name, std::move(arguments), std::move(sink), false});
  }
  void call_once(const address& to, const method_descriptor& method, std::string arguments, std::string key,
                 std::unique_ptr<reply_sink> sink) override {
    deliveries.push_back({to, method.name, std::move(arguments), std::move(sink), false, std::move(key)});
  }
  void post(const address& to, const method_descriptor& method, std::string arguments,
            std::unique_ptr<reply_sink> sink) override {
    deliveries.push_back({to, method.name, std::move(arguments), std::move(sink), true});
  }

  std::vector<delivery> deliveries;
};

class counter : public durable_object {
public:
  std::uint64_t add(const std::string& name, std::uint64_t count) { return name.size() + count; }
  void reset() {}
  std::string name() const { return {}; }
  later<std::string> ask() { return fetch("https://example.com/").then<&counter::on_answer>(); }
  std::string on_answer(fetch_result) { return {}; }

  using methods = dormouse::methods<"COUNTER", method<"add", &counter::add>, method<"reset", &counter::reset>,
                                    method<"name", &counter::name>, method<"ask", &counter::ask>,
                                    method<"on_answer", &counter::on_answer>>;
};

struct to_counter {
  std::shared_ptr<fake_router> routes = std::make_shared<fake_router>();
  object_ref<counter> ref{routes, {"COUNTER", "me"}};

  fake_router::delivery& last() { return routes->deliveries.back(); }
};

template <class R> bool is_ready(const std::future<R>& future) {
  return future.wait_for(0s) == std::future_status::ready;
}

template <class R> error failure_of(std::future<R>& future) {
  try {
    future.get();
  } catch (const failure& f) {
    return f.what_failed();
  }
  FAIL("the future holds no failure");
  return {};
}

} // namespace

TEST_CASE("a call is delivered with the method's name and the parameters' own types") {
  to_counter c;
  CHECK(c.ref.where() == address{"COUNTER", "me"});
  CHECK(c.ref.routes() == c.routes);
  auto future = c.ref.call<&counter::add>("abc", 7); // neither is what the method takes
  REQUIRE(c.routes->deliveries.size() == 1);
  CHECK(c.last().to == address{"COUNTER", "me"});
  CHECK(c.last().method == "add");
  CHECK_FALSE(c.last().is_post);
  CHECK(c.last().arguments == encode(std::string("abc"), std::uint64_t{7}));

  auto none = c.ref.call<&counter::reset>();
  CHECK(c.last().method == "reset");
  CHECK(c.last().arguments.empty());
}

TEST_CASE("a call with an idempotency key is delivered with it, and one without as any other") {
  to_counter c;
  auto future = c.ref.with({.idempotency_key = "k"}).call<&counter::add>("abc", 7);
  REQUIRE(c.routes->deliveries.size() == 1);
  CHECK(c.last().method == "add");
  CHECK(c.last().arguments == encode(std::string("abc"), std::uint64_t{7}));
  CHECK(c.last().key == "k");
  c.last().sink->resolve(encode(std::uint64_t{42}));
  CHECK(future.get() == 42);

  expected<void> told = fail(errc::timeout, "not told");
  c.ref.with({.idempotency_key = "other"}).async_call<&counter::reset>([&](expected<void> what) {
    told = what;
  });
  CHECK(c.last().key == "other");
  c.last().sink->resolve(std::string());
  CHECK(told);

  (void)c.ref.with({}).call<&counter::reset>();
  CHECK(c.last().key.empty());
}

TEST_CASE("a future has the reply once there is one") {
  to_counter c;
  auto future = c.ref.call<&counter::add>("a", 1);
  CHECK_FALSE(is_ready(future));
  c.last().sink->resolve(encode(std::uint64_t{42}));
  REQUIRE(is_ready(future));
  CHECK(future.get() == 42);

  auto nothing = c.ref.call<&counter::reset>();
  static_assert(std::is_same_v<decltype(nothing), std::future<void>>);
  CHECK_FALSE(is_ready(nothing));
  c.last().sink->resolve(std::string());
  REQUIRE(is_ready(nothing));
  CHECK_NOTHROW(nothing.get());
}

TEST_CASE("R15: the caller of a method that replies later gets what the continuation returns") {
  to_counter c;
  auto future = c.ref.call<&counter::ask>();
  static_assert(std::is_same_v<decltype(future), std::future<std::string>>);
  c.last().sink->resolve(encode(std::string("at last")));
  CHECK(future.get() == "at last");
}

TEST_CASE("a future has the failure of the call") {
  for (auto code : {errc::handler_failed, errc::storage_error, errc::overloaded, errc::stopped}) {
    to_counter c;
    auto future = c.ref.call<&counter::add>("a", 1);
    c.last().sink->resolve(fail(code, "because"));
    CHECK(failure_of(future) == error{code, "because"});
    auto nothing = c.ref.call<&counter::reset>();
    c.last().sink->resolve(fail(code, "because"));
    CHECK(failure_of(nothing) == error{code, "because"});
  }
}

TEST_CASE("R21: reply bytes that do not decode are a failure") {
  to_counter c;
  for (const auto& bad : {std::string(), std::string(7, 'x'), std::string(9, 'x')}) {
    auto future = c.ref.call<&counter::add>("a", 1);
    c.last().sink->resolve(bad);
    CHECK(failure_of(future).code == errc::corrupt);
  }
}

TEST_CASE("a call that is dropped does not leave its future waiting") {
  to_counter c;
  auto future = c.ref.call<&counter::add>("a", 1);
  c.routes->deliveries.clear();
  REQUIRE(is_ready(future));
  CHECK_THROWS_AS(future.get(), std::future_error);
}

TEST_CASE("async_call hands the reply or the error to the handler once") {
  to_counter c;
  std::vector<expected<std::uint64_t>> seen;
  auto keep = [&seen](expected<std::uint64_t> reply) { seen.push_back(std::move(reply)); };
  c.ref.async_call<&counter::add>(keep, "abc", 7);
  CHECK(c.last().method == "add");
  CHECK(c.last().arguments == encode(std::string("abc"), std::uint64_t{7}));
  CHECK(seen.empty());
  c.last().sink->resolve(encode(std::uint64_t{5}));
  REQUIRE(seen.size() == 1);
  CHECK(seen[0] == std::uint64_t{5});

  c.ref.async_call<&counter::add>(keep, "", 0);
  c.last().sink->resolve(fail(errc::overloaded, "later"));
  REQUIRE(seen.size() == 2);
  REQUIRE_FALSE(seen[1]);
  CHECK(seen[1].error() == error{errc::overloaded, "later"});

  c.ref.async_call<&counter::add>(keep, "", 0);
  c.last().sink->resolve(std::string("xx"));
  REQUIRE(seen.size() == 3);
  REQUIRE_FALSE(seen[2]);
  CHECK(seen[2].error().code == errc::corrupt);

  std::optional<bool> done;
  c.ref.async_call<&counter::reset>([&done, owned = std::make_unique<int>(1)](const expected<void>& reply) {
    done = reply.has_value() && *owned == 1;
  });
  CHECK_FALSE(done);
  c.last().sink->resolve(std::string());
  CHECK(done == true);
}

TEST_CASE("post is ready when the message is stored and has no reply") {
  to_counter c;
  auto future = c.ref.post<&counter::add>("abc", 7);
  static_assert(std::is_same_v<decltype(future), std::future<void>>);
  CHECK(c.last().is_post);
  CHECK(c.last().method == "add");
  CHECK(c.last().arguments == encode(std::string("abc"), std::uint64_t{7}));
  CHECK_FALSE(is_ready(future));
  c.last().sink->resolve(std::string());
  REQUIRE(is_ready(future));
  CHECK_NOTHROW(future.get());

  auto refused = c.ref.post<&counter::reset>();
  c.last().sink->resolve(fail(errc::storage_error, "disk full"));
  CHECK(failure_of(refused) == error{errc::storage_error, "disk full"});
}

TEST_CASE("a reference keeps its router and copies are the same object") {
  to_counter c;
  std::weak_ptr<fake_router> watched = c.routes;
  auto copy = c.ref;
  CHECK(copy.where() == c.ref.where());
  auto future = copy.call<&counter::name>();
  CHECK(c.routes->deliveries.size() == 1);
  c = {};
  CHECK_FALSE(watched.expired());
  CHECK(copy.routes() == watched.lock());
}

} // namespace dormouse::test::object_ref_test
