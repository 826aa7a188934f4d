#pragma once

/// Giving up on a fetch: `abort_controller` and `abort_signal` of WHATWG DOM (section 3), as values.
///
///   abort_controller stop_;                                           // part of the object's state
///   fetch(url, {.signal = stop_.signal()}).then<&T::on_answer>();
///   abort(stop_, "the user left");                                    // in any later turn, after any number
///   of hibernations
///
/// A signal is a name, not a piece of memory: it can be stored, sent to another object, and survives
/// hibernation and restart. What it aborts ends with `fetch_error{ABORTED}` exactly once, whether it was
/// queued, waited for a retry or was on the wire; a response that is already being stored when the abort
/// commits wins. An abort is remembered for `abort_memory`: a fetch with that signal that is made later is
/// not sent, and gets its ABORTED as soon as its own turn is durable, not when it would have gone out.

#include <dormouse/serialization/error.hpp>

#include <chrono>
#include <compare>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

namespace dormouse {

inline constexpr std::chrono::hours abort_memory{24 * 30};
inline constexpr std::size_t max_signal_sources = 64;

/// 128 random bits.
struct abort_id {
  std::uint64_t high = 0;
  std::uint64_t low = 0;

  friend auto operator<=>(const abort_id&, const abort_id&) = default;

  template <class Archive> void serialize(Archive& ar) { ar(high, low); }
};

class abort_signal {
public:
  /// Never aborts.
  abort_signal() = default;

  /// Aborts by itself. Counted from `now`, on the wall clock; pass an object's `now()` where time is
  /// simulated. 1 ms..366 days, else throws `failure{invalid_request}`.
  static abort_signal timeout(std::chrono::milliseconds after,
                              std::chrono::system_clock::time_point now = std::chrono::system_clock::now());

  /// Aborts when the first of them does. Throws `failure{invalid_request}` beyond `max_signal_sources`
  /// controllers.
  static abort_signal any(std::initializer_list<abort_signal> signals);

  const std::vector<abort_id>& sources() const noexcept {
    return sources_;
  } ///< controllers, sorted, each once
  std::int64_t at_ms() const noexcept {
    return at_ms_;
  } ///< when it aborts by itself, in ms since the epoch; 0: it does not
  bool never() const noexcept { return sources_.empty() && at_ms_ == 0; }

  friend bool operator==(const abort_signal&, const abort_signal&) = default;

  template <class Archive> void save(Archive& ar) const { ar(sources_, at_ms_); }

  /// Bytes from disk are held to the same rules; throws `failure{corrupt}`.
  template <class Archive> void load(Archive& ar) {
    ar(sources_, at_ms_);
    check_sources();
  }

private:
  friend class abort_controller;

  void check_sources() const;

  std::vector<abort_id> sources_;
  std::int64_t at_ms_ = 0;
};

class abort_controller {
public:
  /// A new one, unlike any other. Copies are the same controller.
  abort_controller();

  abort_signal signal() const;
  const abort_id& id() const noexcept { return id_; }

  friend bool operator==(const abort_controller&, const abort_controller&) = default;

  template <class Archive> void serialize(Archive& ar) { ar(id_); }

private:
  abort_id id_;
};

/// What is stored of an abort.
struct abort_mark {
  std::int64_t time_ms = 0;
  std::string reason; ///< becomes the text of the `fetch_error`; at most 1024 bytes

  template <class Archive> void serialize(Archive& ar) { ar(time_ms, reason); }
};

inline constexpr std::size_t max_abort_reason_bytes = 1024;

} // namespace dormouse
