#include "upstream/answer_plan.hpp"

#include "upstream/url_text.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <system_error>
#include <type_traits>
#include <utility>

namespace dormouse::samples {

namespace {

constexpr std::uint64_t longest_delay_ms = 3'600'000;
constexpr std::uint64_t most_chunks = 1'000'000;
constexpr std::uint64_t most_bytes = std::uint64_t{1} << 40U;
constexpr std::uint64_t most_hops = 1'000'000;
constexpr std::uint64_t any_count = ~std::uint64_t{0};

// An encoded body is held in memory, and encoding it takes the server's only thread.
constexpr std::uint64_t most_encoded_bytes = std::uint64_t{1} << 28U;
constexpr std::uint64_t most_pages = 1'000'000;
constexpr std::uint64_t longest_expiry_s = 86'400;

template <class Value> struct named {
  std::string_view name;
  Value value;
};

template <class Value, std::size_t Count>
std::optional<Value> find_named(const std::array<named<Value>, Count>& list, std::string_view name) {
  for (const auto& entry : list) {
    if (entry.name == name) {
      return entry.value;
    }
  }
  return std::nullopt;
}

constexpr std::array paths{
    named<route>{"/plain", route::plain},
    named<route>{"/echo", route::echo},
    named<route>{"/headers", route::headers},
    named<route>{"/redirect", route::redirect},
    named<route>{"/redirect_chain", route::redirect_chain},
    named<route>{"/set_cookie", route::set_cookie},
    named<route>{"/cookies", route::cookies},
    named<route>{"/upload", route::upload},
    named<route>{"/site/login", route::site_login},
    named<route>{"/site/account", route::site_account},
    named<route>{"/site/logout", route::site_logout},
    named<route>{"/auth/token", route::auth_token},
    named<route>{"/auth/refresh", route::auth_refresh},
    named<route>{"/api/profile", route::api_profile},
    named<route>{"/api/orders", route::api_orders},
    named<route>{"/counters", route::counters},
    named<route>{"/summary", route::summary},
    named<route>{"/reset", route::reset},
};

constexpr std::array modes{
    named<answer_mode>{"normal", answer_mode::normal},
    named<answer_mode>{"chunked", answer_mode::chunked},
    named<answer_mode>{"slow_body", answer_mode::slow_body},
    named<answer_mode>{"drop", answer_mode::drop},
    named<answer_mode>{"abort", answer_mode::abort},
    named<answer_mode>{"drop_body", answer_mode::drop_body},
    named<answer_mode>{"hang", answer_mode::hang},
};

std::optional<std::uint64_t> read_number(std::string_view text, std::uint64_t least, std::uint64_t most) {
  std::uint64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc{} || stop != end || number < least || number > most) {
    return std::nullopt;
  }
  return number;
}

constexpr std::array codings{
    named<coding>{"identity", coding::identity},
    named<coding>{"gzip", coding::gzip},
    named<coding>{"br", coding::br},
    named<coding>{"zstd", coding::zstd},
};

// A header value may hold no control characters but a tab: one would split the head.
std::optional<std::string> read_header_value(std::string_view text) {
  auto value = unescape(text);
  const auto is_control = [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return (byte < 0x20 && c != '\t') || byte == 0x7f;
  };
  if (value && std::any_of(value->begin(), value->end(), is_control)) {
    return std::nullopt;
  }
  return value;
}

// Stores what was read; false when there was nothing usable to store.
template <class Field, class Read> bool store(Field& field, std::optional<Read>&& read) {
  if (!read) {
    return false;
  }
  if constexpr (std::is_arithmetic_v<Field>) {
    field = static_cast<Field>(*read);
  } else {
    field = Field{*std::move(read)};
  }
  return true;
}

bool add_set_cookie(answer_plan& plan, std::string_view text) {
  const auto value = read_header_value(text);
  if (value) {
    plan.extra_headers += "set-cookie: " + *value + "\r\n";
  }
  return value.has_value();
}

// `name:value`, url-encoded as a whole. The name goes out as it is.
bool add_any_header(answer_plan& plan, std::string_view text) {
  const auto line = read_header_value(text);
  if (!line || line->find(':') == std::string::npos || line->starts_with(':')) {
    return false;
  }
  plan.extra_headers += *line + "\r\n";
  return true;
}

template <class Field> bool store_milliseconds(Field& field, std::string_view text) {
  const auto count = read_number(text, 0, longest_delay_ms);
  if (!count) {
    return false;
  }
  field = std::chrono::milliseconds{static_cast<std::int64_t>(*count)};
  return true;
}

// Below 200 would announce an interim answer that is never followed by one.
template <class Field> bool store_status(Field& field, std::string_view text) {
  return store(field, read_number(text, 200, 599));
}

// The text for `problem`, empty when the parameter was fine.
std::string_view read_parameter(answer_plan& plan, std::string_view name, std::string_view value) {
  const auto or_problem = [](bool fine, std::string_view problem) {
    return fine ? std::string_view{} : problem;
  };
  if (name == "delay_ms") {
    return or_problem(store_milliseconds(plan.delay, value), "delay_ms: 0 to 3600000");
  }
  if (name == "status") {
    return or_problem(store_status(plan.status, value), "status: 200 to 599");
  }
  if (name == "bytes") {
    return or_problem(store(plan.bytes, read_number(value, 0, most_bytes)), "bytes: 0 to 2^40");
  }
  if (name == "fail_first") {
    return or_problem(store(plan.fail_first, read_number(value, 0, any_count)), "fail_first: a count");
  }
  if (name == "fail_status") {
    return or_problem(store_status(plan.fail_status, value), "fail_status: 200 to 599");
  }
  if (name == "retry_after") {
    return or_problem(store(plan.retry_after, read_header_value(value)), "retry_after: a header value");
  }
  if (name == "mode") {
    return or_problem(store(plan.mode, find_named(modes, value)),
                      "mode: normal, chunked, slow_body, drop, abort, drop_body or hang");
  }
  if (name == "chunk_ms") {
    return or_problem(store_milliseconds(plan.chunk_pause, value), "chunk_ms: 0 to 3600000");
  }
  if (name == "chunks") {
    return or_problem(store(plan.chunks, read_number(value, 1, most_chunks)), "chunks: 1 to 1000000");
  }
  if (name == "to") {
    return or_problem(store(plan.location, read_header_value(value)), "to: an url-encoded location");
  }
  if (name == "n") {
    return or_problem(store(plan.hops, read_number(value, 0, most_hops)), "n: 0 to 1000000");
  }
  if (name == "set_cookie" || (name == "c" && plan.where == route::set_cookie)) {
    return or_problem(add_set_cookie(plan, value),
                      name == "c" ? "c: a Set-Cookie value" : "set_cookie: a Set-Cookie value");
  }
  if (name == "header") {
    return or_problem(add_any_header(plan, value), "header: an url-encoded name:value");
  }
  if (name == "encoding") {
    return or_problem(store(plan.encoding, find_named(codings, value)),
                      "encoding: identity, gzip, br or zstd");
  }
  if (name == "page") {
    return or_problem(store(plan.page, read_number(value, 1, most_pages)), "page: 1 to 1000000");
  }
  if (name == "rate_limit") {
    return or_problem(store(plan.rate_limit, read_number(value, 0, any_count)), "rate_limit: a count");
  }
  if (name == "uses") {
    return or_problem(store(plan.uses, read_number(value, 0, any_count)), "uses: a count");
  }
  if (name == "expires_in") {
    const auto count = read_number(value, 0, longest_expiry_s);
    plan.expires_in = std::chrono::seconds{static_cast<std::int64_t>(count.value_or(0))};
    return or_problem(count.has_value(), "expires_in: 0 to 86400");
  }
  if (name == "answered") {
    plan.with_answered = value == "1";
  }
  return {};
}

// A proxy may send the absolute form; the path is what counts here.
std::string_view without_origin(std::string_view target) {
  const auto scheme = target.find("://");
  if (target.starts_with('/') || scheme == std::string_view::npos) {
    return target;
  }
  const auto path = target.find('/', scheme + 3);
  return path == std::string_view::npos ? std::string_view{} : target.substr(path);
}

// /repos/<owner>/<name>
bool is_repo_path(std::string_view path) noexcept {
  constexpr std::string_view prefix = "/repos/";
  if (!path.starts_with(prefix)) {
    return false;
  }
  path.remove_prefix(prefix.size());
  const auto slash = path.find('/');
  return slash != std::string_view::npos && slash > 0 && slash + 1 < path.size() &&
         path.find('/', slash + 1) == std::string_view::npos;
}

// /pages/<number>, and what is no number is a page that is not there
bool is_linked_page(std::string_view path) noexcept {
  constexpr std::string_view prefix = "/pages/";
  return path.size() > prefix.size() && path.starts_with(prefix) &&
         path.find('/', prefix.size()) == std::string_view::npos;
}

void read_path(answer_plan& plan, std::string_view path) {
  constexpr std::string_view key_prefix = "/k/";
  if (is_repo_path(path)) {
    plan.where = route::repo;
    plan.key = path;
    return;
  }
  if (is_linked_page(path)) {
    plan.where = route::linked_page;
    plan.key = path;
    return;
  }
  if (!path.starts_with(key_prefix)) {
    plan.where = find_named(paths, path).value_or(route::unknown);
    plan.key = path;
    return;
  }
  const auto segment = path.substr(key_prefix.size());
  if (segment.empty() || segment.find('/') != std::string_view::npos) {
    return;
  }
  plan.where = route::key;
  if (!store(plan.key, unescape(segment))) {
    plan.problem = "the key: a bad percent escape";
  }
}

} // namespace

answer_plan read_plan(std::string_view target) {
  answer_plan plan;
  target = without_origin(target);
  const auto mark = target.find('?');
  read_path(plan, target.substr(0, mark));
  auto query = mark == std::string_view::npos ? std::string_view{} : target.substr(mark + 1);
  while (!query.empty() && plan.problem.empty()) {
    const auto parameter = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), parameter.size() + 1));
    const auto equals = parameter.find('=');
    const auto value = equals == std::string_view::npos ? std::string_view{} : parameter.substr(equals + 1);
    plan.problem = read_parameter(plan, parameter.substr(0, equals), value);
  }
  if (plan.where == route::redirect && plan.location.empty() && plan.problem.empty()) {
    plan.problem = "to: missing";
  }
  if (plan.where == route::set_cookie && plan.extra_headers.empty() && plan.problem.empty()) {
    plan.problem = "c: missing";
  }
  if (plan.encoding != coding::identity && plan.bytes.value_or(0) > most_encoded_bytes &&
      plan.problem.empty()) {
    plan.problem = "bytes: 0 to 2^28 together with encoding";
  }
  return plan;
}

bool breaks_answer(answer_mode mode) noexcept {
  switch (mode) {
  case answer_mode::normal:
  case answer_mode::chunked:
  case answer_mode::slow_body:
    return false;
  case answer_mode::drop:
  case answer_mode::abort:
  case answer_mode::drop_body:
  case answer_mode::hang:
    return true;
  }
  return false;
}

bool is_work(route where) noexcept {
  switch (where) {
  case route::unknown:
  case route::counters:
  case route::summary:
  case route::reset:
    return false;
  default:
    return true;
  }
}

bool is_application(route where) noexcept {
  switch (where) {
  case route::upload:
  case route::repo:
  case route::linked_page:
  case route::site_login:
  case route::site_account:
  case route::site_logout:
  case route::auth_token:
  case route::auth_refresh:
  case route::api_profile:
  case route::api_orders:
    return true;
  default:
    return false;
  }
}

} // namespace dormouse::samples
