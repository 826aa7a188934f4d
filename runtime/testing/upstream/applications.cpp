#include "upstream/applications.hpp"

#include "upstream/linked_pages.hpp"
#include "upstream/repo_facts.hpp"
#include "upstream/upload_report.hpp"

namespace dormouse::samples {

reply applications::answer(const incoming_request& request, std::uint64_t hit) {
  switch (request.plan.where) {
  case route::upload:
    return upload_report(request);
  case route::repo:
    return repo_reply(request, hit);
  case route::linked_page:
    return linked_page(request);
  case route::site_login:
    return site_.login(request);
  case route::site_account:
    return site_.account(request);
  case route::site_logout:
    return site_.logout(request);
  case route::auth_token:
    return api_.token(request);
  case route::auth_refresh:
    return api_.refresh(request);
  case route::api_profile:
    return api_.profile(request);
  case route::api_orders:
    return api_.orders(request);
  default:
    return error_reply(500, "no application has this path");
  }
}

} // namespace dormouse::samples
