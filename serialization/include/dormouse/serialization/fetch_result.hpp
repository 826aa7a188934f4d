#pragma once

/// What a continuation is handed: a response or a `fetch_error`, exactly one per fetch (R7). A value like any
/// other: it can be an argument, be stored, and be part of a state.

#include <dormouse/serialization/expected.hpp>
#include <dormouse/serialization/fetch_error.hpp>
#include <dormouse/serialization/response.hpp>

namespace dormouse {

using fetch_result = expected<response, fetch_error>;

} // namespace dormouse

namespace tl {

// In tl, where the argument's own namespace leads the look-up.
template <class Archive> void save(Archive& ar, const dormouse::fetch_result& result) {
  ar(result.has_value());
  if (result)
    ar(*result);
  else
    ar(result.error());
}

template <class Archive> void load(Archive& ar, dormouse::fetch_result& result) {
  bool has_value = false;
  ar(has_value);
  if (has_value) {
    dormouse::response value;
    ar(value);
    result = std::move(value);
  } else {
    dormouse::fetch_error what;
    ar(what);
    result = tl::unexpected<dormouse::fetch_error>(std::move(what));
  }
}

} // namespace tl
