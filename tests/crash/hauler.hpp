#pragma once

/// An object that moves bodies of megabytes both ways, one after the other, and remembers for each whether it
/// came back as it was. Every other object does it in a task, whose journal has the bodies until a new one
/// begins.

#include "upstream/sample_content.hpp"

#include <dormouse/dormouse.hpp>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace dormouse::test {

inline constexpr std::size_t hauler_count = 4;
inline constexpr std::uint64_t hauls_each = 50;

inline std::string hauler_id(std::size_t index) { return "h" + std::to_string(index); }

inline options haul_options(const std::filesystem::path& directory) {
  return {.directory = directory,
          .allow = {"127.0.0.1"},
          .idle_after = std::chrono::milliseconds(20),
          .proxy_workers = 2};
}

struct haul {
  std::uint32_t results = 0;
  bool right = false;

  template <class Archive> void serialize(Archive& ar) { ar(results, right); }
};

class hauler : public durable_object {
public:
  /// Only once in its life: `hauls_each` fetches.
  void begin(std::string upstream) {
    if (std::exchange(has_begun_, true)) return;
    if (instance_id().back() % 2 == 0)
      ask(std::move(upstream));
    else
      start<&hauler::carry>(upstream, std::uint64_t{1});
  }

  static task<void> carry(task_context<hauler> self, std::string upstream, std::uint64_t first) {
    const auto id = self.self_address().instance_id;
    for (auto number = first; number <= hauls_each; ++number) {
      if (number == first + 5) co_await self.continue_as<&hauler::carry>(upstream, number);
      auto init = patient();
      auto url = url_of(upstream, id, number);
      if (is_sent(number)) {
        init.method = "PUT";
        init.body = body_of(id, number);
      }
      auto fetching = self.fetch(url, std::move(init));
      auto page = co_await fetching;
      const bool right = page.ok() && page.text() == body_of(id, number);
      co_await self.call<&hauler::take>(number, right);
    }
  }
  void take(std::uint64_t number, bool right) {
    hauls_.resize(std::max<std::size_t>(hauls_.size(), number));
    ++hauls_.at(number - 1).results;
    hauls_.at(number - 1).right = right;
  }

  void on_body(fetch_result result, std::string upstream, std::uint64_t number) {
    auto& mine = hauls_.at(number - 1);
    ++mine.results;
    mine.right = result && result->ok() && result->text() == body_of(instance_id(), number);
    if (number < hauls_each) ask(std::move(upstream));
  }

  std::vector<haul> hauls() const { return hauls_; }

  template <class Archive> void serialize(Archive& ar) { ar(hauls_, has_begun_); }

  using methods =
      dormouse::methods<"HAULER", dormouse::method<"begin", &hauler::begin>,
                        dormouse::method<"on_body", &hauler::on_body>,
                        dormouse::method<"hauls", &hauler::hauls>, dormouse::method<"carry", &hauler::carry>,
                        dormouse::method<"take", &hauler::take>>;

private:
  static std::string key_of(const std::string& id, std::uint64_t number) {
    return id + "-" + std::to_string(number);
  }
  static std::uint64_t bytes_of(std::uint64_t number) {
    return (std::uint64_t{1} << 20U) * (1 + number % 3) + number;
  }
  static std::string body_of(const std::string& id, std::uint64_t number) {
    return samples::body_of(key_of(id, number), bytes_of(number));
  }
  static fetch_init patient() {
    return {.retry = {.max_retries = 100, .initial_delay = std::chrono::milliseconds(20)}};
  }

  /// The body goes out and comes back, or only comes.
  static bool is_sent(std::uint64_t number) { return number % 2 == 0; }
  static std::string url_of(const std::string& upstream, const std::string& id, std::uint64_t number) {
    return is_sent(number)
               ? upstream + "/echo"
               : upstream + "/k/" + key_of(id, number) + "?bytes=" + std::to_string(bytes_of(number));
  }

  void ask(std::string upstream) {
    hauls_.emplace_back();
    const std::uint64_t number = hauls_.size();
    auto init = patient();
    if (is_sent(number)) {
      init.method = "PUT";
      init.body = body_of(instance_id(), number);
    }
    fetch(url_of(upstream, instance_id(), number), std::move(init)).then<&hauler::on_body>(upstream, number);
  }

  std::vector<haul> hauls_;
  bool has_begun_ = false;
};

} // namespace dormouse::test
