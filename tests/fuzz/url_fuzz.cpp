// Input: a line with a base URL, a line with a reference that is resolved against it, and a line with an
// entry of the allowlist.
#include "fuzz_target.hpp"
#include "proxy/url_policy.hpp"

#include <dormouse/serialization/request.hpp>
#include <dormouse/serialization/url.hpp>

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>

#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

using namespace dormouse;
using fuzz::require;

namespace {

/// A part as the library has it that opens the URL; empty if it has none.
std::string opened(const std::string& target, CURLUPart which) {
  const std::unique_ptr<CURLU, void (*)(CURLU*)> handle(curl_url(), &curl_url_cleanup);
  require(curl_url_set(handle.get(), CURLUPART_URL, target.c_str(),
                       CURLU_GUESS_SCHEME | CURLU_NON_SUPPORT_SCHEME | CURLU_PATH_AS_IS) == CURLUE_OK,
          "a target can be opened", target);
  char* text = nullptr;
  if (curl_url_get(handle.get(), which, &text, CURLU_DEFAULT_PORT) != CURLUE_OK) return {};
  std::string out(text);
  curl_free(text);
  return out;
}

/// Whether the address that a resolver makes of the host is special; nothing if it asks for a name. More
/// generous than a URL: "1.2" and "0x1.2" are addresses.
std::optional<bool> names_special_address(std::string_view host) {
  sockaddr_in four{};
  four.sin_family = AF_INET;
  sockaddr_in6 six{};
  six.sin6_family = AF_INET6;
  const bool bracketed = host.starts_with('[');
  const std::string text(bracketed ? host.substr(1, host.size() - 2) : host);
  if (bracketed) {
    require(::inet_pton(AF_INET6, text.c_str(), &six.sin6_addr) == 1,
            "what is in brackets is an IPv6 address", host);
    return is_special_address(reinterpret_cast<const sockaddr&>(six));
  }
  if (::inet_aton(text.c_str(), &four.sin_addr) == 0) return std::nullopt;
  in_addr plain{};
  require(::inet_pton(AF_INET, text.c_str(), &plain) == 1,
          "R13: a host that names an IPv4 address is spelled with dots", host);
  return is_special_address(reinterpret_cast<const sockaddr&>(four));
}

bool is_clean(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

void check_policy(const url& of) {
  static const auto everything = value_or_throw(url_policy::make({"*"}));
  static const auto nothing = value_or_throw(url_policy::make({}));
  require(!nothing.check(of), "R13: nothing is allowed by default", of.host);
  const auto special = names_special_address(of.host);
  require(everything.check(of).has_value() == !special.value_or(false),
          "R13: a wildcard allows no special address", of.host);
  const auto by_name = url_policy::make({of.host});
  require(by_name.has_value(), "a host can be listed", of.host);
  require(by_name->check(of) == reach::anywhere, "a host that is listed is allowed", of.host);
  auto other = of;
  other.host = "x" + of.host;
  require(!by_name->check(other), "no other host is", of.host);
}

void check_url(const url& of) {
  require(of.scheme == "http" || of.scheme == "https", "R13: http or https", of.scheme);
  require(!of.host.empty() &&
              of.host.find_first_of("%/?#@\\ ABCDEFGHIJKLMNOPQRSTUVWXYZ") == std::string::npos &&
              is_clean(of.host),
          "a host is settled", of.host);
  require(of.port != 0 && of.path.starts_with('/'), "there is a port and a path", of.path);
  const auto target = of.target();
  require(is_clean(target) && is_clean(of.fragment), "a target is one word of a request line", target);
  require(target.starts_with(of.origin() + "/"), "a target is at its origin", target);

  const auto again = parse_url(target);
  require(again.has_value(), "a target is a URL", again ? target : again.error().message);
  require(again->origin() == of.origin(), "the origin of what is parsed again is the same", target);
  auto expected = of;
  expected.user = expected.password = expected.fragment = {};
  require(*again == expected, "a target that is parsed again is the same", target);

  // The allowlist is passed by if the host that is judged is not the host that is connected to.
  require(opened(target, CURLUPART_HOST) == of.host, "R13: the host that is judged is the one that is opened",
          target);
  require(opened(target, CURLUPART_PATH) == of.path && opened(target, CURLUPART_QUERY) == of.query,
          "R26: the path and the query that were read are the ones that are sent", target);
  require(opened(target, CURLUPART_PORT) == std::to_string(of.port),
          "R13: the port that is judged is the one that is opened", target);
  check_policy(of);
}

void check_request(std::string_view text, const url& parsed) {
  const auto made = request::make(text);
  require(made.has_value() == (parsed.user.empty() && parsed.password.empty()),
          "a request has any URL but one with credentials", text);
  if (!made) return;
  const auto again = parse_url(made->url());
  require(again.has_value(), "a request's URL is one", made->url());
  require(*again == parsed, "a request has the URL that it was given", made->url());
}

/// One that names neither a scheme nor a host.
bool stays(std::string_view reference) {
  while (!reference.empty() && static_cast<unsigned char>(reference.front()) <= 0x20)
    reference.remove_prefix(1);
  std::string text(reference);
  std::erase_if(text, [](char c) { return c == '\t' || c == '\r' || c == '\n'; });
  const auto is_slash = [&text](std::size_t at) {
    return at < text.size() && (text[at] == '/' || text[at] == '\\');
  };
  return text.empty() || text.front() == '#' || text.front() == '?' || (is_slash(0) && !is_slash(1));
}

} // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto rest = fuzz::as_text(data, size);
  const auto text = fuzz::take_line(rest);
  const auto reference = fuzz::take_line(rest);
  const auto entry = fuzz::take_line(rest);
  const auto base = parse_url(text);
  if (!base) {
    require(base.error().code == errc::invalid_url || base.error().code == errc::blocked,
            "a refusal has one of two codes", base.error().message);
    require(!fuzz::has_control(base.error().message), "a refusal is one line", base.error().message);
    return 0;
  }
  check_url(*base);
  check_request(text, *base);
  if (const auto next = resolve_url(*base, reference)) {
    check_url(*next);
    if (stays(reference))
      require(next->origin() == base->origin(), "a reference without a host stays at its origin", reference);
  }
  if (const auto policy = url_policy::make({std::string(entry)})) (void)policy->check(*base);
  return 0;
}
