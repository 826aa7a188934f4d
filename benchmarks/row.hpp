#pragma once

/// One line of the result: our figure, the figure of the limit measured in the same run, and the ratio of the
/// two.

#include <functional>
#include <string>
#include <vector>

namespace dormouse::bench {

struct row {
  std::string name;
  std::string conditions;
  double ours = 0;
  double limit = 0;
  double ratio = 0; ///< ours / limit
  std::string unit;
};

/// `quick`: fewer repetitions, the same work.
struct settings {
  bool quick = false;
};

using benchmark = std::function<std::vector<row>(const settings&)>;

std::vector<row> read_call(const settings& how);
std::vector<row> durable_turn(const settings& how);
std::vector<row> fetch_roundtrip(const settings& how);
std::vector<row> fetch_added_latency(const settings& how);
std::vector<row> fetch_cookies(const settings& how);
std::vector<row> fetch_large(const settings& how);
std::vector<row> wake(const settings& how);
std::vector<row> memory(const settings& how);
std::vector<row> origins(const settings& how);
std::vector<row> schedules(const settings& how);
std::vector<row> object_call(const settings& how);
std::vector<row> task_step(const settings& how);

} // namespace dormouse::bench
