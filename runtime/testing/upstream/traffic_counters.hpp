#pragma once

/// How often each key was asked for and answered: the upstream's own truth.
///
/// "How many requests really reached the upstream?" is the question most tests
/// of a proxy end with, so the count has to be exact and readable from any
/// thread. Each counted request holds a `ticket` from the moment it is fully
/// received until its answer is written or given up; a reset in between makes
/// the ticket stale, and a stale ticket no longer counts for anything but the
/// gauge of requests in flight.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

namespace dormouse::samples {

struct traffic_summary {
  std::uint64_t total = 0;    ///< requests fully received
  std::uint64_t distinct = 0; ///< keys among them
  std::uint64_t answered = 0; ///< responses fully written
  std::uint64_t max_hits = 0; ///< of the key asked for most
  std::uint64_t in_flight = 0;
  std::uint64_t in_flight_peak = 0;
  std::uint64_t connections = 0;
  std::uint64_t connections_peak = 0;
  std::uint64_t connections_opened = 0;
};

class traffic_counters {
public:
  using idempotency_counts = std::map<std::string, std::uint64_t>;

private:
  struct key_record {
    std::uint64_t hits = 0;
    std::uint64_t answered = 0;
    // By pointer: nearly no key has one, and there may be millions of keys.
    std::unique_ptr<idempotency_counts> idempotency;
  };

public:
  class ticket {
  public:
    [[nodiscard]] bool active() const noexcept { return record_ != nullptr; }
    /// Which request for its key this is, counted from 1.
    [[nodiscard]] std::uint64_t hit() const noexcept { return hit_; }

  private:
    friend class traffic_counters;

    key_record* record_ = nullptr;
    std::uint64_t epoch_ = 0;
    std::uint64_t hit_ = 0;
  };

  using hold = std::unique_lock<std::mutex>;

  /// `idempotency_key` is empty when the request had none.
  [[nodiscard]] ticket received(std::string_view key, std::string_view idempotency_key);

  /// A response counts as answered the moment its last byte is handed to the
  /// kernel. The writer takes the hold before that write and reports after it,
  /// so nobody who has seen the response can read a count without it.
  [[nodiscard]] hold hold_readers() const;
  void answered(ticket& request, const hold& held);
  void abandoned(ticket& request);

  void connection_opened();
  void connection_closed();
  void reset();

  [[nodiscard]] std::uint64_t hits(std::string_view key) const;
  [[nodiscard]] std::uint64_t answered(std::string_view key) const;
  [[nodiscard]] idempotency_counts idempotency(std::string_view key) const;
  [[nodiscard]] traffic_summary summary() const;

  [[nodiscard]] std::string summary_json() const;
  [[nodiscard]] std::string counters_json(bool with_answered) const;

private:
  struct text_hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const noexcept {
      return std::hash<std::string_view>{}(text);
    }
  };

  [[nodiscard]] const key_record* find(std::string_view key) const;
  void release(ticket& request) noexcept;

  mutable std::mutex mutex_;
  // Tickets point into this map: its nodes stay where they are until a reset.
  std::unordered_map<std::string, key_record, text_hash, std::equal_to<>> records_;
  traffic_summary summary_;
  std::uint64_t epoch_ = 0;
};

} // namespace dormouse::samples
