// R25: what is on its way while storage fails.

#include "faulty_files.hpp"
#include "ports/ports.hpp"
#include "upstream_fixture.hpp"

#include <doctest/doctest.h>

#include <future>
#include <string>

namespace dormouse::test::fetches_test {

using namespace std::chrono_literals;

namespace {

struct fixture : upstream_fixture {
  std::shared_ptr<faulty_files> files = std::make_shared<faulty_files>();

  ports outside() const {
    return {.wrap_engine = faulty_files::under(files, directory.path()), .wrap_transport = {}};
  }
};

} // namespace

TEST_CASE_FIXTURE(fixture,
                  "R25 R8: a response that comes while storage fails is delivered when that is over, "
                  "and asked for once") {
  runtime running(settings(), outside());
  auto mine = object(running);
  value_of(mine.call<&fetcher::send>(key("slow", "delay_ms=300")));
  REQUIRE(eventually([this] { return upstream.hits("slow") == 1; }, 10s));
  files->fail({.what = fault::append, .how = failure_kind::no_space});
  CHECK(eventually([this] { return files->failed() >= 3; }, 10s)); // its commit, and the store's tries
  CHECK(value_of(mine.call<&fetcher::results>(std::string("slow"))).empty());
  files->heal();
  CHECK(answered(result_under(mine, "slow")).ok());
  CHECK(upstream.hits("slow") == 1);
}

TEST_CASE_FIXTURE(fixture, "R25 R11: a retry that cannot be written does not hammer the origin") {
  runtime running(settings(), outside());
  auto mine = object(running);
  auto failing = key("failing", "fail_first=2&delay_ms=100");
  failing.max_retries = 5;
  value_of(mine.call<&fetcher::send>(failing));
  REQUIRE(eventually([this] { return upstream.hits("failing") == 1; }, 10s));
  files->fail({.what = fault::append, .how = failure_kind::io_error});
  CHECK(eventually([this] { return files->failed() >= 6; }, 10s)); // some tries of the store long
  CHECK(upstream.hits("failing") <= 2);
  files->heal();
  CHECK(answered(result_under(mine, "failing")).ok());
}

TEST_CASE_FIXTURE(fixture,
                  "R25 R20: a runtime with a response in hand stops while storage fails, and the next "
                  "one asks again") {
  {
    runtime running(settings(), outside());
    auto mine = object(running);
    value_of(mine.call<&fetcher::send>(key("slow", "delay_ms=200")));
    REQUIRE(eventually([this] { return upstream.hits("slow") == 1; }, 10s));
    files->fail({.how = failure_kind::no_space});
    CHECK(eventually([this] { return files->failed() >= 3; }, 10s));
    auto ended = std::async(std::launch::async, [&running] { running.stop(); });
    CHECK(ended.wait_for(10s) == std::future_status::ready);
  }
  files->heal();
  runtime running(settings(), outside());
  CHECK(answered(result_under(object(running), "slow")).ok());
}

} // namespace dormouse::test::fetches_test
