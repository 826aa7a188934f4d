#include "percent.hpp"
#include "utf8.hpp"

#include <dormouse/serialization/form.hpp>
#include <dormouse/serialization/form_data.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace dormouse {
namespace {

void append_encoded(std::string& out, std::string_view text) {
  for (char c : text) {
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '*' || c == '-' ||
        c == '.' || c == '_')
      out += c;
    else if (c == ' ')
      out += '+';
    else
      detail::append_escape(out, c);
  }
}

std::string decoded(std::string_view text) {
  std::string plain(text);
  std::replace(plain.begin(), plain.end(), '+', ' ');
  return detail::to_utf8(detail::percent_decoded(plain));
}

} // namespace

std::string form::encoded() const {
  std::string out;
  for (const auto& [name, value] : fields) {
    if (!out.empty()) out += '&';
    append_encoded(out, name);
    out += '=';
    append_encoded(out, value);
  }
  return out;
}

expected<form_data> parse_urlencoded(std::string_view body) {
  form_data out;
  while (!body.empty()) {
    const auto pair = body.substr(0, body.find('&'));
    body.remove_prefix(std::min(pair.size() + 1, body.size()));
    if (pair.empty()) continue;
    if (out.size() == max_form_entries)
      return fail(errc::too_large,
                  fmt::format("the urlencoded form has more than {} fields", max_form_entries));
    const auto equals = pair.find('=');
    out.append(decoded(pair.substr(0, equals)),
               equals == std::string_view::npos ? std::string() : decoded(pair.substr(equals + 1)));
  }
  return out;
}

} // namespace dormouse
