#include <dormouse/actors/durable_object.hpp>

#include <fmt/format.h>

namespace dormouse {

durable_object::~durable_object() = default;

void durable_object::on_create() {}

void durable_object::on_wake() {}

pending durable_object::fetch(fetch_input input, fetch_init init) {
  return create_proxy_fetch(host(), {.return_address = self_address()})(std::move(input), std::move(init));
}

browser durable_object::browser(std::string jar) {
  return dormouse::browser(create_proxy_fetch(host(), {.return_address = self_address()}), std::move(jar));
}

browser durable_object::browser(const proxy_fetch& fetch, std::string jar) {
  return dormouse::browser(fetch, std::move(jar));
}

const cookie_jar& durable_object::cookies(const std::string& jar) const {
  value_or_throw(check_jar_name(jar));
  return host().peek_jar(jar);
}

void durable_object::abort(const abort_controller& controller, std::string reason) {
  value_or_throw(host().abort(controller.id(), std::move(reason)));
}

bool durable_object::aborted(const abort_signal& signal) const {
  if (signal.at_ms() != 0 &&
      std::chrono::duration_cast<std::chrono::milliseconds>(now().time_since_epoch()).count() >=
          signal.at_ms())
    return true;
  for (const auto& id : signal.sources())
    if (value_or_throw(host().aborted(id))) return true;
  return false;
}

schedule_id durable_object::add_schedule(schedule_options how, std::string_view binding,
                                         std::string_view method, std::string arguments) {
  if (binding != self_address().binding)
    throw failure({errc::unknown_method,
                   fmt::format("the scheduled method {}.{} belongs to another class than the object {}",
                               binding, method, to_string(self_address()))});
  auto what = how.at.describe(now());
  what.id.name = std::move(how.name);
  what.method = method;
  what.arguments = std::move(arguments);
  what.missed = how.missed;
  return value_or_throw(host().enqueue_schedule(std::move(what)));
}

bool durable_object::cancel_schedule(const schedule_id& which) {
  return value_or_throw(host().cancel_schedule(which));
}

bool durable_object::cancel_schedule(const std::string& name) {
  return !name.empty() && cancel_schedule(schedule_id{0, name});
}

std::vector<schedule_info> durable_object::schedules(std::size_t limit) const {
  const auto time = [](std::int64_t ms) {
    return std::chrono::system_clock::time_point(std::chrono::milliseconds(ms));
  };
  std::vector<schedule_info> out;
  for (auto& each : value_or_throw(host().schedules(limit)))
    out.push_back(
        {std::move(each.id), std::move(each.method), time(each.tick_ms), time(each.due_ms), each.recurs()});
  return out;
}

std::optional<std::chrono::system_clock::time_point> durable_object::tick() const { return host().tick(); }

bool durable_object::cancel_call(const call_id& which) { return value_or_throw(host().cancel_call(which)); }

void durable_object::settle(const any_promise_id& id, call_result<std::string> outcome) {
  call_message what;
  what.method = task_methods::settle;
  what.arguments = encode(step_place{id.task.number, id.step}, outcome);
  value_or_throw(host().enqueue_call(id.task.object, std::move(what)));
}

void durable_object::reject(const any_promise_id& id, std::string why) {
  settle(id, tl::unexpected<call_error>({errc::handler_failed, std::move(why), self_address()}));
}

void durable_object::cancel(const task_id& id, std::string reason) {
  call_message what;
  what.method = task_methods::cancel;
  what.arguments = encode(id.number, reason);
  value_or_throw(host().enqueue_call(id.object, std::move(what)));
}

fetch_queue& durable_object::queue() { return host(); }

void durable_object::hibernate() { host().hibernate(); }

void durable_object::destroy() { value_or_throw(host().destroy()); }

void durable_object::block_until_ready(std::chrono::milliseconds timeout) {
  value_or_throw(host().block_until_ready(timeout));
}

void durable_object::ready() { host().ready(); }

const address& durable_object::self_address() const { return host().self(); }

std::chrono::system_clock::time_point durable_object::now() const { return host().now(); }

turn_host& durable_object::host() const {
  if (host_ == nullptr)
    throw failure({errc::invalid_request, "an object can use its runtime only inside a turn, not in its "
                                          "constructor, destructor or serialize()"});
  return *host_;
}

} // namespace dormouse
