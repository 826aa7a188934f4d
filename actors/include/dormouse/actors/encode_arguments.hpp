#pragma once

/// The arguments of a call as bytes.

#include <dormouse/actors/pending.hpp>

#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

namespace dormouse::detail {

/// Converts to the parameters' own types first: what is encoded is what the method declares, not what the
/// caller happened to have.
template <auto Method, class... Args> std::string encode_arguments(Args&&... args) {
  using params = typename member_traits<std::remove_cv_t<decltype(Method)>>::arguments;
  static_assert(context_matches<params, Args...>::value,
                "dormouse: the arguments do not match the method's parameters");
  if constexpr (context_matches<params, Args...>::value) {
    params values(std::forward<Args>(args)...);
    return std::apply([](const auto&... each) { return encode(each...); }, values);
  } else {
    return {};
  }
}

} // namespace dormouse::detail
