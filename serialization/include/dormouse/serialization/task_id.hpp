#pragma once

/// Names of durable tasks and durable promises. Both are values: an argument, a part of a state, a text in a
/// URL that somebody calls back.

#include <dormouse/serialization/address.hpp>
#include <dormouse/serialization/error.hpp>
#include <dormouse/serialization/expected.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace dormouse {

/// A task of an object, for ever.
struct task_id {
  address object;
  std::uint64_t number = 0; ///< unique in the store

  friend auto operator<=>(const task_id&, const task_id&) = default;

  template <class Archive> void serialize(Archive& ar) { ar(object, number); }
};

/// `"SHOP/17/order-4"`: binding, number, instance id as it is.
std::string to_string(const task_id& id);

/// Error: `bad_arguments` for a text that is not one.
expected<task_id> parse_task_id(std::string_view text);

/// A promise without its type: the step of a task that waits for it.
struct any_promise_id {
  task_id task;
  std::uint64_t step = 0;

  friend auto operator<=>(const any_promise_id&, const any_promise_id&) = default;

  template <class Archive> void serialize(Archive& ar) { ar(task, step); }
};

/// `"SHOP/17.3/order-4"`. Whoever has it can settle the promise: numbers can be guessed, so do not take the
/// text alone from strangers.
std::string to_string(const any_promise_id& id);

/// Error: `bad_arguments` for a text that is not one.
expected<any_promise_id> parse_promise_id(std::string_view text);

/// A promise that is resolved with an `R`.
template <class R> struct promise_id : any_promise_id {
  using value_type = R;

  promise_id() = default;
  explicit promise_id(any_promise_id id) : any_promise_id(std::move(id)) {}
};

} // namespace dormouse
