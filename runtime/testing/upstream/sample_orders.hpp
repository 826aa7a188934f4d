#pragma once

/// Orders to look at: what /site/account shows of a user and /api/orders of a client.
///
/// Computed from the owner's name, so that a test knows what a scraper has to find.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace dormouse::samples {

struct sample_order {
  std::uint32_t id = 0; ///< from 1
  std::string_view item;
  std::uint32_t cents = 0;
};

/// The first orders of that owner, the same every time.
[[nodiscard]] std::vector<sample_order> orders_of(std::string_view owner, std::size_t count);

/// "12.05"
[[nodiscard]] std::string price_of(const sample_order& order);

/// What every user's password and every client's secret is: "<name>-secret". Only
/// names of 1 to 64 letters, digits, '.', '_' and '-' have one, the others get "".
[[nodiscard]] std::string secret_of(std::string_view name);

} // namespace dormouse::samples
