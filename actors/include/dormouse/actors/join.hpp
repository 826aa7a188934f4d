#pragma once

/// Waiting for more than one operation of a task, as in JavaScript:
///
///   auto [a, b] = co_await all(self.fetch(first), self.fetch(second));          // throws as soon as one
///   fails auto pages  = co_await all(std::move(fetches));                               // a std::vector of
///   operations: a vector of their values auto first  = co_await any(self.fetch(here), self.fetch(there)); //
///   the first that succeeds; throws the last error if none does auto which  = co_await race(self.fetch(url),
///   self.sleep_for(5s));             // the first that is done: which.index() == 1 is the time-out
///
/// any() and race() of different types give a std::variant with one alternative for each operation (void is
/// std::monostate), of a vector a `winner`. Those that are not waited for any longer go on, and what they
/// come to is not looked at. What they give can be joined again.

#include <dormouse/actors/operation.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

namespace dormouse {

/// Which of a vector of operations it was, and its value.
template <class R> struct winner {
  std::size_t index = 0;
  detail::stored_value<R> value{};
};

namespace detail {

enum class join_kind : std::uint8_t { all, any, race };

/// What the operations say, put together. The order of a joined operation is that of the one that decided it.
class join_state {
public:
  void add(std::uint64_t order, bool failed) noexcept {
    ++count_;
    if (order == 0) return;
    last_ = std::max(last_, order);
    first_ = std::min(first_, order);
    ++done_;
    if (failed)
      first_failed_ = std::min(first_failed_, order);
    else
      first_good_ = std::min(first_good_, order);
  }

  /// 0: not decided.
  std::uint64_t order(join_kind kind) const noexcept {
    const bool complete = done_ == count_;
    switch (kind) {
    case join_kind::all:
      return first_failed_ != none ? first_failed_ : complete ? std::max<std::uint64_t>(last_, 1) : 0;
    case join_kind::any:
      return first_good_ != none ? first_good_ : complete ? last_ : 0;
    case join_kind::race:
      return first_ != none ? first_ : 0;
    }
    return 0;
  }
  bool failed(join_kind kind) const noexcept {
    return kind == join_kind::all   ? first_failed_ != none
           : kind == join_kind::any ? first_good_ == none
                                    : first_ == first_failed_;
  }

private:
  static constexpr std::uint64_t none = std::numeric_limits<std::uint64_t>::max();

  std::size_t count_ = 0;
  std::size_t done_ = 0;
  std::uint64_t first_ = none;
  std::uint64_t last_ = 0;
  std::uint64_t first_good_ = none;
  std::uint64_t first_failed_ = none;
};

template <class Operation> constexpr operand operand_of = operand::any;
template <class R, operand Use> constexpr operand operand_of<operation<R, Use>> = Use;

template <join_kind Kind, operand Use, class... Operations>
class joined : public awaitable<joined<Kind, Use, Operations...>, Use> {
public:
  using value_type =
      std::conditional_t<Kind == join_kind::all, std::tuple<stored_value<typename Operations::value_type>...>,
                         std::variant<stored_value<typename Operations::value_type>...>>;

  explicit joined(Operations... which) : which_(std::move(which)...) {}

  task_run& run() const noexcept { return std::get<0>(which_).run(); }
  std::uint64_t order() const { return state().order(Kind); }
  bool failed() const { return state().failed(Kind); }

  std::optional<settled<value_type>> read() const { return read(std::index_sequence_for<Operations...>()); }

private:
  join_state state() const {
    join_state out;
    std::apply(
        [&out](const auto&... each) { (out.add(each.order(), each.order() != 0 && each.failed()), ...); },
        which_);
    return out;
  }

  template <std::size_t... I> std::optional<settled<value_type>> read(std::index_sequence<I...>) const {
    const auto decided = order();
    const bool threw = failed();
    if constexpr (Kind == join_kind::all) {
      if (threw) return read_error(decided, std::index_sequence<I...>());
      auto values = std::make_tuple(std::get<I>(which_).read()...);
      if (!(std::get<I>(values) && ...)) return std::nullopt;
      return settled<value_type>(std::in_place_index<0>, std::get<0>(std::move(*std::get<I>(values)))...);
    } else {
      if (threw) return read_error(decided, std::index_sequence<I...>());
      std::optional<settled<value_type>> out;
      (void)((std::get<I>(which_).order() == decided && take<I>(out)) || ...);
      return out;
    }
  }

  template <std::size_t I> bool take(std::optional<settled<value_type>>& out) const {
    if (auto value = std::get<I>(which_).read())
      out.emplace(std::in_place_index<0>, value_type(std::in_place_index<I>, std::get<0>(std::move(*value))));
    return true;
  }

  template <std::size_t... I>
  std::optional<settled<value_type>> read_error(std::uint64_t decided, std::index_sequence<I...>) const {
    std::optional<settled<value_type>> out;
    (void)((std::get<I>(which_).order() == decided && take_error<I>(out)) || ...);
    return out;
  }

  template <std::size_t I> bool take_error(std::optional<settled<value_type>>& out) const {
    if (auto value = std::get<I>(which_).read())
      out.emplace(std::in_place_index<1>, std::get<1>(std::move(*value)));
    return true;
  }

  std::tuple<Operations...> which_;
};

/// What a vector of operations comes to.
template <join_kind Kind, class R> struct vector_value { using type = winner<R>; };
template <class R> struct vector_value<join_kind::all, R> { using type = std::vector<stored_value<R>>; };

template <join_kind Kind, class Operation>
class joined_vector : public awaitable<joined_vector<Kind, Operation>, operand::any> {
public:
  using value_type = typename vector_value<Kind, typename Operation::value_type>::type;

  /// Throws `failure{invalid_request}` if there is none: all() of nothing would be done at once, and the
  /// others never.
  explicit joined_vector(std::vector<Operation> which) : which_(std::move(which)) {
    if (which_.empty())
      throw failure(
          {errc::invalid_request, "all(), any() and race() of a vector need at least one operation"});
  }

  task_run& run() const noexcept { return which_.front().run(); }
  std::uint64_t order() const { return state().order(Kind); }
  bool failed() const { return state().failed(Kind); }

  std::optional<settled<value_type>> read() const {
    const auto decided = order();
    const bool threw = failed();
    value_type out{};
    for (std::size_t i = 0; i < which_.size(); ++i) {
      if ((threw || Kind != join_kind::all) && which_[i].order() != decided) continue;
      auto value = which_[i].read();
      if (!value) return std::nullopt;
      if (threw) return settled<value_type>(std::in_place_index<1>, std::get<1>(std::move(*value)));
      if constexpr (Kind == join_kind::all)
        out.push_back(std::get<0>(std::move(*value)));
      else
        return settled<value_type>(std::in_place_index<0>, value_type{i, std::get<0>(std::move(*value))});
    }
    return settled<value_type>(std::in_place_index<0>, std::move(out));
  }

private:
  join_state state() const {
    join_state out;
    for (const auto& each : which_)
      out.add(each.order(), each.order() != 0 && each.failed());
    return out;
  }

  std::vector<Operation> which_;
};

template <class T>
concept an_operation = requires(const T& it) {
  typename T::value_type;
  { it.order() } -> std::same_as<std::uint64_t>;
};

/// Of an operation whose arguments are in the same expression as the join.
template <class... Given>
constexpr operand use_of_joined =
    ((!std::is_lvalue_reference_v<Given> && operand_of<std::remove_cvref_t<Given>> == operand::named) || ...)
        ? operand::named
        : operand::any;

template <join_kind Kind, class... Given>
using join_of = joined<Kind, use_of_joined<Given...>, std::remove_cvref_t<Given>...>;

} // namespace detail

/// The values of all, as a std::tuple, or the first error.
template <class... Operations>
auto all(Operations&&... which) requires(sizeof...(Operations) > 0 &&
                                         (detail::an_operation<std::remove_cvref_t<Operations>> && ...)) {
  return detail::join_of<detail::join_kind::all, Operations...>(std::forward<Operations>(which)...);
}

/// The first that succeeds.
template <class... Operations>
auto any(Operations&&... which) requires(sizeof...(Operations) > 0 &&
                                         (detail::an_operation<std::remove_cvref_t<Operations>> && ...)) {
  return detail::join_of<detail::join_kind::any, Operations...>(std::forward<Operations>(which)...);
}

/// The first that is done, whatever it came to.
template <class... Operations>
auto race(Operations&&... which) requires(sizeof...(Operations) > 0 &&
                                          (detail::an_operation<std::remove_cvref_t<Operations>> && ...)) {
  return detail::join_of<detail::join_kind::race, Operations...>(std::forward<Operations>(which)...);
}

template <detail::an_operation Operation> auto all(std::vector<Operation> which) {
  return detail::joined_vector<detail::join_kind::all, Operation>(std::move(which));
}
template <detail::an_operation Operation> auto any(std::vector<Operation> which) {
  return detail::joined_vector<detail::join_kind::any, Operation>(std::move(which));
}
template <detail::an_operation Operation> auto race(std::vector<Operation> which) {
  return detail::joined_vector<detail::join_kind::race, Operation>(std::move(which));
}

} // namespace dormouse
