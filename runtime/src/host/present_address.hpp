#pragma once

/// Which name, and which life.
///
/// What is on disk, under way, or kept by a program names an object by the binding that its class had when it
/// was written: an `address`. The class may have another binding by now. Rows are found, written and handed
/// over under the present one only, so what looks for one of another object takes a `present_address`, and
/// `runtime_core` is the one place that makes one.
///
/// The same name does not mean the same object either: see `return_address::incarnation` and
/// late_results.hpp.

#include <dormouse/serialization/address.hpp>

#include <utility>

namespace dormouse {

class present_address {
public:
  const address& get() const noexcept { return where_; }
  operator const address&() const noexcept { return where_; }
  const address* operator->() const noexcept { return &where_; }

private:
  friend struct runtime_core;
  explicit present_address(address where) : where_(std::move(where)) {}

  address where_;
};

} // namespace dormouse
