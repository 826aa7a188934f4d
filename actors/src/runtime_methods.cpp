#include <dormouse/actors/runtime_methods.hpp>
#include <dormouse/serialization/task_journal.hpp>

namespace dormouse::runtime_methods {

constinit const method_descriptor start_task{.name = task_methods::start};
constinit const method_descriptor await_task{.name = task_methods::await};
constinit const method_descriptor cancel_task{.name = task_methods::cancel};
constinit const method_descriptor settle_step{.name = task_methods::settle};
constinit const method_descriptor restart_task{.name = task_methods::restart};
constinit const method_descriptor wake_task{.name = task_methods::wake};
constinit const method_descriptor forget_task{.name = task_methods::forget};

const method_descriptor* find(std::string_view name) noexcept {
  for (const auto* each :
       {&start_task, &await_task, &cancel_task, &settle_step, &restart_task, &wake_task, &forget_task})
    if (each->name == name) return each;
  return nullptr;
}

const method_descriptor* find(const class_descriptor& type, std::string_view name) noexcept {
  return name.starts_with('#') ? find(name) : type.find(name);
}

bool is_about_tasks(const method_descriptor& method) noexcept { return method.invoke == nullptr; }

bool is_about_begun_task(const method_descriptor& method) noexcept {
  return is_about_tasks(method) && method.make_task == nullptr && &method != &start_task;
}

} // namespace dormouse::runtime_methods
