#include "public_suffix.hpp"

#include "cookie_rules.hpp"

#include <libpsl.h>

namespace dormouse::detail {

bool is_public_suffix(const std::string& domain) {
  // The list that is compiled into the library: constant, so it needs neither a file nor a lock. A library
  // without one gives a null context, for which every domain is a public suffix; that errs on the safe side.
  const auto* list = psl_builtin();
  // "co.uk." is "co.uk", but not to libpsl.
  if (domain.ends_with('.'))
    return psl_is_public_suffix(list, domain.substr(0, domain.find_last_not_of('.') + 1).c_str()) != 0;
  return psl_is_public_suffix(list, domain.c_str()) != 0;
}

std::string site_of(const std::string& domain) {
  const auto end = domain.find_last_not_of('.') + 1; // as above
  const auto name = domain.substr(0, end);
  if (is_ip_address(name)) return domain;
  const char* registered = psl_registrable_domain(psl_builtin(), name.c_str());
  return registered == nullptr ? domain : registered + domain.substr(end);
}

} // namespace dormouse::detail
