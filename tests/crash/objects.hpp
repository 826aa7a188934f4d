#pragma once

/// The objects that live through the crashes. Their state is their memory of what happened to them: the child
/// runs them, and the test reads them from the disk afterwards.

#include "crash/fetch_plan.hpp"
#include "upstream/sample_content.hpp"

#include <dormouse/dormouse.hpp>

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace dormouse::test {

/// All that a fetch got.
struct fetch_record {
  std::uint32_t results = 0; ///< how often its continuation ran
  std::uint16_t status = 0;  ///< of the response; 0 for an error
  std::uint64_t hit = 0;     ///< which request for the key the upstream answered, if the response says so
  bool own_body = false;     ///< the body is the one that belongs to the key
  fetch_errc code{};
  sent_state sent{};

  template <class Archive> void serialize(Archive& ar) { ar(results, status, hit, own_body, code, sent); }
};

class fetcher : public durable_object {
public:
  /// Begins a chain of `more + 1` fetches. A token is used for one call only: it shows how often the call had
  /// an effect.
  void go(std::string upstream, std::uint64_t token, std::uint32_t more) {
    ++tokens_[token];
    ask(std::move(upstream), more);
  }

  void on_result(fetch_result result, std::string upstream, std::uint64_t sequence, std::uint32_t more) {
    auto& record = records_.at(sequence - 1);
    ++record.results;
    if (result)
      note(record, *result, sequence);
    else
      std::tie(record.code, record.sent) = std::pair(result.error().code, result.error().sent);
    if (more > 0) ask(std::move(upstream), more - 1); // in the same commit as the record
  }

  std::uint64_t tokens_seen() const { return tokens_.size(); }

  bool waits_for_results() const {
    for (const auto& record : records_)
      if (record.results == 0) return true;
    return false;
  }

  /// By sequence number, from 1 at index 0: as many as were issued.
  const std::vector<fetch_record>& records() const noexcept { return records_; }
  const std::map<std::uint64_t, std::uint32_t>& tokens() const noexcept { return tokens_; }

  template <class Archive> void serialize(Archive& ar) { ar(records_, tokens_); }

  using methods = dormouse::methods<"FETCHER", dormouse::method<"go", &fetcher::go>,
                                    dormouse::method<"on_result", &fetcher::on_result>,
                                    dormouse::method<"tokens_seen", &fetcher::tokens_seen>,
                                    dormouse::method<"waits_for_results", &fetcher::waits_for_results>>;

private:
  void ask(std::string upstream, std::uint32_t more) {
    records_.emplace_back();
    const auto sequence = records_.size();
    const auto plan = plan_fetch(instance_id(), sequence);
    fetch_init init{.retry = {.max_retries = 3, .initial_delay = std::chrono::milliseconds(20)}};
    if (plan.kind == fetch_kind::post || plan.kind == fetch_kind::keyed_post) {
      init.method = "POST";
      init.body = std::string(plan.kind == fetch_kind::keyed_post ? large_body_bytes : 10, 'x');
    }
    if (plan.kind == fetch_kind::keyed_post) init.idempotency_key = plan.key;
    if (plan.kind == fetch_kind::once_get) init.delivery = delivery::at_most_once;
    fetch(upstream + plan.target, std::move(init))
        .then<&fetcher::on_result>(upstream, std::uint64_t{sequence}, more);
  }

  void note(fetch_record& record, const response& answer, std::uint64_t sequence) {
    record.status = answer.status();
    const auto plan = plan_fetch(instance_id(), sequence);
    if (plan.kind == fetch_kind::large_get) {
      record.own_body = answer.text() == samples::body_of(plan.key, large_body_bytes);
      return;
    }
    const auto said = answer.json();
    record.own_body = said.at("key") == plan.key;
    record.hit = said.at("hit");
  }

  std::vector<fetch_record> records_;
  std::map<std::uint64_t, std::uint32_t> tokens_;
};

class counter : public durable_object {
public:
  std::uint64_t add() { return ++value_; }
  std::uint64_t value() const { return value_; }

  template <class Archive> void serialize(Archive& ar) { ar(value_); }

  using methods = dormouse::methods<"COUNTER", dormouse::method<"add", &counter::add>,
                                    dormouse::method<"value", &counter::value>>;

private:
  std::uint64_t value_ = 0;
};

/// Its state says which rows its storage has to have: so a state and rows of different turns do not agree.
class ledger : public durable_object {
public:
  static constexpr std::uint64_t kept = 150; ///< enough for `erase_all` to erase a range
  static constexpr std::uint64_t page = 400;

  std::uint64_t add() {
    ++value_;
    if (value_ % page == 0) storage().erase_all();
    storage().put("row " + std::to_string(value_), value_);
    if (value_ >= kept) storage().erase("row " + std::to_string(value_ - kept));
    return value_;
  }
  std::uint64_t value() const { return value_; }

  static std::map<std::string, std::uint64_t> rows_at(std::uint64_t value) {
    std::map<std::string, std::uint64_t> rows;
    const auto begin =
        std::max({std::uint64_t{1}, value - value % page, value < kept ? 0 : value - kept + 1});
    for (auto each = begin; each <= value; ++each)
      rows["row " + std::to_string(each)] = each;
    return rows;
  }

  template <class Archive> void serialize(Archive& ar) { ar(value_); }

  using methods = dormouse::methods<"LEDGER", dormouse::method<"add", &ledger::add>,
                                    dormouse::method<"value", &ledger::value>>;

private:
  std::uint64_t value_ = 0;
};

/// Has a row for each turn of its life, which ends every now and then.
class mayfly : public durable_object {
public:
  std::uint64_t live() {
    ++value_;
    storage().put(std::to_string(value_), value_);
    return value_;
  }
  void end() { destroy(); }
  std::uint64_t value() const { return value_; }

  template <class Archive> void serialize(Archive& ar) { ar(value_); }

  using methods = dormouse::methods<"MAYFLY", dormouse::method<"live", &mayfly::live>,
                                    dormouse::method<"end", &mayfly::end>>;

private:
  std::uint64_t value_ = 0;
};

} // namespace dormouse::test
