// Input: lines, each what one jar goes through. "@<url>": what follows comes from there. "+<ms>": time
// passes. "?<url>": a request goes there. "-<name>": the program removes a cookie. Every other line is the
// value of a Set-Cookie field.
#include "cookie_rules.hpp"
#include "fuzz_target.hpp"
#include "public_suffix.hpp"

#include <dormouse/serialization/codec.hpp>
#include <dormouse/serialization/cookie_jar.hpp>
#include <dormouse/serialization/headers.hpp>

#include <charconv>
#include <iterator>
#include <map>
#include <string>
#include <string_view>
#include <vector>

using namespace dormouse;
using fuzz::require;

namespace {

constexpr std::int64_t longest_step_ms = 500LL * 24 * 3600 * 1000;

/// A cookie as a server would write it that means the same.
std::string as_field(const cookie& of) {
  auto field = of.name + "=" + of.value + "; Path=" + of.path;
  if (of.host_only == 0) field += "; Domain=" + of.domain;
  if (of.secure != 0) field += "; Secure";
  if (of.http_only != 0) field += "; HttpOnly";
  if (of.same_site != same_site::unspecified)
    field += of.same_site == same_site::lax      ? "; SameSite=Lax"
             : of.same_site == same_site::strict ? "; SameSite=Strict"
                                                 : "; SameSite=None";
  return field;
}

bool is_same(const cookie& a, const cookie& b) {
  return a.name == b.name && a.domain == b.domain && a.path == b.path && a.host_only == b.host_only;
}

void check_parsed(const url& from, const cookie& parsed, std::int64_t now_ms) {
  require(validate(parsed).has_value(), "what was parsed is valid", parsed.name);
  require(parsed.domain == from.host ||
              (parsed.host_only == 0 && detail::domain_matches(from.host, parsed.domain)),
          "a host sets no cookie of another", parsed.domain);
  require(parsed.host_only != 0 || !detail::is_public_suffix(parsed.domain),
          "no cookie is for a public suffix", parsed.domain);
  require(parsed.expires_ms <= now_ms + max_cookie_age.count() * 1000, "no cookie lives longer than 400 days",
          parsed.name);
  // A default path may have a ';', which ends an attribute.
  if (parsed.path.find(';') != std::string::npos ||
      detail::strip_blanks(parsed.path).size() != parsed.path.size())
    return;
  auto again = parse_set_cookie(from, as_field(parsed), now_ms);
  require(again.has_value(), "a cookie that is written down is read again", as_field(parsed));
  again->expires_ms = parsed.expires_ms;
  require(*again == parsed, "a cookie that is written down is the same when it is read", as_field(parsed));
}

class scenario {
public:
  void run(std::string_view input);

private:
  void receive(std::string_view field);
  void request(const url& to) const;
  void check_stored() const;

  cookie_jar jar_;
  url from_ = value_or_throw(parse_url("https://www.example.com/a/b"));
  std::map<std::string, url> visited_;
  std::int64_t now_ms_ = 1'700'000'000'000;
};

void scenario::run(std::string_view input) {
  visited_.emplace(from_.target(), from_);
  while (!input.empty()) {
    const auto line = fuzz::take_line(input);
    const auto rest = line.substr(std::min<std::size_t>(1, line.size()));
    if (line.starts_with('@')) {
      if (auto from = parse_url(rest)) {
        from_ = *from;
        visited_.emplace(from_.target(), from_);
      }
    } else if (line.starts_with('+')) {
      std::int64_t step = 0;
      if (std::from_chars(rest.data(), rest.data() + rest.size(), step).ec == std::errc{})
        now_ms_ += std::clamp<std::int64_t>(step, 0, longest_step_ms);
    } else if (line.starts_with('?')) {
      if (auto to = parse_url(rest)) request(*to);
    } else if (line.starts_with('-')) {
      jar_.remove(rest);
      require(!jar_.get(rest, now_ms_), "a removed cookie is gone", rest);
    } else {
      receive(line);
    }
  }
  for (const auto& [target, to] : visited_)
    request(to);
  check_stored();
}

void scenario::receive(std::string_view field) {
  const auto parsed = parse_set_cookie(from_, field, now_ms_);
  if (parsed) check_parsed(from_, *parsed, now_ms_);
  const bool small = jar_.size() <= 16; // what follows costs a copy of the jar
  const auto before = small ? jar_.cookies(now_ms_) : std::vector<cookie>{};
  const auto received = jar_.receive(from_, field, now_ms_);
  require(!received || parsed, "a jar takes only what can be parsed", field);
  if (!received) {
    require(received.error().code == errc::invalid_cookie && !fuzz::has_control(received.error().message),
            "a refusal is one line", received.error().message);
    require(!small || jar_.cookies(now_ms_) == before, "a refusal leaves the jar as it was", field);
  } else if (small) {
    const auto stored = jar_.cookies(now_ms_);
    const auto same = std::count_if(stored.begin(), stored.end(),
                                    [&](const cookie& each) { return is_same(each, *parsed); });
    require(same == (parsed->expires_ms != 0 && parsed->expires_ms <= now_ms_ ? 0 : 1),
            "a cookie is stored once, an expired one not at all", field);
  }
}

/// What goes along, compared with what each stored cookie says by itself.
void scenario::request(const url& to) const {
  const auto sent = jar_.cookies_for(to, now_ms_);
  std::string joined;
  const cookie* last = nullptr;
  for (const auto& each : sent) {
    require(last == nullptr || last->path.size() > each.path.size() ||
                (last->path.size() == each.path.size() && last->created_ms <= each.created_ms),
            "the longest path goes first, then the oldest", each.name);
    last = &each;
    joined += (joined.empty() ? "" : "; ") + each.name + (each.name.empty() ? "" : "=") + each.value;
  }
  const auto header = jar_.header_for(to, now_ms_);
  require(header == joined, "the header is what is sent", header);
  const auto goes = [&](const cookie& each) {
    return (each.host_only != 0
                ? each.domain == to.host
                : detail::domain_matches(to.host, each.domain) && !detail::is_public_suffix(each.domain)) &&
           detail::path_matches(to.path, each.path) && (each.secure == 0 || detail::is_secure(to));
  };
  const auto all = jar_.cookies(now_ms_);
  require(static_cast<std::size_t>(std::count_if(all.begin(), all.end(), goes)) == sent.size() &&
              std::all_of(sent.begin(), sent.end(), goes),
          "what is sent is exactly what may be", to.target());
  if (!header.empty())
    require(headers().try_append("Cookie", header).has_value(), "the header can go on the wire", header);
  const auto merged = merge_cookie_header("a=own; b", header);
  require(merge_cookie_header(merged, header) == merged, "merging twice adds nothing", merged);
}

void scenario::check_stored() const {
  std::map<std::string, std::size_t> of_domain;
  for (const auto& each : jar_.cookies(now_ms_))
    require(++of_domain[each.domain] <= max_cookies_per_domain, "a domain is bounded", each.domain);
  require(jar_.size() <= max_cookies, "a jar is bounded");
  const auto bytes = encode(jar_);
  const auto again = decode<cookie_jar>(bytes);
  require(again.has_value(), "a jar that is stored is read again", again ? "" : again.error().message);
  require(*again == jar_ && encode(*again) == bytes, "a jar survives storing");
}

} // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  scenario().run(fuzz::as_text(data, size));
  return 0;
}
