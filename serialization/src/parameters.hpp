#pragma once

/// A field value with parameters: `multipart/form-data; boundary="x"`, `form-data; name="a"; filename="b"`.

#include <dormouse/serialization/error.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dormouse {

/// What is before the first ';', lower-cased.
std::string essence_of(std::string_view value);

struct parameter_list {
  std::string essence;                                         ///< lower-cased
  std::vector<std::pair<std::string, std::string>> parameters; ///< names lower-cased

  std::optional<std::string> get(std::string_view name) const;
};

/// A quoted value ends at the next '"', whatever is before it: in a form a backslash is a character like
/// others (WHATWG). A parameter without '=' is ignored. Error: `corrupt`, quoting the value; `what` names it.
expected<parameter_list> parse_parameters(std::string_view what, std::string_view value);

} // namespace dormouse
