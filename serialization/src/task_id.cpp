#include <dormouse/serialization/error.hpp>
#include <dormouse/serialization/task_id.hpp>

#include <fmt/format.h>

#include <charconv>

namespace dormouse {
namespace {

template <class Number> bool read_number(std::string_view text, Number& out) {
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), out);
  return problem == std::errc() && end == text.data() + text.size();
}

struct parts {
  address object;
  std::string_view middle;
};

expected<parts> split(std::string_view text, std::string_view what) {
  const auto first = text.find('/');
  const auto second = first == std::string_view::npos ? first : text.find('/', first + 1);
  if (second == std::string_view::npos)
    return fail(errc::bad_arguments, fmt::format("{:?} is not the id of a {}", text.substr(0, 100), what));
  parts out{{std::string(text.substr(0, first)), std::string(text.substr(second + 1))},
            text.substr(first + 1, second - first - 1)};
  if (auto good = validate(out.object); !good)
    return fail(errc::bad_arguments, fmt::format("{:?} is not the id of a {}: {}", text.substr(0, 100), what,
                                                 good.error().message));
  return out;
}

} // namespace

std::string to_string(const task_id& id) {
  return fmt::format("{}/{}/{}", id.object.binding, id.number, id.object.instance_id);
}

expected<task_id> parse_task_id(std::string_view text) {
  auto found = split(text, "task");
  if (!found) return unexpected<error>(found.error());
  task_id out{std::move(found->object), 0};
  if (!read_number(found->middle, out.number))
    return fail(errc::bad_arguments, fmt::format("{:?} is not the id of a task", text.substr(0, 100)));
  return out;
}

std::string to_string(const any_promise_id& id) {
  return fmt::format("{}/{}.{}/{}", id.task.object.binding, id.task.number, id.step,
                     id.task.object.instance_id);
}

expected<any_promise_id> parse_promise_id(std::string_view text) {
  auto found = split(text, "promise");
  if (!found) return unexpected<error>(found.error());
  any_promise_id out{{std::move(found->object), 0}, 0};
  const auto dot = found->middle.find('.');
  if (dot == std::string_view::npos || !read_number(found->middle.substr(0, dot), out.task.number) ||
      !read_number(found->middle.substr(dot + 1), out.step))
    return fail(errc::bad_arguments, fmt::format("{:?} is not the id of a promise", text.substr(0, 100)));
  return out;
}

} // namespace dormouse
