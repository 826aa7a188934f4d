#pragma once

/// The methods that every object has and no class declares: how tasks are started, asked and told from
/// elsewhere (task_journal.hpp names them and their arguments). They travel and are stored like calls of an
/// author's methods.

#include <dormouse/actors/class_descriptor.hpp>

#include <string_view>

namespace dormouse::runtime_methods {

extern const method_descriptor start_task;
extern const method_descriptor await_task;
extern const method_descriptor cancel_task;
extern const method_descriptor settle_step;
extern const method_descriptor restart_task;
extern const method_descriptor wake_task;
extern const method_descriptor forget_task;

/// Null if there is none.
const method_descriptor* find(std::string_view name) noexcept;

/// The class's own or one of these; null if there is none.
const method_descriptor* find(const class_descriptor& type, std::string_view name) noexcept;

/// Whether tasks are what it is about.
bool is_about_tasks(const method_descriptor& method) noexcept;

/// And those must have begun earlier.
bool is_about_begun_task(const method_descriptor& method) noexcept;

} // namespace dormouse::runtime_methods
