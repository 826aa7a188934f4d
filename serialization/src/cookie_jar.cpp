#include "cookie_rules.hpp"
#include "public_suffix.hpp"
#include "quoted.hpp"

#include <dormouse/serialization/cookie_jar.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

namespace dormouse {
namespace {

bool has_expired(const cookie& what, std::int64_t now_ms) noexcept {
  return what.expires_ms != 0 && what.expires_ms <= now_ms;
}

/// 5.8.3: cookies with longer paths first, then older ones. What is equal stays in the order in which it was
/// set.
bool sent_before(const cookie& a, const cookie& b) noexcept {
  return a.path.size() != b.path.size() ? a.path.size() > b.path.size() : a.created_ms < b.created_ms;
}

/// 5.7: the one that has to go first.
bool used_before(const cookie& a, const cookie& b) noexcept {
  return std::tie(a.used_ms, a.created_ms) < std::tie(b.used_ms, b.created_ms);
}

/// Encoded, rounded up.
std::size_t bytes_of(const cookie& what) noexcept {
  return 64 + what.name.size() + what.value.size() + what.domain.size() + what.path.size();
}

bool is_same_cookie(const cookie& a, const cookie& b) noexcept {
  return a.host_only == b.host_only && a.name == b.name && a.path == b.path && a.domain == b.domain;
}

/// Visits `host` and every domain above it: all that a cookie for `host` can have.
template <class Visit> void for_each_domain(std::string_view host, Visit visit) {
  visit(host);
  if (detail::is_ip_address(host)) return;
  for (auto dot = host.find('.'); dot != std::string_view::npos; dot = host.find('.')) {
    host.remove_prefix(dot + 1);
    visit(host);
  }
}

/// A request's side of 5.8.3, but for the domain.
struct request_target {
  explicit request_target(const url& to) : host(to.host), path(to.path), secure(detail::is_secure(to)) {}

  /// `domain` is the host's or above it.
  bool takes(const cookie& what) const noexcept {
    return (what.host_only == 0 || what.domain == host) && (what.secure == 0 || secure) &&
           detail::path_matches(path, what.path);
  }

  std::string_view host;
  std::string_view path;
  bool secure;
};

} // namespace

expected<void> cookie_jar::receive(const url& from, std::string_view field, std::int64_t now_ms) {
  return parse_set_cookie(from, field, now_ms).and_then([&](cookie&& next) {
    return put(std::move(next), from, now_ms);
  });
}

expected<void> cookie_jar::set(const std::string& name, const std::string& value,
                               const cookie_attributes& attributes, std::int64_t now_ms) {
  return make_cookie(name, value, attributes, now_ms).and_then([&](cookie&& next) {
    return detail::set_by(name, attributes).and_then([&](const url& from) {
      return put(std::move(next), from, now_ms);
    });
  });
}

expected<void> cookie_jar::put(cookie next, const url& from, std::int64_t now_ms) {
  if (auto allowed = validate(next).and_then([&] { return detail::may_set(from, next); }); !allowed)
    return allowed;
  remove_if([now_ms](const cookie& each) { return has_expired(each, now_ms); });
  if (next.secure == 0 && !detail::is_secure(from) && would_hide_secure(next))
    return detail::refuse_cookie(next.name,
                                 fmt::format("it would hide a Secure cookie, and {} is not a secure origin",
                                             detail::quoted(from.origin())));
  next.expires_ms = std::min(next.expires_ms, now_ms + max_cookie_age.count() * 1000);
  if (has_expired(next, now_ms)) {
    remove_if([&](const cookie& each) { return is_same_cookie(each, next); });
    return {};
  }
  if (auto at = by_domain_.find(next.domain); at != by_domain_.end())
    for (auto& each : at->second)
      if (is_same_cookie(each, next)) {
        next.created_ms = each.created_ms; // so it keeps its place
        each = std::move(next);
        return {};
      }
  return make_room_for(next).map([&] {
    next.created_ms = free_time(next.created_ms);
    insert(std::move(next));
  });
}

/// The first moment from then on in which no cookie was set, so that those of one response, all of them set
/// in the same millisecond, have an order however they are kept.
std::int64_t cookie_jar::free_time(std::int64_t from_ms) const {
  std::vector<std::int64_t> taken;
  for (const auto& [domain, stored] : by_domain_)
    for (const auto& each : stored)
      if (each.created_ms >= from_ms) taken.push_back(each.created_ms);
  std::sort(taken.begin(), taken.end());
  for (const auto each : taken)
    from_ms += each == from_ms ? 1 : 0;
  return from_ms;
}

std::string cookie_jar::header_for(const url& to, std::int64_t now_ms) const {
  const auto sent = matching(to, now_ms);
  std::size_t bytes = 0;
  for (const auto* each : sent)
    bytes += each->name.size() + each->value.size() + 3;
  std::string header;
  header.reserve(bytes);
  for (const auto* each : sent) {
    if (!header.empty()) header += "; ";
    header += each->name;
    if (!each->name.empty()) header += '=';
    header += each->value;
  }
  return header;
}

std::vector<cookie> cookie_jar::cookies_for(const url& to, std::int64_t now_ms) const {
  std::vector<cookie> out;
  for (const auto* each : matching(to, now_ms))
    out.push_back(*each);
  return out;
}

std::vector<cookie> cookie_jar::cookies(std::int64_t now_ms) const {
  std::vector<cookie> out;
  for (const auto& [domain, stored] : by_domain_)
    std::copy_if(stored.begin(), stored.end(), std::back_inserter(out),
                 [now_ms](const cookie& each) { return !has_expired(each, now_ms); });
  return out;
}

std::optional<std::string> cookie_jar::get(std::string_view name, std::int64_t now_ms) const {
  const cookie* last = nullptr;
  for (const auto& [domain, stored] : by_domain_)
    for (const auto& each : stored)
      if (each.name == name && !has_expired(each, now_ms) &&
          (last == nullptr || each.used_ms > last->used_ms))
        last = &each;
  return last == nullptr ? std::nullopt : std::optional(last->value);
}

std::optional<std::string> cookie_jar::get(std::string_view name, const url& to, std::int64_t now_ms) const {
  for (const auto* each : matching(to, now_ms))
    if (each->name == name) return each->value;
  return std::nullopt;
}

std::size_t cookie_jar::remove(std::string_view name) {
  const std::string wanted(name); // a copy: `name` may be that of a cookie of ours
  return remove_if([&wanted](const cookie& each) { return each.name == wanted; });
}

std::size_t cookie_jar::remove(std::string_view name, const url& to) {
  const request_target target(to);
  const std::string wanted(name); // a copy, as above
  return remove_if([&](const cookie& each) {
    return each.name == wanted && detail::domain_matches(target.host, each.domain) && target.takes(each);
  });
}

std::size_t cookie_jar::size() const noexcept {
  std::size_t count = 0;
  for (const auto& [domain, stored] : by_domain_)
    count += stored.size();
  return count;
}

void cookie_jar::check_count(std::uint64_t stored) {
  if (stored > max_cookies)
    throw failure({errc::invalid_cookie,
                   fmt::format("a stored cookie jar has {} cookies; the limit is {}", stored, max_cookies)});
}

void cookie_jar::adopt(cookie stored) {
  if (auto at = by_domain_.find(stored.domain); at != by_domain_.end()) {
    if (at->second.size() >= max_cookies_per_domain)
      throw failure(
          {errc::invalid_cookie,
           fmt::format("a stored cookie jar has more than {} cookies of domain {}; that is the limit",
                       max_cookies_per_domain, detail::quoted(stored.domain))});
    for (const auto& each : at->second)
      if (is_same_cookie(each, stored))
        value_or_throw<void>(detail::refuse_cookie(stored.name, "a stored cookie jar has it twice"));
  }
  insert(std::move(stored));
}

std::vector<const cookie*> cookie_jar::matching(const url& to, std::int64_t now_ms) const {
  const request_target target(to);
  std::vector<const cookie*> found;
  bool sorted = true;
  for_each_domain(target.host, [&](std::string_view domain) {
    auto at = by_domain_.find(domain);
    if (at == by_domain_.end()) return;
    // 5.8.3: the list may have grown since the cookie was set.
    const bool host_only = detail::is_public_suffix(at->first);
    sorted = found.empty();
    for (const auto& each : at->second)
      if (target.takes(each) && !has_expired(each, now_ms) && (each.host_only != 0 || !host_only))
        found.push_back(&each);
  });
  if (!sorted)
    std::stable_sort(found.begin(), found.end(),
                     [](const cookie* a, const cookie* b) { return sent_before(*a, *b); });
  return found;
}

bool cookie_jar::would_hide_secure(const cookie& next) const {
  for (const auto& [domain, stored] : by_domain_)
    if (detail::domain_matches(domain, next.domain) || detail::domain_matches(next.domain, domain))
      for (const auto& each : stored)
        if (each.secure != 0 && each.name == next.name && detail::path_matches(next.path, each.path))
          return true;
  return false;
}

/// 5.7, "remove excess cookies". Expired ones are gone, so two of the four classes are left: in a full site
/// those without Secure before the others, in a full jar all alike. In each the one with the earliest use
/// goes. The limit is of a site, as in browsers: whoever has a domain has all names below it.
expected<void> cookie_jar::make_room_for(const cookie& next) {
  const auto goes_first = [](const cookie& a, const cookie& b) {
    return a.secure != b.secure ? a.secure < b.secure : used_before(a, b);
  };
  if (size() >= max_cookies_per_domain) {
    const auto site = detail::site_of(next.domain);
    for (;;) {
      auto of = by_domain_.end();
      bucket::iterator first;
      std::size_t of_site = 0;
      for (auto domain = by_domain_.begin(); domain != by_domain_.end(); ++domain) {
        if (!detail::domain_matches(domain->first, site)) continue;
        of_site += domain->second.size();
        auto here = std::min_element(domain->second.begin(), domain->second.end(), goes_first);
        if (of == by_domain_.end() || goes_first(*here, *first)) {
          of = domain;
          first = here;
        }
      }
      if (of_site < max_cookies_per_domain) break;
      if (first->secure > next.secure)
        return detail::refuse_cookie(
            next.name,
            fmt::format("domain {} has {} Secure cookies, which is the limit, and this one is not Secure",
                        detail::quoted(site), max_cookies_per_domain));
      of->second.erase(first);
      if (of->second.empty()) by_domain_.erase(of);
    }
  }
  if (size() >= max_cookies) {
    auto of = by_domain_.begin();
    auto first = of->second.begin();
    for (auto domain = by_domain_.begin(); domain != by_domain_.end(); ++domain)
      if (auto here = std::min_element(domain->second.begin(), domain->second.end(), used_before);
          used_before(*here, *first)) {
        of = domain;
        first = here;
      }
    of->second.erase(first);
    if (of->second.empty()) by_domain_.erase(of);
  }
  return {};
}

std::size_t cookie_jar::bytes() const noexcept {
  std::size_t sum = 0;
  for (const auto& [domain, stored] : by_domain_)
    for (const auto& each : stored)
      sum += bytes_of(each);
  return sum;
}

std::size_t cookie_jar::keep_within(std::size_t max_bytes) {
  auto all = bytes();
  if (all <= max_bytes) return 0;
  std::map<std::string, std::size_t> sites;
  std::map<std::string, std::string, std::less<>> site_by_domain;
  for (const auto& [domain, stored] : by_domain_) {
    const auto& of = site_by_domain.emplace(domain, detail::site_of(domain)).first->second;
    for (const auto& each : stored)
      sites[of] += bytes_of(each);
  }
  std::size_t removed = 0;
  while (all > max_bytes && !by_domain_.empty()) {
    auto largest = std::max_element(sites.begin(), sites.end(),
                                    [](const auto& a, const auto& b) { return a.second < b.second; });
    auto of = by_domain_.end();
    bucket::iterator first;
    for (auto domain = by_domain_.begin(); domain != by_domain_.end(); ++domain) {
      if (site_by_domain.find(domain->first)->second != largest->first) continue;
      auto here = std::min_element(domain->second.begin(), domain->second.end(), used_before);
      if (of == by_domain_.end() || used_before(*here, *first)) {
        of = domain;
        first = here;
      }
    }
    const auto gone = bytes_of(*first);
    all -= gone;
    largest->second -= gone;
    of->second.erase(first);
    if (of->second.empty()) by_domain_.erase(of);
    ++removed;
  }
  return removed;
}

void cookie_jar::insert(cookie next) {
  auto& stored = by_domain_[next.domain];
  stored.insert(std::upper_bound(stored.begin(), stored.end(), next, sent_before), std::move(next));
}

template <class Condition> std::size_t cookie_jar::remove_if(Condition condition) {
  std::size_t removed = 0;
  for (auto at = by_domain_.begin(); at != by_domain_.end();) {
    removed += std::erase_if(at->second, condition);
    at = at->second.empty() ? by_domain_.erase(at) : std::next(at);
  }
  return removed;
}

std::string merge_cookie_header(std::string_view own, std::string_view from_jar) {
  const auto take_pair = [](std::string_view& text) {
    auto end = std::min(text.find(';'), text.size());
    auto pair = detail::strip_blanks(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    return pair;
  };
  // A pair without '=' is the value of a cookie without a name.
  const auto name_of = [](std::string_view pair) {
    auto equals = pair.find('=');
    return equals == std::string_view::npos ? std::string_view{}
                                            : detail::strip_blanks(pair.substr(0, equals));
  };
  std::string merged;
  std::vector<std::string_view> names;
  const auto append = [&merged](std::string_view pair) {
    merged.append(merged.empty() ? "" : "; ").append(pair);
  };
  while (!own.empty())
    if (auto pair = take_pair(own); !pair.empty()) {
      names.push_back(name_of(pair));
      append(pair);
    }
  while (!from_jar.empty())
    if (auto pair = take_pair(from_jar);
        !pair.empty() && std::find(names.begin(), names.end(), name_of(pair)) == names.end())
      append(pair);
  return merged;
}

} // namespace dormouse
