#include <dormouse/actors/browser.hpp>
#include <dormouse/serialization/url.hpp>

#include <fmt/format.h>

namespace dormouse {
namespace {

proxy_fetch with_jar(const proxy_fetch& fetch, std::string jar) {
  value_or_throw(check_jar_name(jar));
  auto config = fetch.config();
  config.jar = std::move(jar);
  return create_proxy_fetch(fetch.queue(), std::move(config));
}

/// Only the object that the jar belongs to can look into it: in a turn of another one, that one's jar of this
/// name would be meant by nobody.
void require_own_turn(const proxy_fetch& fetch) {
  const auto* turn = dynamic_cast<const turn_host*>(&fetch.queue());
  if (turn != nullptr && turn->self() != fetch.config().return_address)
    throw failure(
        {errc::invalid_request,
         fmt::format("cookie jar '{}' belongs to object {}, and this is a turn of {}: an object looks at its "
                     "own jars and changes them in its own turns only",
                     fetch.config().jar, to_string(fetch.config().return_address), to_string(turn->self()))});
}

cookie_jar& found_or_throw(cookie_jar* found) {
  if (found == nullptr)
    throw failure({errc::invalid_request,
                   "cookies belong to an object: they can be looked at and changed in its turns only"});
  return *found;
}

} // namespace

browser::browser(const proxy_fetch& fetch, std::string jar) : fetch_(with_jar(fetch, std::move(jar))) {}

cookie_jar& browser::jar() const {
  require_own_turn(fetch_);
  return found_or_throw(fetch_.queue().jar(fetch_.config().jar));
}

std::int64_t browser::now_ms() const {
  return std::chrono::duration_cast<std::chrono::milliseconds>(fetch_.queue().now().time_since_epoch())
      .count();
}

void browser::set_cookie(const std::string& name, const std::string& value,
                         const cookie_attributes& attributes) {
  value_or_throw(jar().set(name, value, attributes, now_ms()));
}

std::optional<std::string> browser::get_cookie(const std::string& name) const {
  return jar().get(name, now_ms());
}

std::optional<std::string> browser::get_cookie(const std::string& name, const std::string& url) const {
  return jar().get(name, value_or_throw(parse_url(url)), now_ms());
}

std::size_t browser::remove_cookie(const std::string& name) { return jar().remove(name); }

std::size_t browser::remove_cookie(const std::string& name, const std::string& url) {
  return jar().remove(name, value_or_throw(parse_url(url)));
}

std::vector<cookie> browser::cookies() const { return jar().cookies(now_ms()); }

std::vector<cookie> browser::cookies_for(const std::string& url) const {
  return jar().cookies_for(value_or_throw(parse_url(url)), now_ms());
}

void browser::clear() {
  require_own_turn(fetch_);
  (void)found_or_throw(fetch_.queue().empty_jar(fetch_.config().jar));
}

browser create_proxy_browser(fetch_queue& queue, proxy_fetch_config config) {
  auto jar = config.jar.empty() ? std::string(default_jar) : std::move(config.jar);
  config.jar.clear();
  return browser(create_proxy_fetch(queue, std::move(config)), std::move(jar));
}

} // namespace dormouse
