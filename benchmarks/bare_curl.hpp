#pragma once

/// The limit of the fetch rows: libcurl alone, doing nothing with what it gets.

#include <string>
#include <vector>

namespace dormouse::bench {

/// GETs per second through a multi loop with a fixed number in flight.
double bare_curl_rate(const std::string& url, int total, int in_flight);

/// Seconds of each of `count` GETs made one after the other on one connection.
std::vector<double> bare_curl_latencies(const std::string& url, int count);

} // namespace dormouse::bench
