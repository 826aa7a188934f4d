#include <dormouse/serialization/error.hpp>

#include <cxxabi.h>

#include <cstdlib>
#include <memory>
#include <typeinfo>
#include <utility>

namespace dormouse {

std::string_view to_string(errc code) noexcept {
  switch (code) {
  case errc::unknown_binding:
    return "unknown_binding";
  case errc::unknown_method:
    return "unknown_method";
  case errc::invalid_binding:
    return "invalid_binding";
  case errc::invalid_instance_id:
    return "invalid_instance_id";
  case errc::invalid_option:
    return "invalid_option";
  case errc::bad_arguments:
    return "bad_arguments";
  case errc::invalid_header:
    return "invalid_header";
  case errc::invalid_url:
    return "invalid_url";
  case errc::invalid_request:
    return "invalid_request";
  case errc::blocked:
    return "blocked";
  case errc::too_large:
    return "too_large";
  case errc::queue_full:
    return "queue_full";
  case errc::overloaded:
    return "overloaded";
  case errc::handler_failed:
    return "handler_failed";
  case errc::storage_error:
    return "storage_error";
  case errc::corrupt:
    return "corrupt";
  case errc::directory_locked:
    return "directory_locked";
  case errc::directory_unusable:
    return "directory_unusable";
  case errc::newer_format:
    return "newer_format";
  case errc::stopped:
    return "stopped";
  case errc::timeout:
    return "timeout";
  case errc::path_too_long:
    return "path_too_long";
  case errc::invalid_cookie:
    return "invalid_cookie";
  case errc::not_found:
    return "not_found";
  case errc::cancelled:
    return "cancelled";
  }
  return "unknown";
}

std::string to_string(const error& what) { return std::string(to_string(what.code)) + ": " + what.message; }

error with_origin(error what, const address& where) {
  if (what.origin.binding.empty()) what.origin = where;
  return what;
}

error describe(const std::exception& thrown, const address& origin) {
  if (const auto* known = dynamic_cast<const failure*>(&thrown))
    return with_origin(known->what_failed(), origin);
  int failed = 0;
  const char* mangled = typeid(thrown).name();
  const std::unique_ptr<char, decltype(&std::free)> readable(
      abi::__cxa_demangle(mangled, nullptr, nullptr, &failed), &std::free);
  return {errc::handler_failed, thrown.what(), origin,
          std::string(readable ? readable.get() : mangled).substr(0, max_error_type_bytes)};
}

failure::failure(error what) : std::runtime_error(to_string(what)), error_(std::move(what)) {}

} // namespace dormouse
