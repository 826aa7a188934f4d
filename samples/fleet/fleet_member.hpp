#pragma once

/// The durable object of this sample: asks one question, sleeps, keeps the answer.

#include <dormouse/dormouse.hpp>

#include <cstdint>
#include <string>
#include <utility>

namespace fleet {

/// All that an object knows, from its own storage: the evidence that the run is judged by.
struct fleet_record {
  std::uint64_t fetches = 0; ///< requests it made
  std::uint64_t results = 0; ///< how often its continuation ran
  std::string asker;         ///< whose question it was, as the continuation was told
  std::string key;           ///< as the answer of an upstream has it
  std::string value;         ///< as the answer of an upstream has it
  std::string problem;       ///< why there is no answer

  template <class Archive> void serialize(Archive& ar) { ar(fetches, results, asker, key, value, problem); }
};

class fleet_member : public dormouse::durable_object {
public:
  /// Asks once, however often it is called: the caller may have been killed before it learned that its call
  /// went through. That the question was asked and the question itself are one commit. `scripted`: the server
  /// is an upstream, whose answers say what was asked.
  void start(std::string url, bool scripted) {
    if (record_.fetches == 0) {
      fetch(url).then<&fleet_member::on_answer>(instance_id(), scripted);
      ++record_.fetches;
    }
    hibernate(); // there is nothing to do before the answer comes
  }

  /// Counts before it looks: a second result must show.
  void on_answer(dormouse::fetch_result result, std::string asker, bool scripted) {
    ++record_.results;
    record_.asker = std::move(asker);
    if (!result) {
      record_.problem = std::string(to_string(result.error().code)) + ": " + result.error().message;
    } else if (scripted) {
      read_answer(*result);
    } // of a server that we know nothing of any response will do
    hibernate();
  }

  fleet_record record() const { return record_; }

  template <class Archive> void serialize(Archive& ar) { ar(record_); }

  using methods = dormouse::methods<"FLEET_MEMBER", dormouse::method<"start", &fleet_member::start>,
                                    dormouse::method<"on_answer", &fleet_member::on_answer>,
                                    dormouse::method<"record", &fleet_member::record>>;

private:
  void read_answer(const dormouse::response& answer) {
    if (!answer.ok()) {
      record_.problem = "HTTP status " + std::to_string(answer.status());
      return;
    }
    try {
      const auto json = answer.json();
      record_.key = json.at("key");
      record_.value = json.at("value");
    } catch (const nlohmann::json::exception& error) {
      record_.problem = std::string("not the JSON that was asked for: ") + error.what();
    }
  }

  fleet_record record_;
};

} // namespace fleet
