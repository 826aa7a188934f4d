#include "upstream/sample_orders.hpp"

#include "upstream/sample_content.hpp"

#include <algorithm>
#include <array>

namespace dormouse::samples {

namespace {

constexpr std::array<std::string_view, 8> items{"acorns",     "beech nuts", "blankets", "hazelnuts",
                                                "moss, soft", "pillows",    "thimbles", "twigs"};

constexpr std::size_t longest_name = 64;

bool fits_in_a_name(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
         c == '-';
}

} // namespace

std::vector<sample_order> orders_of(std::string_view owner, std::size_t count) {
  std::vector<sample_order> orders;
  orders.reserve(count);
  for (std::uint32_t id = 1; orders.size() < count; ++id) {
    const auto value = value_of(std::string{owner} + '/' + std::to_string(id));
    orders.push_back(
        {id, items[value % items.size()], static_cast<std::uint32_t>(value / items.size() % 10'000)});
  }
  return orders;
}

std::string price_of(const sample_order& order) {
  const auto rest = std::to_string(order.cents % 100);
  return std::to_string(order.cents / 100) + '.' + std::string(2 - rest.size(), '0') + rest;
}

std::string secret_of(std::string_view name) {
  if (name.empty() || name.size() > longest_name || !std::all_of(name.begin(), name.end(), fits_in_a_name)) {
    return {};
  }
  return std::string{name} + "-secret";
}

} // namespace dormouse::samples
