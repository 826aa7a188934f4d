#include <dormouse/serialization/response.hpp>

#include <nlohmann/json.hpp>

namespace dormouse {

nlohmann::json response::json() const {
  return nlohmann::json::parse(body_);
}

} // namespace dormouse
