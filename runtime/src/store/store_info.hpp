#pragma once

/// The first row of a store: in which format the others are, and which store this is.

#include <cstdint>

namespace dormouse {

/// 2: messages may carry extensions, and there are jars, aborts, named queues and rows of storage.
/// 3: there may be a list of what was lost in a repair. Rows of earlier formats are read as they are.
inline constexpr std::uint32_t store_format = 3;

struct store_info {
  std::uint32_t format = store_format;
  std::uint64_t identity = 0;
  std::uint64_t epoch = 0; ///< how often the store was opened

  friend bool operator==(const store_info&, const store_info&) = default;

  template <class Archive> void serialize(Archive& ar) { ar(format, identity, epoch); }
};

} // namespace dormouse
