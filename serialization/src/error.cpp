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
  case errc::would_block:
    return "would_block";
  case errc::quarantined:
    return "quarantined";
  }
  return "unknown";
}

std::string to_string(const error& what) { return std::string(to_string(what.code)) + ": " + what.message; }

error with_origin(error what, const address& where) {
  if (what.origin.binding.empty()) what.origin = where;
  return what;
}

std::string detail::demangled(const std::type_info& type) {
  int failed = 0;
  const std::unique_ptr<char, decltype(&std::free)> name(
      abi::__cxa_demangle(type.name(), nullptr, nullptr, &failed), &std::free);
  return std::string(name ? name.get() : type.name()).substr(0, max_error_type_bytes);
}

namespace {

/// What is being handled, if it is a text or an `int`.
std::string caught_value() {
  try {
    throw;
  } catch (int value) {
    return ": " + std::to_string(value);
  } catch (const char* text) {
    return text != nullptr ? std::string(": ") + text : std::string();
  } catch (const std::string& text) {
    return ": " + text;
  } catch (...) {
    return {};
  }
}

} // namespace

error describe(const std::exception& thrown, const address& origin) {
  if (const auto* known = dynamic_cast<const failure*>(&thrown))
    return with_origin(known->what_failed(), origin);
  const char* text = thrown.what();
  return {errc::handler_failed, text != nullptr ? text : "", origin, detail::demangled(typeid(thrown))};
}

error describe_caught(const address& origin) {
  try {
    throw;
  } catch (const std::exception& e) {
    return describe(e, origin);
  } catch (...) {
    const auto* type = abi::__cxa_current_exception_type();
    return {errc::handler_failed, "something that is not a std::exception" + caught_value(), origin,
            type != nullptr ? detail::demangled(*type) : std::string()};
  }
}

failure::failure(error what) : std::runtime_error(to_string(what)), error_(std::move(what)) {}

} // namespace dormouse
