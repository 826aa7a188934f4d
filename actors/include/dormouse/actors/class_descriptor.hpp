#pragma once

/// A durable object class with its type erased: what the runtime needs to make, load, save and call one.

#include <dormouse/actors/durable_object.hpp>
#include <dormouse/actors/methods.hpp>
#include <dormouse/actors/task_context.hpp>
#include <dormouse/serialization/call_result.hpp>
#include <dormouse/serialization/codec.hpp>
#include <dormouse/serialization/fetch_result.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace dormouse {

/// One call of one method. Arguments come as bytes; a continuation's first parameter comes as the result it
/// is.
struct invocation {
  std::string_view arguments;
  fetch_result* result = nullptr;                   ///< moved from; null for an ordinary call
  const call_result<std::string>* answer = nullptr; ///< the same for the answer to a call, encoded
  std::string reply;                                ///< encoded; empty for void
  std::optional<call_error> refusal;                ///< the reply is an error, although the turn commits
  std::optional<std::size_t>
      reply_slot; ///< the reply comes later, with the continuation of that fetch of the turn
};

struct method_descriptor {
  std::string_view name;
  bool read_only = false;
  bool takes_result = false; ///< a fetch_result first
  bool takes_answer = false; ///< a call_result first
  /// Throws `failure{bad_arguments}` before the method is entered, or whatever the method throws. Null for a
  /// task.
  void (*invoke)(durable_object&, invocation&) = nullptr;
  task_run::frame_maker make_task = nullptr;        ///< of a task only
  std::span<const std::string_view> old_names = {}; ///< that still find it
  std::string (*result_type)() = nullptr;           ///< its name, for people; of a task only
};

struct class_descriptor {
  std::string_view binding;
  const method_descriptor* first_method;
  std::size_t method_count;
  std::unique_ptr<durable_object> (*make)();
  void (*save)(const durable_object&, std::string& out);
  /// Throws on bytes that do not decode; `failure{newer_format}` for a state of a later version than the
  /// class has.
  void (*load)(durable_object&, std::string_view state, std::uint32_t version);
  std::uint32_t (*state_version)(); ///< what `save` writes; 0 if the class has no versions
  bool has_on_create;
  bool has_on_wake;
  std::span<const std::string_view> old_bindings = {};

  /// Whether it is one of its methods, and not one of the same name of another class.
  bool owns(const method_descriptor& method) const noexcept {
    return std::less_equal<>()(first_method, &method) && std::less<>()(&method, first_method + method_count);
  }

  /// By its name, or by one that it had before.
  const method_descriptor* find(std::string_view name) const noexcept {
    const std::span methods(first_method, method_count);
    for (const auto& each : methods)
      if (each.name == name) return &each;
    for (const auto& each : methods)
      if (std::find(each.old_names.begin(), each.old_names.end(), name) != each.old_names.end()) return &each;
    return nullptr;
  }
};

namespace detail {

template <class Tuple> Tuple decode_arguments(std::string_view bytes) {
  try {
    Tuple values{};
    input_archive ar(bytes);
    std::apply([&ar](auto&... each) { (ar(each), ...); }, values);
    ar.finish();
    return values;
  } catch (const std::exception& e) {
    throw failure({errc::bad_arguments, std::string("the arguments do not decode: ") + e.what()});
  }
}

/// A method that returns a `call_result` may reply with an error, and its turn commits.
template <class Value> void encode_reply(invocation& call, const Value& value) {
  if constexpr (unwrap_call_result<Value>::is_call_result) {
    if (!value)
      call.refusal = value.error();
    else if constexpr (!std::is_void_v<typename unwrap_call_result<Value>::type>)
      encode_to(call.reply, *value);
  } else {
    encode_to(call.reply, value);
  }
}

template <class T, auto Function, class Tuple>
void call_and_encode(durable_object& object, Tuple&& arguments, invocation& call) {
  using traits = member_traits<std::remove_cv_t<decltype(Function)>>;
  using result = std::decay_t<typename traits::return_type>;
  using target = std::conditional_t<traits::is_const, const T, T>;
  auto run = [&object](auto&&... each) -> decltype(auto) {
    return (static_cast<target&>(object).*Function)(std::forward<decltype(each)>(each)...);
  };
  if constexpr (std::is_void_v<result>)
    std::apply(run, std::forward<Tuple>(arguments));
  else if constexpr (unwrap_later<result>::is_later) {
    auto reply = std::apply(run, std::forward<Tuple>(arguments));
    call.reply_slot = reply.slot();
    if constexpr (!std::is_void_v<typename unwrap_later<result>::type>)
      if (!call.reply_slot) encode_reply(call, reply.value());
  } else {
    encode_reply(call, std::apply(run, std::forward<Tuple>(arguments)));
  }
}

template <class R> call_result<R> decode_answer(const call_result<std::string>& answer) {
  if (!answer) return tl::unexpected<call_error>(answer.error());
  if constexpr (std::is_void_v<R>) {
    return {};
  } else {
    auto value = decode<R>(*answer);
    if (!value) throw failure({errc::bad_arguments, "the answer does not decode: " + value.error().message});
    return std::move(*value);
  }
}

template <class T, auto Function> void invoke_member(durable_object& object, invocation& call) {
  using arguments = typename member_traits<std::remove_cv_t<decltype(Function)>>::arguments;
  if (call.result != nullptr) {
    if constexpr (std::is_same_v<typename tail_of<arguments>::head, fetch_result>) {
      auto rest = decode_arguments<typename tail_of<arguments>::type>(call.arguments);
      call_and_encode<T, Function>(
          object, std::tuple_cat(std::tuple<fetch_result&&>(std::move(*call.result)), std::move(rest)), call);
      return;
    }
    throw failure({errc::bad_arguments, "the method does not take a fetch_result first"});
  }
  if (call.answer != nullptr) {
    using head = typename tail_of<arguments>::head;
    if constexpr (unwrap_call_result<head>::is_call_result) {
      auto rest = decode_arguments<typename tail_of<arguments>::type>(call.arguments);
      call_and_encode<T, Function>(
          object,
          std::tuple_cat(
              std::tuple<head>(decode_answer<typename unwrap_call_result<head>::type>(*call.answer)),
              std::move(rest)),
          call);
      return;
    }
    throw failure({errc::bad_arguments, "the method does not take a call_result first"});
  }
  call_and_encode<T, Function>(object, decode_arguments<arguments>(call.arguments), call);
}

template <class T, auto Function>
std::unique_ptr<task_frame> make_task_frame(task_run& run, std::string_view arguments) {
  using traits = member_traits<std::remove_cv_t<decltype(Function)>>;
  auto make = [&run](auto&&... each) { return Function(task_context<T>(run), std::move(each)...); };
  return std::make_unique<typed_task_frame<reply_of<typename traits::return_type>>>(
      std::apply(make, decode_arguments<typename traits::arguments>(arguments)));
}

template <class T, class Method> constexpr method_descriptor describe_one() {
  method_descriptor out{
      .name = Method::name, .read_only = Method::traits::is_const, .old_names = Method::old_names};
  if constexpr (Method::traits::is_task) {
    out.make_task = &make_task_frame<T, Method::function>;
    out.result_type = [] { return demangled(typeid(reply_of<typename Method::traits::return_type>)); };
  } else {
    using head = typename tail_of<typename Method::traits::arguments>::head;
    out.takes_result = std::is_same_v<head, fetch_result>;
    out.takes_answer = unwrap_call_result<head>::is_call_result;
    out.invoke = &invoke_member<T, Method::function>;
  }
  return out;
}

template <class T>
concept has_versioned_serialize = requires(T& object, output_archive& ar) {
  object.serialize(ar, std::uint32_t{});
};
template <class T>
concept has_serialize = has_versioned_serialize<T> || requires(T& object, output_archive& ar) {
  object.serialize(ar);
};

template <class T>
concept inherits_on_create = requires {
  requires std::is_same_v<decltype(&T::on_create), void (durable_object::*)()>;
};
template <class T>
concept inherits_on_wake = requires {
  requires std::is_same_v<decltype(&T::on_wake), void (durable_object::*)()>;
};

template <class T, class Methods> struct descriptor_of;

template <class T, fixed_string Binding, class... Methods>
struct descriptor_of<T, methods<Binding, Methods...>> {
  static_assert(std::is_base_of_v<durable_object, T>,
                "dormouse: a durable object class derives from dormouse::durable_object");
  static_assert(
      std::is_default_constructible_v<T>,
      "dormouse: a durable object class is default-constructible: its state comes from serialize()");
  static_assert(has_serialize<T> || sizeof(T) == sizeof(durable_object),
                "dormouse: the class has data members but no public template <class Archive> void "
                "serialize(Archive&); they would be lost");

  static std::unique_ptr<durable_object> make() { return std::make_unique<T>(); }

  static void save(const durable_object& object, std::string& out) {
    output_archive ar(out);
    [[maybe_unused]] auto& saved = const_cast<T&>(static_cast<const T&>(object)); // saving does not change it
    if constexpr (has_versioned_serialize<T>)
      saved.serialize(ar, state_version());
    else if constexpr (has_serialize<T>)
      saved.serialize(ar);
  }

  static void load(durable_object& object, std::string_view state, std::uint32_t version) {
    if (version > state_version())
      throw failure({errc::newer_format, "it has version " + std::to_string(version) +
                                             "; this program's class knows up to " +
                                             std::to_string(state_version())});
    input_archive ar(state);
    [[maybe_unused]] auto& loaded = static_cast<T&>(object);
    if constexpr (has_versioned_serialize<T>)
      loaded.serialize(ar, version);
    else if constexpr (has_serialize<T>)
      loaded.serialize(ar);
    ar.finish();
  }

  static std::uint32_t state_version() {
    if constexpr (has_versioned_serialize<T>)
      return cereal::detail::Version<T>::version; // as CEREAL_CLASS_VERSION says
    else
      return 0;
  }

  static constexpr std::array<method_descriptor, sizeof...(Methods)> method_table{
      describe_one<T, Methods>()...};

  // Through the list itself and not through `Binding`: its assertions on the binding and the wire names are
  // checked only then.
  static constexpr class_descriptor value{methods<Binding, Methods...>::binding,
                                          method_table.data(),
                                          method_table.size(),
                                          &make,
                                          &save,
                                          &load,
                                          &state_version,
                                          !inherits_on_create<T>,
                                          !inherits_on_wake<T>,
                                          T::methods::old_bindings};
};

template <class T, fixed_string Binding, fixed_string... Old, class... Methods>
struct descriptor_of<T, methods<Binding, renamed_from<Old...>, Methods...>>
    : descriptor_of<T, methods<Binding, Methods...>> {};

} // namespace detail

/// The descriptor of `T`, made at compile time.
template <class T> constexpr const class_descriptor& describe() {
  return detail::descriptor_of<T, typename T::methods>::value;
}

/// The descriptor of one registered method.
template <class T, auto Method> constexpr const method_descriptor& describe_method() {
  return describe<T>().first_method[T::methods::template index_of<Method>()];
}

} // namespace dormouse
