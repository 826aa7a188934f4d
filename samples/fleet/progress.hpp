#pragma once

/// What is seen while it runs: on a terminal one line that changes in place, elsewhere a plain line now and
/// then.

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>

namespace fleet {

class progress {
public:
  enum class mode { silent, plain, terminal };

  /// What standard output is.
  static mode detect();

  explicit progress(mode how) : mode_(how) {}
  ~progress() { clear(); }

  progress(const progress&) = delete;
  progress& operator=(const progress&) = delete;

  /// Where things stand. Cheap to call often: shown ten times a second on a terminal, else once a second.
  void update(std::string_view stage, std::size_t done, std::size_t total, const std::string& details);

  /// A line that stays.
  void say(const std::string& text);

  /// Takes the changing line away.
  void clear();

private:
  mode mode_;
  bool drawn_ = false;
  std::size_t widest_text_ = 0; ///< beside the bar, so far
  std::chrono::steady_clock::time_point next_{};
};

} // namespace fleet
