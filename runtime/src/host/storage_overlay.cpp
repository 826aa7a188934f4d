#include "host/storage_overlay.hpp"

namespace dormouse {
namespace {

std::size_t bytes_of(const row_layer::row& what) { return what.value ? what.value->size() : 0; }

} // namespace

row_layer::row_map::iterator row_layer::set(std::string key, row what) {
  auto [at, is_new] = rows.try_emplace(std::move(key));
  bytes += (is_new ? at->first.size() : 0) + bytes_of(what);
  bytes -= bytes_of(at->second);
  at->second = std::move(what);
  return at;
}

void row_layer::remove(row_map::iterator at) {
  bytes -= at->first.size() + bytes_of(at->second);
  rows.erase(at);
}

void row_layer::clear() noexcept {
  rows.clear();
  hides_below = false;
  bytes = 0;
}

void storage_overlay::follow(std::shared_ptr<const commit_gate> gate) {
  clear();
  gate_ = std::move(gate);
  commits_ = 0;
}

void storage_overlay::add(row_layer&& written) {
  const auto number = ++commits_;
  if (written.hides_below) {
    clear();
    layer_.hides_below = true;
    erased_by_ = number;
  }
  auto& [by, rows] = written_by_.emplace_back();
  by = number;
  rows.reserve(written.rows.size());
  while (!written.rows.empty()) {
    auto node = written.rows.extract(written.rows.begin());
    rows.push_back(layer_.set(std::move(node.key()), {std::move(node.mapped().value), number}));
  }
  written.clear();
}

const row_layer& storage_overlay::rows() {
  if (layer_.empty()) return layer_;
  const auto readable = gate_->settled_rows.load(std::memory_order_acquire);
  for (; !written_by_.empty() && written_by_.front().first <= readable; written_by_.pop_front())
    for (auto at : written_by_.front().second)
      if (at->second.commit == written_by_.front().first) layer_.remove(at);
  if (erased_by_ <= readable) layer_.hides_below = false;
  return layer_;
}

void storage_overlay::clear() noexcept {
  layer_.clear();
  written_by_.clear();
}

} // namespace dormouse
