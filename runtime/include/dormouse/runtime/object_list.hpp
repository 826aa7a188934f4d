#pragma once

/// Which objects there are.
///
///   dormouse::object_list_options next{.prefix = "eu/"};
///   do {
///     auto page = runtime.objects("CART", next);
///     for (const auto& id : page.ids) ...
///     next.cursor = page.cursor;
///   } while (!next.cursor.empty());

#include <cstddef>
#include <string>
#include <vector>

namespace dormouse {

struct object_list_options {
  static constexpr std::size_t most = 10'000;

  std::string prefix = {};  ///< of the instance id
  std::size_t limit = 1000; ///< 1..10,000
  std::string cursor = {};  ///< that of the page before; empty: the first page
};

/// Instance ids in the order of their bytes.
struct object_page {
  std::vector<std::string> ids;
  std::string cursor; ///< for the next page; empty if this is the last
  std::size_t damaged_ranges =
      0; ///< parts of the store that could not be read: the page may lack objects. See stats().damaged_ranges
};

} // namespace dormouse
