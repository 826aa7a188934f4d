#include "host/limited_log.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <spdlog/logger.h>
#include <spdlog/sinks/ostream_sink.h>

#include <algorithm>
#include <chrono>
#include <sstream>
#include <string>

namespace dormouse::test::limited_log_test {

using namespace std::chrono_literals;

TEST_CASE("R24: a log line that repeats itself is written once a minute, with how often it was meant") {
  std::ostringstream written;
  auto sink = std::make_shared<spdlog::sinks::ostream_sink_mt>(written);
  sink->set_pattern("%v");
  limited_log log(std::make_shared<spdlog::logger>("test", sink));
  const auto start = limited_log::clock::now();
  for (int i = 0; i < 600; ++i) // twelve times a second
    log.error("queue", "the queue cannot be read", start + i * 83ms);
  log.warn("other", "something else", start + 50s);
  log.error("queue", "the queue cannot be read", start + 60s);
  log.error("queue", "the queue cannot be read", start + 61s);
  CHECK(written.str() == "the queue cannot be read\n"
                         "something else\n"
                         "the queue cannot be read (and 599 times more since the last line about this)\n");
}

TEST_CASE("R24: the memory of log lines that repeat themselves is bounded") {
  std::ostringstream written;
  auto sink = std::make_shared<spdlog::sinks::ostream_sink_mt>(written);
  sink->set_pattern("%v");
  limited_log log(std::make_shared<spdlog::logger>("test", sink));
  const auto start = limited_log::clock::now();
  for (int i = 0; i < 10'000; ++i)
    log.error(fmt::format("topic {}", i), fmt::format("line {}", i), start);
  const auto text = written.str();
  CHECK(std::count(text.begin(), text.end(), '\n') == 257);
}

} // namespace dormouse::test::limited_log_test
