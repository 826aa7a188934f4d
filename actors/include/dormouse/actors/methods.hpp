#pragma once

/// The registered surface of a durable object class.
///
///   using methods = dormouse::methods<"REPO_WATCH",
///       dormouse::method<"refresh", &repo_watch::refresh>,
///       dormouse::method<"stars",   &repo_watch::stars>>;
///
/// Wire names are explicit because they are written to disk: renaming a C++ function must not orphan a stored
/// continuation. A name that has to change all the same keeps the old one beside it, `method<"new", &T::f,
/// renamed_from<"old">>`, and so does a binding, `methods<"NEW", renamed_from<"OLD">, method<...>...>`: what
/// is stored under the old name is found (docs/objects.md). A `const` member function is a read-only turn and
/// never commits; any other is a committing turn. A static member function that takes a `task_context<T>` and
/// returns a `task<R>` is a durable task (task.hpp).

#include <dormouse/actors/later.hpp>
#include <dormouse/actors/task.hpp>
#include <dormouse/serialization/address.hpp>
#include <dormouse/serialization/codec.hpp>
#include <dormouse/serialization/error.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <string_view>
#include <tuple>
#include <type_traits>

namespace dormouse {

/// A string literal as a template argument.
template <std::size_t N> struct fixed_string {
  char text[N]{};

  constexpr fixed_string(const char (&literal)[N]) { std::copy_n(literal, N, text); }
  constexpr std::string_view view() const { return {text, N - 1}; }
};

namespace detail {

template <class C, class R, bool IsConst, class... Args> struct member_traits_base {
  using class_type = C;
  using return_type = R;
  using arguments = std::tuple<std::decay_t<Args>...>;
  static constexpr bool is_const = IsConst;
  static constexpr bool is_task = false;
  static constexpr bool by_mutable_reference =
      ((std::is_lvalue_reference_v<Args> && !std::is_const_v<std::remove_reference_t<Args>>) || ...);
  static constexpr bool by_pointer = (std::is_pointer_v<std::decay_t<Args>> || ...);
};

template <class F> struct member_traits {
  static_assert(sizeof(F) == 0, "dormouse: only a non-static member function, or a static one that is "
                                "task<R>(task_context<T>, ...), can be registered with method<>");
};
template <class C, class R, class... Args>
struct member_traits<R (C::*)(Args...)> : member_traits_base<C, R, false, Args...> {};
template <class C, class R, class... Args>
struct member_traits<R (C::*)(Args...) noexcept> : member_traits_base<C, R, false, Args...> {};
template <class C, class R, class... Args>
struct member_traits<R (C::*)(Args...) const> : member_traits_base<C, R, true, Args...> {};
template <class C, class R, class... Args>
struct member_traits<R (C::*)(Args...) const noexcept> : member_traits_base<C, R, true, Args...> {};
template <class C, class R, class... Args>
struct member_traits<task<R> (*)(task_context<C>, Args...)> : member_traits_base<C, task<R>, false, Args...> {
  static_assert(
      (!std::is_reference_v<Args> && ...),
      "dormouse: a task's parameters are taken by value: the task outlives whatever they would refer to");
  static constexpr bool is_task = true;
};

template <class T> struct all_storable : std::false_type {};
template <class... Ts> struct all_storable<std::tuple<Ts...>> : std::bool_constant<(storable<Ts> && ...)> {};

template <class R> constexpr bool storable_result = std::is_void_v<R> || storable<R>;
template <> inline constexpr bool storable_result<void> = true;

/// Makes values of different pointer-to-member types comparable.
template <auto Value> struct value_tag {};

} // namespace detail

/// The names under which something was registered before.
template <fixed_string... Names> struct renamed_from {
  static constexpr std::array<std::string_view, sizeof...(Names)> names{Names.view()...};
};

/// One registered member function and its wire name (1..64 bytes, unique in the class, those it had before
/// included).
template <fixed_string Name, auto Function, class Formerly = renamed_from<>> struct method {
  using traits = detail::member_traits<std::remove_cv_t<decltype(Function)>>;
  static constexpr std::string_view name = Name.view();
  static constexpr std::span<const std::string_view> old_names = Formerly::names;
  static constexpr auto function = Function;
  using tag = detail::value_tag<Function>;

  static_assert(!name.empty() && name.size() <= 64, "dormouse: a method's wire name has 1..64 bytes");
  static_assert(name.find('\0') == std::string_view::npos, "dormouse: a method's wire name has no NUL");
  static_assert(name.empty() || name[0] != '#',
                "dormouse: wire names that begin with # are the runtime's own");
  static_assert(!traits::by_mutable_reference && !traits::by_pointer,
                "dormouse: a method's parameters are values: they travel through bytes, so no pointer and no "
                "non-const reference");
  static_assert(
      detail::all_storable<typename traits::arguments>::value,
      "dormouse: a method's parameter is not serializable: give its type a serialize(Archive&) member, or "
      "include cereal's header for it, as <cereal/types/memory.hpp> for std::unique_ptr, "
      "<cereal/types/list.hpp> for std::list");
  static_assert(
      detail::storable_result<reply_of<std::decay_t<typename traits::return_type>>>,
      "dormouse: a method's result is not serializable: give its type a serialize(Archive&) member, or "
      "include cereal's header for it, as <cereal/types/memory.hpp> for std::unique_ptr, "
      "<cereal/types/list.hpp> for std::list");
  static_assert(!traits::is_const ||
                    !detail::unwrap_later<std::decay_t<typename traits::return_type>>::is_later,
                "dormouse: a const method is a read-only turn; it cannot reply later");
};

template <fixed_string Binding, class... Methods> struct methods {
  static constexpr std::string_view binding = Binding.view();
  static constexpr std::span<const std::string_view> old_bindings = {};
  static constexpr std::size_t count = sizeof...(Methods);

  static_assert(is_valid_binding(Binding.view()), "dormouse: a binding is [A-Za-z_][A-Za-z0-9_]{0,63}");

  template <auto Function>
  static constexpr bool contains = (std::is_same_v<typename Methods::tag, detail::value_tag<Function>> ||
                                    ...);

  /// The place of `Function` in the list. Listed twice, the first name is the one that is written, and the
  /// other still reads what was stored under it.
  template <auto Function> static constexpr std::size_t index_of() {
    static_assert(contains<Function>, "dormouse: this member function is not registered: add "
                                      "method<\"name\", &T::function> to the class's methods");
    constexpr std::array<bool, count> matches{
        std::is_same_v<typename Methods::tag, detail::value_tag<Function>>...};
    std::size_t found = 0;
    while (found + 1 < count && !matches[found])
      ++found;
    return found;
  }

  template <auto Function> static constexpr std::string_view name_of() {
    constexpr std::array<std::string_view, count> names{Methods::name...};
    return names[index_of<Function>()];
  }

  /// Whether this is a name of `Function`, the present one or another.
  template <auto Function> static bool is_name_of(std::string_view name) {
    const auto has = [name](std::string_view present, std::span<const std::string_view> old) {
      return present == name || std::find(old.begin(), old.end(), name) != old.end();
    };
    return ((std::is_same_v<typename Methods::tag, detail::value_tag<Function>> &&
             has(Methods::name, Methods::old_names)) ||
            ...);
  }

  static constexpr bool names_are_unique() {
    std::array<std::string_view, (count + ... + Methods::old_names.size())> names{Methods::name...};
    std::size_t next = count;
    [[maybe_unused]] const auto append = [&](std::span<const std::string_view> old) {
      for (auto name : old)
        names[next++] = name;
    };
    (append(Methods::old_names), ...);
    for (std::size_t i = 0; i < names.size(); ++i)
      for (std::size_t k = i + 1; k < names.size(); ++k)
        if (names[i] == names[k]) return false;
    return true;
  }
  static_assert(names_are_unique(), "dormouse: two methods of one class have the same wire name");
};

/// A binding that had other names before. Objects that are stored under those are moved when the class is
/// defined (runtime.hpp).
template <fixed_string Binding, fixed_string... Old, class... Methods>
struct methods<Binding, renamed_from<Old...>, Methods...> : methods<Binding, Methods...> {
  static constexpr std::span<const std::string_view> old_bindings = renamed_from<Old...>::names;

  static_assert((is_valid_binding(Old.view()) && ...), "dormouse: a binding is [A-Za-z_][A-Za-z0-9_]{0,63}");
  static_assert(((Old.view() != Binding.view()) && ...), "dormouse: a binding is renamed from another one");
};

} // namespace dormouse
