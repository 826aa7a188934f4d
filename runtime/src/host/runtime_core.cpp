#include "host/runtime_core.hpp"

#include "host/activation.hpp"

#include <caf/send.hpp>
#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <mutex>

namespace dormouse {
namespace {

/// Standard output belongs to the program. Not registered: a library leaves nothing behind in spdlog's registry.
std::shared_ptr<spdlog::logger> make_log() {
  if (auto own = spdlog::get("dormouse"))
    return own;
  return std::make_shared<spdlog::logger>("dormouse", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
}

} // namespace

runtime_core::runtime_core(caf::actor_system& actors, options chosen, ports outside, std::unique_ptr<class store> opened, url_policy allowed)
  : system(actors),
    settings(std::move(chosen)),
    world(std::move(outside)),
    clock(world.clock ? world.clock : std::make_shared<wall_clock>()),
    policy(std::move(allowed)),
    log(make_log()),
    directory([this](directory_entry& entry) { return spawn_activation(*this, entry); },
              {settings.max_mailbox_messages, settings.max_pending_messages}, counts),
    store(std::move(opened)) {}

const class_descriptor* runtime_core::find_class(std::string_view binding) const {
  std::shared_lock guard(classes_mutex_);
  auto found = classes_.find(binding);
  return found == classes_.end() ? nullptr : found->second;
}

void runtime_core::add_class(const class_descriptor& type) {
  std::unique_lock guard(classes_mutex_);
  classes_.emplace(std::string(type.binding), &type);
}

void runtime_core::note_corrupt(const address& where, const std::string& reason) {
  constexpr std::size_t most_listed = 100;
  std::lock_guard guard(corrupt_mutex_);
  if (corrupt_.size() < most_listed)
    corrupt_.emplace(where, reason);
}

std::vector<corrupt_object> runtime_core::corrupt_objects() const {
  std::lock_guard guard(corrupt_mutex_);
  std::vector<corrupt_object> all;
  for (const auto& [where, reason] : corrupt_)
    all.push_back({where, reason});
  return all;
}

void runtime_core::deliver(const address& to, const class_descriptor& type, envelope_ptr what) {
  // Refused only when stopping; then the inbox row is still there for the next start.
  if (auto activation = directory.pin(to, type, admission::always))
    caf::anon_send(*activation, std::move(what));
}

} // namespace dormouse
