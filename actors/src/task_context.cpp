#include "unix_time.hpp"

#include <dormouse/actors/browser.hpp>
#include <dormouse/actors/task_context.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace dormouse::detail {
namespace {

constexpr std::size_t max_target_bytes = 200;
constexpr std::chrono::milliseconds longest_sleep = std::chrono::hours(24 * 366);

std::string shortened(std::string text) {
  if (text.size() > max_target_bytes) text.resize(max_target_bytes);
  return text;
}

/// What a fetch is recognised by, without making it: that would take a URL apart each time it is replayed.
struct fetch_identity {
  std::string target;
  std::uint32_t digest = 0;
};

fetch_identity identify(const fetch_input& input, const fetch_init& init, const std::string& jar) {
  const auto* made = input.as_request();
  fetch_identity out;
  const auto& method = init.method ? *init.method : made != nullptr ? made->method() : std::string("GET");
  out.digest = crc32c(jar, crc32c(input.url(), crc32c(method)));
  const auto add = [&out](const headers& fields) {
    for (const auto& [name, value] : fields.fields())
      out.digest = crc32c(value, crc32c(name, out.digest));
  };
  if (init.headers)
    add(*init.headers);
  else if (made != nullptr)
    add(made->headers());
  if (init.body.present())
    out.digest = crc32c(init.body.bytes(), out.digest);
  else if (made != nullptr)
    out.digest = crc32c(made->body().bytes(), out.digest);
  out.target = shortened(method + ' ' + input.url());
  return out;
}

task_host::outcome refused(const error& why, const address& self) {
  return unexpected<error>(with_origin(why, self));
}

} // namespace

std::uint64_t fetch_step(task_run& run, fetch_input&& input, fetch_init&& init, const std::string& jar) {
  auto who = identify(input, init, jar);
  return run.step(
      step_kind::fetch, std::move(who.target), who.digest,
      [&](task_host& host, const step_place& place, journal_step& step) -> task_host::outcome {
        auto message =
            make_fetch_message(std::move(input), std::move(init), host.default_timeout(), host.now());
        if (!message) return refused(message.error(), run.id().object);
        if (!jar.empty() && (jar.size() > max_jar_name_bytes || !is_valid_utf8(jar)))
          return refused({errc::invalid_request,
                          fmt::format("cookie jar {:?} has {} bytes; a name is 1..{} bytes of UTF-8",
                                      jar.substr(0, 100), jar.size(), max_jar_name_bytes)},
                         run.id().object);
        message->extra.jar = jar;
        return host.fetch(place, step, std::move(*message));
      });
}

namespace {

std::string target_of_call(std::string_view method, const address& to) {
  return shortened(fmt::format("{} of {}", method, to_string(to)));
}

/// Whether a journal has it for a call of this method of this object, under names that they had before.
bool is_of_call(std::string_view recorded, const address& to, const other_names& names) {
  const auto is_under = [&](std::string_view binding) {
    const address then{std::string(binding), to.instance_id};
    constexpr std::string_view between = " of ";
    for (auto at = recorded.find(between); at != std::string_view::npos;
         at = recorded.find(between, at + 1)) // which a name may have in it
      if (const auto method = recorded.substr(0, at);
          names.are_of_method(method) && recorded == target_of_call(method, then))
        return true;
    return false;
  };
  return is_under(to.binding) || std::any_of(names.old_bindings.begin(), names.old_bindings.end(), is_under);
}

} // namespace

std::uint64_t call_step(task_run& run, const address& to, std::string_view method, const other_names& names,
                        std::string arguments) {
  const auto digest = crc32c(arguments);
  const auto is_the_same = [&](std::string_view recorded) { return is_of_call(recorded, to, names); };
  const auto perform = [&](task_host& host, const step_place& place, journal_step& step) {
    call_message what;
    what.method = method;
    what.arguments = std::move(arguments);
    return host.call(place, step, to, std::move(what));
  };
  return run.step(step_kind::call, target_of_call(method, to), digest, perform, is_the_same);
}

std::uint64_t own_call_step(task_run& run, std::string_view method, const other_names& names,
                            std::string arguments) {
  const auto digest = crc32c(arguments);
  const auto perform = [&](task_host& host, const step_place& place, journal_step& step) {
    return host.call_own(place, step, method, std::move(arguments));
  };
  return run.step(step_kind::call_own, std::string(method), digest, perform, names.are_of_method);
}

std::uint64_t sleep_step(task_run& run, std::chrono::milliseconds span) {
  return run.step(step_kind::sleep, fmt::format("for {} ms", span.count()), 0,
                  [&](task_host& host, const step_place& place, journal_step& step) -> task_host::outcome {
                    if (span > longest_sleep)
                      return refused(
                          {errc::invalid_request, fmt::format("a task sleeps for {} ms; the limit is {} ms",
                                                              span.count(), longest_sleep.count())},
                          run.id().object);
                    return host.sleep(place, step, host.now() + std::max(span, std::chrono::milliseconds(0)));
                  });
}

std::uint64_t sleep_step(task_run& run, std::chrono::system_clock::time_point until) {
  return run.step(step_kind::sleep, fmt::format("until {} ms", in_ms(until)), 0,
                  [&](task_host& host, const step_place& place, journal_step& step) -> task_host::outcome {
                    if (until > host.now() + longest_sleep)
                      return refused({errc::invalid_request,
                                      fmt::format("a task sleeps until {} ms ahead; the limit is {} ms",
                                                  in_ms(until) - in_ms(host.now()), longest_sleep.count())},
                                     run.id().object);
                    return host.sleep(place, step, until);
                  });
}

std::uint64_t now_step(task_run& run) {
  return run.step(step_kind::now, {}, 0,
                  [](task_host& host, const step_place&, journal_step&) -> task_host::outcome {
                    return encode(host.now());
                  });
}

std::uint64_t random_step(task_run& run) {
  return run.step(step_kind::random, {}, 0,
                  [](task_host& host, const step_place&, journal_step&) -> task_host::outcome {
                    return encode(host.random());
                  });
}

std::uint64_t uuid_step(task_run& run) {
  return run.step(
      step_kind::uuid, {}, 0, [](task_host& host, const step_place&, journal_step&) -> task_host::outcome {
        const auto high = (host.random() & ~0xf000ULL) | 0x4000U;          // version 4
        const auto low = (host.random() & ~(3ULL << 62U)) | (2ULL << 62U); // variant 10
        return encode(fmt::format("{:08x}-{:04x}-{:04x}-{:04x}-{:012x}", high >> 32U, (high >> 16U) & 0xffffU,
                                  high & 0xffffU, low >> 48U, low & 0xffff'ffff'ffffULL));
      });
}

std::uint64_t promise_step(task_run& run) {
  return run.step(
      step_kind::promise, {}, 0,
      [](task_host&, const step_place&, journal_step&) -> task_host::outcome { return std::nullopt; });
}

std::optional<settled<response>> read_fetch_step(task_run& run, std::uint64_t number) {
  const auto& step = run.at(number);
  if (!step.outcome) return std::make_exception_ptr(failure(step.outcome.error()));
  auto result = decode<fetch_result>(*step.outcome);
  if (!result) {
    run.halt({errc::corrupt, fmt::format("the response of step {}, '{}', does not decode: {}", number,
                                         to_string(step), result.error().message)});
    return std::nullopt;
  }
  if (!*result) return std::make_exception_ptr(fetch_failed(std::move(result->error())));
  if (step.body_is_blob != 0) {
    auto body = run.host().load_body(step.reference);
    if (!body) {
      run.halt(body.error());
      return std::nullopt;
    }
    response_access::body(**result) = std::move(*body);
  }
  return settled<response>(std::in_place_index<0>, std::move(**result));
}

} // namespace dormouse::detail
