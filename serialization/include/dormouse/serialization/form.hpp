#pragma once

/// Pairs of text, sent as `application/x-www-form-urlencoded`: what an HTML form without files sends. With
/// files: form_data.hpp.

#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

namespace dormouse {

/// `form{{"user", "me"}, {"page", "1"}}`: names and values in order, a name as often as one likes.
struct form {
  std::vector<std::pair<std::string, std::string>> fields;

  form(std::initializer_list<std::pair<std::string, std::string>> pairs) : fields(pairs) {}

  /// The WHATWG URL serializer: space becomes '+', everything but `[A-Za-z0-9*-._]` is percent-encoded.
  std::string encoded() const;
};

} // namespace dormouse
