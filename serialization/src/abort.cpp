#include <dormouse/serialization/abort.hpp>

#include <fmt/format.h>
#include <sys/random.h>

#include <algorithm>
#include <cstdlib>
#include <functional>

namespace dormouse {

using std::chrono::milliseconds;

abort_signal abort_signal::timeout(milliseconds after, std::chrono::system_clock::time_point now) {
  constexpr milliseconds longest = std::chrono::hours(24 * 366);
  if (after < milliseconds(1) || after > longest)
    throw failure({errc::invalid_request, fmt::format("abort_signal::timeout is {} ms; it must be 1..{} ms",
                                                      after.count(), longest.count())});
  abort_signal out;
  out.at_ms_ = std::chrono::duration_cast<milliseconds>(now.time_since_epoch()).count() + after.count();
  return out;
}

abort_signal abort_signal::any(std::initializer_list<abort_signal> signals) {
  abort_signal out;
  for (const auto& each : signals) {
    out.sources_.insert(out.sources_.end(), each.sources_.begin(), each.sources_.end());
    if (each.at_ms_ != 0) out.at_ms_ = out.at_ms_ == 0 ? each.at_ms_ : std::min(out.at_ms_, each.at_ms_);
  }
  std::sort(out.sources_.begin(), out.sources_.end());
  out.sources_.erase(std::unique(out.sources_.begin(), out.sources_.end()), out.sources_.end());
  if (out.sources_.size() > max_signal_sources)
    throw failure(
        {errc::invalid_request, fmt::format("an abort signal hangs on {} controllers; the limit is {}",
                                            out.sources_.size(), max_signal_sources)});
  return out;
}

void abort_signal::check_sources() const {
  if (sources_.size() > max_signal_sources)
    throw failure(
        {errc::corrupt, fmt::format("a stored abort signal hangs on {} controllers; the limit is {}",
                                    sources_.size(), max_signal_sources)});
  if (std::adjacent_find(sources_.begin(), sources_.end(), std::greater_equal()) != sources_.end())
    throw failure({errc::corrupt, "the controllers of a stored abort signal are not in order, each once"});
}

abort_controller::abort_controller() {
  if (::getrandom(&id_, sizeof id_, 0) != static_cast<ssize_t>(sizeof id_))
    std::abort(); // 16 bytes always come whole
}

abort_signal abort_controller::signal() const {
  abort_signal out;
  out.sources_ = {id_};
  return out;
}

} // namespace dormouse
