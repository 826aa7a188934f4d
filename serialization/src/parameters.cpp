#include "parameters.hpp"

#include "ascii.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace dormouse {
namespace {

constexpr std::size_t max_parameters = 64; // so that looking for one given twice stays cheap

} // namespace

std::string essence_of(std::string_view value) {
  return ascii_lower(without_outer_space(value.substr(0, value.find(';'))));
}

std::optional<std::string> parameter_list::get(std::string_view name) const {
  for (const auto& [key, value] : parameters)
    if (key == name) return value;
  return std::nullopt;
}

expected<parameter_list> parse_parameters(std::string_view what, std::string_view value) {
  const auto bad = [&](std::string_view why, std::string_view name) {
    return fail(errc::corrupt, fmt::format("{} {:?}: parameter {:?} {}", what, value.substr(0, 200),
                                           name.substr(0, 64), why));
  };
  parameter_list out{essence_of(value), {}};
  auto rest = value.substr(std::min(value.find(';'), value.size()));
  while (!rest.empty()) {
    rest = without_outer_space(rest.substr(1)); // the ';'
    const auto name = without_outer_space(rest.substr(0, rest.find_first_of("=;")));
    rest.remove_prefix(std::min(rest.find_first_of("=;"), rest.size()));
    if (!rest.starts_with('=')) continue;
    rest = without_outer_space(rest.substr(1));
    std::string_view given;
    if (rest.starts_with('"')) {
      const auto close = rest.find('"', 1);
      if (close == std::string_view::npos) return bad("has no closing quote", name);
      given = rest.substr(1, close - 1);
      rest = without_outer_space(rest.substr(close + 1));
      if (!rest.empty() && rest.front() != ';') return bad("is followed by something else than ';'", name);
    } else {
      given = without_outer_space(rest.substr(0, rest.find(';')));
      rest.remove_prefix(std::min(rest.find(';'), rest.size()));
    }
    auto key = ascii_lower(name);
    if (out.get(key)) return bad("is given twice", name);
    if (out.parameters.size() == max_parameters)
      return bad(fmt::format("is more than the {} there may be", max_parameters), name);
    out.parameters.emplace_back(std::move(key), given);
  }
  return out;
}

} // namespace dormouse
