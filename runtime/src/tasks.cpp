#include "host/front_desk.hpp"

#include <dormouse/runtime/tasks.hpp>

#include <fmt/format.h>

namespace dormouse {
namespace {

task_id under_present_name(const runtime_core& core, task_id id) {
  id.object = core.present(std::move(id.object));
  return id;
}

task_entry shown(store& from, task_id id, task_record&& record) {
  task_entry out;
  out.method = std::move(record.method);
  out.state = record.state;
  out.created = std::chrono::system_clock::time_point(std::chrono::milliseconds(record.created_ms));
  if (record.state > task_state::running && !record.outcome) out.error = std::move(record.outcome.error());
  if (record.state <= task_state::stuck)
    for (auto rows = from.scan(keys::steps_of(id)); rows->valid(); rows->next())
      ++out.steps;
  out.id = std::move(id);
  return out;
}

/// One whose record is damaged.
task_entry unreadable(task_id id, const error& why) {
  task_entry out;
  out.state = task_state::stuck;
  out.error = call_error{why.code, why.message, id.object};
  out.id = std::move(id);
  return out;
}

} // namespace

tasks::tasks(std::shared_ptr<front_desk> desk) : desk_(std::move(desk)) {}

std::vector<task_entry> tasks::list(const task_filter& which) const {
  if (which.limit < 1 || which.limit > most_listed)
    throw failure({errc::invalid_request,
                   fmt::format("task_filter::limit is {}; it must be 1..{}", which.limit, most_listed)});
  return desk_->with_store([&which](runtime_core& core) {
    const bool by_index = which.state == task_state::stuck; // it has a row for each of them, and no more
    const address of = core.present({which.binding, which.instance_id});
    const char kind = by_index ? 'U' : 'T';
    auto range = of.binding.empty() ? keys::all(kind)
                 : by_index         ? keys::stuck_tasks_of(of.binding)
                                    : keys::tasks_of(of.binding);
    if (!of.binding.empty() && !of.instance_id.empty()) range = keys::rows_of(kind, of);
    if (which.after) {
      const auto last = under_present_name(core, *which.after);
      range.first = std::max(range.first, (by_index ? keys::stuck_task(last) : keys::task(last)) + '\0');
    }
    std::vector<task_entry> out;
    const auto rows = core.store->scan_readable(range);
    for (; rows->valid() && out.size() < which.limit; rows->next()) {
      auto id = keys::parse_task(rows->key());
      if (!id) continue; // nothing can be asked of it
      auto record = by_index ? core.store->load_task(*id)
                             : core.store->read_task(rows->value()).map([](task_record&& of_row) {
                                 return std::optional(std::move(of_row));
                               });
      if (!record && record.error().code != errc::corrupt) throw failure(record.error());
      if (!record && (by_index || !which.state))
        out.push_back(unreadable(std::move(*id), record.error()));
      else if (record && *record && (!which.state || (*record)->state == *which.state))
        out.push_back(shown(*core.store, std::move(*id), std::move(**record)));
    }
    value_or_throw(rows->status());
    return out;
  });
}

std::optional<task_entry> tasks::find(const task_id& id) const {
  return desk_->with_store([&id](runtime_core& core) -> std::optional<task_entry> {
    auto present = under_present_name(core, id);
    auto record = value_or_throw(core.store->load_task(present));
    if (!record) return std::nullopt;
    return shown(*core.store, std::move(present), std::move(*record));
  });
}

std::vector<journal_step> tasks::journal(const task_id& id) const {
  return desk_->with_store([&id](runtime_core& core) {
    const auto present = under_present_name(core, id);
    auto record = value_or_throw(core.store->load_task(present));
    return record ? value_or_throw(core.store->load_journal(present, record->first_step))
                  : std::vector<journal_step>();
  });
}

std::string tasks::describe_result(const task_id& id) const {
  auto out = fmt::format("the result of task {}", to_string(id));
  try {
    desk_->with_store([&](runtime_core& core) {
      const auto present = under_present_name(core, id);
      const auto record = core.store->load_task(present);
      if (!record || !*record) return;
      const auto* type = core.find_class(present.object.binding);
      const auto* method = type != nullptr ? type->find((*record)->method) : nullptr;
      out += fmt::format(" ({}.{}{}{})", present.object.binding, (*record)->method,
                         method != nullptr && method->result_type != nullptr ? ", which returns " : "",
                         method != nullptr && method->result_type != nullptr ? method->result_type()
                                                                             : std::string());
    });
  } catch (const failure&) { // the reply tells
  }
  return out;
}

std::future<bool> tasks::cancel(const task_id& id, std::string reason) const {
  auto sink = std::make_unique<detail::promise_sink<bool>>();
  auto future = sink->future();
  send(id.object, runtime_methods::cancel_task, encode(id.number, reason), std::move(sink));
  return future;
}

std::future<bool> tasks::reject(const any_promise_id& id, std::string why) const {
  return settle(id, tl::unexpected<call_error>({errc::handler_failed, std::move(why), {}}));
}

std::future<bool> tasks::settle(const any_promise_id& id, call_result<std::string> outcome) const {
  auto sink = std::make_unique<detail::promise_sink<bool>>();
  auto future = sink->future();
  send(id.task.object, runtime_methods::settle_step, encode(step_place{id.task.number, id.step}, outcome),
       std::move(sink));
  return future;
}

void tasks::send(const address& to, const method_descriptor& method, std::string arguments,
                 std::unique_ptr<reply_sink> sink) const {
  if (auto good = validate(to); !good) return sink->resolve(unexpected<error>(good.error()));
  desk_->call(desk_->present(to), method, std::move(arguments), std::move(sink));
}

} // namespace dormouse
