#include "upstream/traffic_counters.hpp"

#include "upstream/json_text.hpp"

#include <algorithm>
#include <utility>

namespace dormouse::samples {

namespace {

void append_name(std::string& out, std::string_view name) {
  if (out.back() != '{') {
    out += ',';
  }
  append_json_string(out, name);
  out += ':';
}

void append_count(std::string& out, std::string_view name, std::uint64_t count) {
  append_name(out, name);
  out += std::to_string(count);
}

} // namespace

traffic_counters::ticket traffic_counters::received(std::string_view key, std::string_view idempotency_key) {
  const std::lock_guard lock{mutex_};
  auto found = records_.find(key);
  if (found == records_.end()) {
    found = records_.try_emplace(std::string{key}).first;
  }
  auto& record = found->second;
  if (!idempotency_key.empty()) {
    if (!record.idempotency) {
      record.idempotency = std::make_unique<idempotency_counts>();
    }
    ++(*record.idempotency)[std::string{idempotency_key}];
  }
  ++record.hits;
  ++summary_.total;
  ++summary_.in_flight;
  summary_.max_hits = std::max(summary_.max_hits, record.hits);
  summary_.in_flight_peak = std::max(summary_.in_flight_peak, summary_.in_flight);

  ticket request;
  request.record_ = &record;
  request.epoch_ = epoch_;
  request.hit_ = record.hits;
  return request;
}

traffic_counters::hold traffic_counters::hold_readers() const { return hold{mutex_}; }

void traffic_counters::answered(ticket& request, const hold& /*held*/) {
  if (!request.active()) {
    return;
  }
  if (request.epoch_ == epoch_) {
    ++request.record_->answered;
    ++summary_.answered;
  }
  release(request);
}

void traffic_counters::abandoned(ticket& request) {
  if (!request.active()) {
    return;
  }
  const std::lock_guard lock{mutex_};
  release(request);
}

void traffic_counters::release(ticket& request) noexcept {
  --summary_.in_flight;
  request = ticket{};
}

void traffic_counters::connection_opened() {
  const std::lock_guard lock{mutex_};
  ++summary_.connections;
  ++summary_.connections_opened;
  summary_.connections_peak = std::max(summary_.connections_peak, summary_.connections);
}

void traffic_counters::connection_closed() {
  const std::lock_guard lock{mutex_};
  --summary_.connections;
}

void traffic_counters::reset() {
  const std::lock_guard lock{mutex_};
  ++epoch_;
  records_.clear();
  // What is going on goes on: only the past is forgotten.
  traffic_summary fresh;
  fresh.in_flight = fresh.in_flight_peak = summary_.in_flight;
  fresh.connections = fresh.connections_peak = summary_.connections;
  summary_ = fresh;
}

const traffic_counters::key_record* traffic_counters::find(std::string_view key) const {
  const auto found = records_.find(key);
  return found == records_.end() ? nullptr : &found->second;
}

std::uint64_t traffic_counters::hits(std::string_view key) const {
  const std::lock_guard lock{mutex_};
  const auto* const record = find(key);
  return record == nullptr ? 0 : record->hits;
}

std::uint64_t traffic_counters::answered(std::string_view key) const {
  const std::lock_guard lock{mutex_};
  const auto* const record = find(key);
  return record == nullptr ? 0 : record->answered;
}

traffic_counters::idempotency_counts traffic_counters::idempotency(std::string_view key) const {
  const std::lock_guard lock{mutex_};
  const auto* const record = find(key);
  return record == nullptr || !record->idempotency ? idempotency_counts{} : *record->idempotency;
}

traffic_summary traffic_counters::summary() const {
  const std::lock_guard lock{mutex_};
  auto current = summary_;
  current.distinct = records_.size();
  return current;
}

std::string traffic_counters::summary_json() const {
  const auto current = summary();
  std::string out = "{";
  append_count(out, "total", current.total);
  append_count(out, "distinct", current.distinct);
  append_count(out, "in_flight", current.in_flight);
  append_count(out, "in_flight_peak", current.in_flight_peak);
  append_count(out, "max_hits", current.max_hits);
  append_count(out, "answered", current.answered);
  append_count(out, "connections", current.connections);
  append_count(out, "connections_peak", current.connections_peak);
  append_count(out, "connections_opened", current.connections_opened);
  out += '}';
  return out;
}

std::string traffic_counters::counters_json(bool with_answered) const {
  const std::lock_guard lock{mutex_};
  std::string keys = "{";
  std::string answered = "{";
  std::string idempotency = "{";
  for (const auto& [key, record] : records_) {
    append_count(keys, key, record.hits);
    if (with_answered) {
      append_count(answered, key, record.answered);
    }
    if (record.idempotency) {
      append_name(idempotency, key);
      std::string counts = "{";
      for (const auto& [idempotency_key, count] : *record.idempotency) {
        append_count(counts, idempotency_key, count);
      }
      idempotency += counts + '}';
    }
  }
  std::string out = "{\"keys\":" + keys + '}';
  if (with_answered) {
    out += ",\"answered\":" + answered + '}';
  }
  out += ",\"idempotency\":" + idempotency + '}';
  append_count(out, "total", summary_.total);
  append_count(out, "in_flight", summary_.in_flight);
  append_count(out, "in_flight_peak", summary_.in_flight_peak);
  append_count(out, "connections_peak", summary_.connections_peak);
  out += '}';
  return out;
}

} // namespace dormouse::samples
