// Input: a line with a content type, then a body. It is read as a form; and its lines, "<name>=<text>" or
// "@<name>=<content of a file>", are made into one.
#include "fuzz_target.hpp"
#include "utf8.hpp"

#include <dormouse/serialization/form.hpp>
#include <dormouse/serialization/form_data.hpp>

#include <string>
#include <string_view>
#include <utility>
#include <variant>

using namespace dormouse;
using fuzz::require;

namespace {

/// A name grows to six times its size on the wire. Of names up to here, two leave the head of a part below
/// max_part_header_bytes.
constexpr std::size_t safe_name_bytes = 1000;

/// A CR or LF that stands alone goes out as CRLF.
std::string with_crlf(std::string_view text) {
  std::string out;
  char last = '\0';
  for (char c : text) {
    if (c == '\r' || (c == '\n' && last != '\r'))
      out += "\r\n";
    else if (c != '\n')
      out += c;
    last = c;
  }
  return out;
}

/// On the wire, what was written as an escape cannot be told from what was escaped; and what is not UTF-8 is
/// not read as it was.
std::string as_read(std::string text) {
  for (auto at = text.find('%'); at != std::string::npos; at = text.find('%', at + 1)) {
    const auto escape = text.substr(at, 3);
    if (escape == "%0A" || escape == "%0D" || escape == "%22")
      text.replace(at, 3, 1, escape == "%0A" ? '\n' : escape == "%0D" ? '\r' : '"');
  }
  return detail::to_utf8(text);
}

/// The form that the other side has.
form_data as_sent(const form_data& form) {
  form_data out;
  for (const auto& [name, value] : form) {
    if (const auto* attached = std::get_if<file>(&value)) {
      const auto type = attached->type().substr(0, attached->type().find_last_not_of(' ') + 1);
      out.append(as_read(with_crlf(name)),
                 file(blob(attached->bytes(), type.empty() ? "application/octet-stream" : type),
                      as_read(attached->name())));
    } else {
      out.append(as_read(with_crlf(name)), detail::to_utf8(with_crlf(std::get<std::string>(value))));
    }
  }
  return out;
}

form_data send(const form_data& form) {
  const auto encoded = encode_multipart(form);
  const auto received = parse_multipart(encoded.bytes, encoded.content_type);
  require(received.has_value(), "a form that is encoded is read", received ? "" : received.error().message);
  require(*received == as_sent(form), "a form is read as it was sent", encoded.bytes);
  return *received;
}

/// CR and LF are escaped; other control characters, and very long names, make a head that a reader refuses.
bool is_sendable(std::string_view name) {
  return name.size() <= safe_name_bytes && std::all_of(name.begin(), name.end(), [](char c) {
           return c == '\r' || c == '\n' || !fuzz::has_control({&c, 1});
         });
}

void send_made_of(std::string_view lines) {
  form_data made;
  form pairs({});
  while (!lines.empty()) {
    const auto line = fuzz::take_line(lines);
    const auto equals = std::min(line.find('='), line.size());
    auto name = line.substr(0, equals);
    const auto value = line.substr(std::min(equals + 1, line.size()));
    pairs.fields.emplace_back(name, value);
    const bool is_file = name.starts_with('@');
    name.remove_prefix(is_file ? 1 : 0);
    if (!is_sendable(name)) continue;
    if (is_file)
      made.append(name, blob(value, "Image/" + std::string(name.substr(0, 8))), name);
    else
      made.append(name, value);
  }
  send(made);

  const auto encoded = pairs.encoded();
  const auto received = parse_urlencoded(encoded);
  require(received.has_value(), "a form that is encoded is read", received ? "" : received.error().message);
  require(received->size() == pairs.fields.size() &&
              std::equal(
                  received->begin(), received->end(), pairs.fields.begin(),
                  [](const form_data::entry& got, const auto& pair) {
                    return got == form_data::entry{detail::to_utf8(pair.first), detail::to_utf8(pair.second)};
                  }),
          "a form is read as it was sent", encoded);
}

} // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto body = fuzz::as_text(data, size);
  const auto content_type = fuzz::take_line(body);
  if (const auto form = parse_multipart(body, content_type)) {
    if (std::all_of(form->begin(), form->end(),
                    [](const form_data::entry& each) { return each.name.size() <= safe_name_bytes; })) {
      const auto received = send(*form);
      require(encode_multipart(received).bytes == encode_multipart(*form).bytes,
              "what was read once goes out again as it came", body);
    }
  } else {
    const auto& why = form.error();
    require(why.code == errc::invalid_request || why.code == errc::corrupt || why.code == errc::too_large,
            "a refusal has one of three codes", why.message);
    require(!fuzz::has_control(why.message), "a refusal is one line", why.message);
  }
  send_made_of(body);
  return 0;
}
