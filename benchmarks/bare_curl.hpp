#pragma once

/// The limit of the fetch rows: libcurl alone, doing nothing with what it gets.

#include <cstddef>
#include <string>
#include <vector>

namespace dormouse::bench {

/// GETs per second through a multi loop with a fixed number in flight.
double bare_curl_rate(const std::string& url, int total, int in_flight);

/// MiB per second of `total` GETs of a body of `body_bytes` bytes, each received into memory and forgotten.
double bare_curl_body_rate(const std::string& url, std::size_t body_bytes, int total, int in_flight);

/// Seconds of each of `count` GETs made one after the other on one connection.
std::vector<double> bare_curl_latencies(const std::string& url, int count);

} // namespace dormouse::bench
