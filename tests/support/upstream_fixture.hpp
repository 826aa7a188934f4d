#pragma once

/// What a test of the whole path begins with: an upstream, a directory, and options that let one reach the
/// other. Objects hibernate quickly, so that every result wakes one.

#include "fetcher.hpp"
#include "upstream/upstream_server.hpp"

#include <chrono>
#include <string>

namespace dormouse::test {

struct upstream_fixture {
  samples::upstream_server upstream;
  scratch_directory directory;

  upstream_fixture() {
    upstream.start();
    fetcher::refusals = 0;
    fetcher::continuations_run = 0;
    fetcher::turns_begun = 0;
  }

  options settings() const {
    return {.directory = directory.path(),
            .allow = {"127.0.0.1"},
            .idle_after = std::chrono::milliseconds(20),
            .proxy_workers = 1};
  }

  /// The object of most tests.
  static object_ref<fetcher> object(runtime& running, const std::string& id = "x") {
    running.define<fetcher>();
    return running.get<fetcher>(id);
  }

  std::string at(const std::string& target) const { return upstream.url() + target; }

  /// An order for the key `name`, kept under the same name.
  order key(const std::string& name, const std::string& parameters = "") const {
    return {.tag = name, .url = at("/k/" + name + "?" + parameters)};
  }
};

} // namespace dormouse::test
