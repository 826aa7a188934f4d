#include "upstream/multipart.hpp"

#include "upstream/url_text.hpp"

#include <boost/beast/core/string.hpp>

#include <algorithm>
#include <utility>

namespace dormouse::samples {

namespace {

constexpr std::string_view line_end = "\r\n";

bool same_word(std::string_view a, std::string_view b) noexcept {
  return boost::beast::iequals({a.data(), a.size()}, {b.data(), b.size()});
}

// A field's first word, and its parameters: `form-data; name="a"; filename=b`.
struct field_value {
  std::string_view word;
  name_values parameters;
  bool fine = true;
};

// Takes the value of a parameter, quoted or not, off the front.
std::optional<std::string_view> take_value(std::string_view& rest) {
  if (!rest.starts_with('"')) {
    const auto value = trimmed(rest.substr(0, rest.find(';')));
    rest.remove_prefix(std::min(rest.find(';'), rest.size()));
    return value;
  }
  const auto end = rest.find('"', 1);
  if (end == std::string_view::npos) {
    return std::nullopt;
  }
  const auto value = rest.substr(1, end - 1);
  rest = trimmed(rest.substr(end + 1));
  return value;
}

field_value read_field(std::string_view text) {
  field_value field;
  field.word = trimmed(text.substr(0, text.find(';')));
  auto rest = text.substr(std::min(text.find(';'), text.size()));
  while (field.fine && !rest.empty()) {
    rest = trimmed(rest.substr(1)); // behind the ';'
    const auto equals = rest.find('=');
    if (equals == std::string_view::npos) {
      field.fine = rest.empty();
      break;
    }
    const auto name = trimmed(rest.substr(0, equals));
    rest = trimmed(rest.substr(equals + 1));
    const auto value = take_value(rest);
    field.fine = value && (rest.empty() || rest.front() == ';');
    if (field.fine) {
      field.parameters.emplace_back(name, *value);
    }
  }
  return field;
}

// Takes a line off the front, without its end.
std::optional<std::string_view> take_line(std::string_view& rest) {
  const auto end = rest.find(line_end);
  if (end == std::string_view::npos) {
    return std::nullopt;
  }
  const auto line = rest.substr(0, end);
  rest.remove_prefix(end + line_end.size());
  return line;
}

// The text for `problem`, empty when the header was fine.
std::string_view read_part_header(form_part& part, bool& named, std::string_view line) {
  const auto colon = line.find(':');
  if (colon == std::string_view::npos) {
    return "multipart: a part's header has no colon";
  }
  const auto name = line.substr(0, colon);
  const auto value = trimmed(line.substr(colon + 1));
  if (same_word(name, "content-type")) {
    part.type = value;
  } else if (same_word(name, "content-disposition")) {
    const auto field = read_field(value);
    if (!field.fine || !same_word(field.word, "form-data")) {
      return "multipart: a part's Content-Disposition cannot be read";
    }
    for (const auto& [parameter, text] : field.parameters) {
      if (same_word(parameter, "name")) {
        part.name = text;
        named = true;
      } else if (same_word(parameter, "filename")) {
        part.filename = text;
      }
    }
  }
  return {};
}

} // namespace

std::optional<std::string> boundary_of(std::string_view content_type) {
  const auto field = read_field(content_type);
  if (!same_word(field.word, "multipart/form-data")) {
    return std::nullopt;
  }
  for (const auto& [name, value] : field.parameters) {
    if (same_word(name, "boundary")) {
      return value;
    }
  }
  return std::string{};
}

multipart_form read_multipart(std::string_view body, std::string_view boundary) {
  multipart_form form;
  const auto problem = [&form](std::string_view text) {
    form.parts.clear();
    form.problem = text;
    return std::move(form);
  };
  if (boundary.empty() || boundary.size() > 70) {
    return problem("multipart: the boundary has to have 1 to 70 characters");
  }
  const auto delimiter = "\r\n--" + std::string{boundary};
  if (!body.starts_with(std::string_view{delimiter}.substr(line_end.size()))) {
    return problem("multipart: the body does not begin with the boundary");
  }
  auto rest = body.substr(delimiter.size() - line_end.size());
  while (!rest.starts_with("--")) {
    if (!rest.starts_with(line_end)) {
      return problem("multipart: neither a line end nor -- behind a boundary");
    }
    rest.remove_prefix(line_end.size());
    form_part part;
    bool named = false;
    for (auto line = take_line(rest);; line = take_line(rest)) {
      if (!line) {
        return problem("multipart: a part's headers do not end");
      }
      if (line->empty()) {
        break;
      }
      if (const auto wrong = read_part_header(part, named, *line); !wrong.empty()) {
        return problem(wrong);
      }
    }
    if (!named) {
      return problem("multipart: a part without a name");
    }
    const auto end = rest.find(delimiter);
    if (end == std::string_view::npos) {
      return problem("multipart: the last boundary is missing");
    }
    part.content = rest.substr(0, end);
    rest.remove_prefix(end + delimiter.size());
    form.parts.push_back(std::move(part));
  }
  return form;
}

} // namespace dormouse::samples
