#pragma once

/// An object that moves bodies of megabytes both ways, one after the other, and remembers for each whether it came back as it was.

#include "upstream/sample_content.hpp"

#include <dormouse/dormouse.hpp>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace dormouse::test {

inline constexpr std::size_t hauler_count = 4;
inline constexpr std::uint64_t hauls_each = 50;

inline std::string hauler_id(std::size_t index) {
  return "h" + std::to_string(index);
}

inline options haul_options(const std::filesystem::path& directory) {
  return {.directory = directory, .allow = {"127.0.0.1"}, .idle_after = std::chrono::milliseconds(20), .proxy_workers = 2};
}

struct haul {
  std::uint32_t results = 0;
  bool right = false;

  template <class Archive>
  void serialize(Archive& ar) {
    ar(results, right);
  }
};

class hauler : public durable_object {
public:
  /// Only once in its life: `hauls_each` fetches.
  void begin(std::string upstream) {
    if (hauls_.empty())
      ask(std::move(upstream));
  }

  void on_body(fetch_result result, std::string upstream, std::uint64_t number) {
    auto& mine = hauls_.at(number - 1);
    ++mine.results;
    mine.right = result && result->ok() && result->text() == body_of(number);
    if (number < hauls_each)
      ask(std::move(upstream));
  }

  std::vector<haul> hauls() const { return hauls_; }

  template <class Archive>
  void serialize(Archive& ar) {
    ar(hauls_);
  }

  using methods = dormouse::methods<"HAULER", dormouse::method<"begin", &hauler::begin>, dormouse::method<"on_body", &hauler::on_body>,
      dormouse::method<"hauls", &hauler::hauls>>;

private:
  std::string key_of(std::uint64_t number) const { return instance_id() + "-" + std::to_string(number); }
  std::string body_of(std::uint64_t number) const { return samples::body_of(key_of(number), (std::uint64_t{1} << 20U) * (1 + number % 3) + number); }

  /// The body goes out and comes back, or only comes.
  void ask(std::string upstream) {
    hauls_.emplace_back();
    const std::uint64_t number = hauls_.size();
    const auto body = body_of(number);
    const fetch_init patient{.retry = {.max_retries = 100, .initial_delay = std::chrono::milliseconds(20)}};
    if (number % 2 == 0) {
      auto init = patient;
      init.method = "PUT";
      init.body = body;
      fetch(upstream + "/echo", std::move(init)).then<&hauler::on_body>(upstream, number);
    } else {
      fetch(upstream + "/k/" + key_of(number) + "?bytes=" + std::to_string(body.size()), patient).then<&hauler::on_body>(upstream, number);
    }
  }

  std::vector<haul> hauls_;
};

} // namespace dormouse::test
