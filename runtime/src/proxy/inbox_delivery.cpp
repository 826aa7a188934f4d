#include "proxy/inbox_delivery.hpp"

#include "proxy/fetch_commit.hpp"

#include <dormouse/actors/runtime_methods.hpp>

#include <caf/send.hpp>
#include <fmt/format.h>

#include <optional>
#include <utility>
#include <vector>

namespace dormouse {
namespace {

constexpr std::size_t recovery_batch = 512;
constexpr std::chrono::milliseconds suspects_after{250};     ///< from the start
constexpr std::chrono::milliseconds suspects_at_last{5'000}; ///< the same, whoever is not served yet
constexpr std::size_t most_in_batch = 10'000; ///< if it goes on with new rows: whoever writes them may be as
                                              ///< fast as the walk, which would not get past them

/// Of all the messages of a batch: the next one comes when those have been handled that do not wait.
class batch_place final : public held_place {
public:
  batch_place(const caf::actor& dispatcher, std::string binding)
      : dispatcher_(caf::actor_cast<caf::weak_actor_ptr>(dispatcher)), binding_(std::move(binding)) {}
  ~batch_place() override {
    if (auto alive = caf::actor_cast<caf::actor>(dispatcher_))
      caf::anon_send(alive, recovery_ready{binding_});
  }

  std::shared_ptr<held_place> step_aside(std::shared_ptr<held_place>) override { return nullptr; }

private:
  const caf::weak_actor_ptr dispatcher_;
  const std::string binding_;
};

/// Of the one suspect that is under way; with the place it has besides.
class suspect_place final : public held_place {
public:
  suspect_place(const caf::actor& dispatcher, std::shared_ptr<held_place> inner)
      : dispatcher_(caf::actor_cast<caf::weak_actor_ptr>(dispatcher)), inner_(std::move(inner)) {}
  ~suspect_place() override {
    if (auto alive = caf::actor_cast<caf::actor>(dispatcher_)) caf::anon_send(alive, recovery_ready{{}});
  }

  std::shared_ptr<held_place> step_aside(std::shared_ptr<held_place>) override {
    return inner_ ? inner_->step_aside(inner_) : nullptr;
  }

private:
  const caf::weak_actor_ptr dispatcher_;
  const std::shared_ptr<held_place> inner_;
};

void note_deaths(envelope& what, const death_record& known) {
  what.deaths = known.deaths;
  what.failures = known.failures;
  what.history = known.history;
}

} // namespace

expected<envelope_ptr> read_inbox_row(runtime_core& core, const class_descriptor& type, std::string_view key,
                                      std::string_view value) {
  auto parts = keys::parse_inbox(key);
  if (!parts) return fail(errc::corrupt, "the key is malformed");
  auto what = std::make_shared<envelope>();
  what->inbox_id = parts->id;
  auto result = core.store->read_result(value);
  if (result) {
    what->has_blob = result->body_is_blob != 0;
    what->result = std::make_unique<result_message>(std::move(*result));
    return what;
  }
  if (auto answer = core.store->read_reply(value)) {
    what->answer = std::make_unique<reply_message>(std::move(*answer));
    return what;
  }
  std::string method;
  if (auto call = core.store->read_call(value)) {
    method = std::move(call->method);
    what->arguments = std::move(call->arguments);
    what->path = std::move(call->path);
  } else if (auto post = core.store->read_post(value)) {
    method = std::move(post->method);
    what->arguments = std::move(post->arguments);
  } else {
    return unexpected<error>(result.error());
  }
  what->method = runtime_methods::find(type, method);
  if (what->method == nullptr)
    return fail(errc::unknown_method, fmt::format("class {} has no method '{}'", type.binding, method));
  return what;
}

void inbox_delivery::announce(const class_descriptor& type) {
  announced_.insert_or_assign(std::string(type.binding), core_.add_class(type));
}

void inbox_delivery::walk_inbox(const class_descriptor& type) {
  auto announced = announced_.extract(std::string(type.binding));
  began_ = std::chrono::steady_clock::now();
  walks_.insert_or_assign(announced.key(),
                          walk{&type, keys::inbox_of(type.binding).first, announced.mapped()});
  recover_some(announced.key());
}

void inbox_delivery::recover_some(const std::string& binding) {
  auto found = walks_.find(binding);
  if (found == walks_.end() || later_.contains(binding)) return;
  if (core_.counts.pending_messages.get() >=
      core_.settings.max_pending_messages) { // those that wait with their objects among them
    later_.insert(binding);
    return;
  }
  auto& on = found->second;
  const auto outcome = on.stuck_tasks_only ? wake_tasks(on) : read_batch(on);
  if (!outcome) {
    core_.trouble.error("inbox of " + binding,
                        fmt::format("what was left for the class of binding '{}' cannot be read yet: {}",
                                    binding, to_string(outcome.error())));
    later_.insert(binding);
  } else if (on.type == nullptr) {
    walks_.erase(found);
  }
}

void inbox_delivery::recover_later() {
  nurse();
  look_again();
  for (const auto& binding : std::exchange(later_, {}))
    recover_some(binding);
}

expected<void> inbox_delivery::read_batch(walk& on) {
  const std::string binding(on.type->binding);
  const auto place = std::make_shared<batch_place>(core_.dispatcher, binding);
  core_.walks.read(binding);
  std::vector<delivery_order> batch;
  std::string last;
  auto rows = core_.store->scan_readable({on.from, keys::inbox_of(binding).second}, [&](const key_range&
                                                                                            passed) {
    auto& unread = unread_.try_emplace(binding, unread_rows{on.type, on.first_new_id, {}, {}}).first->second;
    unread.inbox.add(passed, core_.clock->now_ms());
    core_.walks.leave_unread(passed, on.first_new_id);
  });
  for (std::size_t taken = 0; rows->valid(); rows->next(), ++taken) {
    auto parts = keys::parse_inbox(rows->key());
    if (taken >= (parts && parts->id >= on.first_new_id ? most_in_batch : recovery_batch)) break;
    last = rows->key();
    address to;
    auto what = take_inbox_row(*on.type, *rows, to);
    if (!what) continue;
    what->place = place;
    batch.push_back({std::move(to), on.type, std::move(what), nullptr});
  }
  const auto outcome = rows->status();
  std::optional<std::string> up_to;
  if (rows->valid() || !outcome) up_to = last.empty() ? on.from : last;
  core_.walks.pass(binding, std::move(batch), up_to, [this](delivery_order each) {
    // What became durable meanwhile; of the batch they are held already.
    if (core_.suspects.holds_for(each.to) && each.what->place == nullptr)
      return core_.suspects.hold({each.to, each.type, keys::inbox(each.to, each.what->inbox_id), nullptr});
    core_.deliver(each.to, *each.type, std::move(each.what));
  });
  on.stuck_tasks_only = !up_to;
  if (on.stuck_tasks_only)
    on.from = keys::stuck_tasks_of(binding).first;
  else if (!last.empty())
    on.from = std::move(last) + '\0';
  return outcome;
}

envelope_ptr inbox_delivery::take_inbox_row(const class_descriptor& type, const row_cursor& row,
                                            address& to) {
  auto parts = keys::parse_inbox(row.key());
  if (parts && is_being_stored_(parts->id)) return nullptr; // it is delivered when that is done
  auto what = read_inbox_row(core_, type, row.key(), row.value());
  if (!what) {
    auto burial = std::make_unique<row_burial>(core_.counts);
    core_.store->bury(burial->writes, std::string(row.key()), std::string(row.value()),
                      "inbox row: " + to_string(what.error()), core_.clock->now_ms());
    core_.store->submit(std::move(burial));
    return nullptr;
  }
  to = std::move(parts->where);
  if (core_.suspects.none()) return std::move(*what);
  if (auto known = core_.suspects.find(key_of(to, **what))) note_deaths(**what, *known);
  if (!core_.suspects.is_suspect(to, **what) && !core_.suspects.holds_for(to)) return std::move(*what);
  core_.suspects.hold({std::move(to), &type, std::string(row.key()), nullptr});
  return nullptr;
}

/// R17: with this program's code they may go on.
expected<void> inbox_delivery::wake_tasks(walk& on) {
  const std::string binding(on.type->binding);
  const auto place = std::make_shared<batch_place>(core_.dispatcher, binding);
  auto rows = core_.store->scan_readable({on.from, keys::stuck_tasks_of(binding).second}, [&](const key_range&
                                                                                                  passed) {
    auto& unread = unread_.try_emplace(binding, unread_rows{on.type, on.first_new_id, {}, {}}).first->second;
    unread.stuck_tasks.add(passed, core_.clock->now_ms());
  });
  for (std::size_t taken = 0; rows->valid() && taken < recovery_batch; rows->next(), ++taken) {
    on.from = std::string(rows->key()) + '\0';
    address to;
    auto what = take_stuck_task(*on.type, *rows, to);
    if (!what) continue;
    what->place = place;
    core_.deliver(to, *on.type, std::move(what));
  }
  const auto outcome = rows->status();
  if (outcome && !rows->valid()) on.type = nullptr; // that was all
  return outcome;
}

envelope_ptr inbox_delivery::take_stuck_task(const class_descriptor& type, const row_cursor& row,
                                             address& to) {
  auto id = keys::parse_task(row.key());
  if (!id) return nullptr;
  auto what = std::make_shared<envelope>();
  what->method = &runtime_methods::wake_task;
  what->arguments = encode(id->number);
  to = std::move(id->object);
  if (!core_.suspects.is_suspect(to, *what)) return what;
  core_.suspects.hold({std::move(to), &type, {}, std::move(what)});
  return nullptr;
}

/// All rows of a range at once: it is a block of a file, or a few. What was written there since the class is
/// known is left alone: it was delivered, or the next start does it.
void inbox_delivery::look_again() {
  const auto now = core_.clock->now_ms();
  using taker = envelope_ptr (inbox_delivery::*)(const class_descriptor&, const row_cursor&, address&);
  const auto read = [this](const unread_rows& of, const key_range& rows, taker take) {
    if (core_.counts.pending_messages.get() >= core_.settings.max_pending_messages) return false;
    auto row = core_.store->scan(rows.from, rows.to);
    while (row->valid())
      row->next();
    if (!row->status()) return false;
    for (row = core_.store->scan(rows.from, rows.to); row->valid(); row->next()) {
      const auto parts = keys::parse_inbox(row->key());
      if (parts && (parts->id >= of.first_new_id || core_.walks.was_delivered(parts->id))) continue;
      address to;
      if (auto what = (this->*take)(*of.type, *row, to)) core_.deliver(to, *of.type, std::move(what));
    }
    return true;
  };
  for (auto& each : unread_) {
    auto& of = each.second; // clang 14 captures no structured binding
    of.inbox.look_again(
        now, [&](const key_range& rows) { return read(of, rows, &inbox_delivery::take_inbox_row); });
    of.stuck_tasks.look_again(
        now, [&](const key_range& rows) { return read(of, rows, &inbox_delivery::take_stuck_task); });
  }
  std::erase_if(
      unread_, [](const auto& each) { return each.second.inbox.empty() && each.second.stuck_tasks.empty(); });
}

/// The next suspect, when everybody else has been served, or has had the time for it (R22).
void inbox_delivery::nurse() {
  if (!core_.suspects.holds_any() || core_.stopping.load(std::memory_order_relaxed)) return;
  const auto up = std::chrono::steady_clock::now() - began_;
  if (up < suspects_after || (up < suspects_at_last && (!walks_.empty() || !announced_.empty() ||
                                                        core_.counts.pending_messages.get() != 0)))
    return;
  while (auto next = core_.suspects.next(core_.settings.max_turn)) {
    const auto found = next->key.empty() ? expected<bool>(true) : read_suspect(*next);
    if (found && *found) {
      next->what->place = std::make_shared<suspect_place>(core_.dispatcher, std::move(next->what->place));
      return core_.deliver(next->to, *next->type, std::move(next->what));
    }
    if (!found) core_.suspects.hold_first(std::move(*next)); // it comes again
    core_.suspects.over();
    if (!found) return;
  }
}

/// False if its row is gone, or says nothing that can be read. Error: `storage_error`.
expected<bool> inbox_delivery::read_suspect(suspects::one& next) {
  auto row = core_.store->get(next.key);
  if (!row) {
    core_.trouble.error("suspects", fmt::format("a message that is left for last cannot be read: {}",
                                                to_string(row.error())));
    return unexpected<error>(row.error());
  }
  if (!*row) return false;
  auto what = read_inbox_row(core_, *next.type, next.key, **row);
  if (!what || *what == nullptr) return false;
  next.what = std::move(*what);
  if (auto known = core_.suspects.find(key_of(next.to, *next.what))) note_deaths(*next.what, *known);
  return true;
}

void inbox_delivery::nursed() {
  core_.suspects.over();
  nurse();
}

void inbox_delivery::deliver(std::unique_ptr<result_message> result) {
  const auto to = result->path.top()->object;
  const auto* type = core_.find_class(to.binding);
  if (type == nullptr)
    return core_.counts.undeliverable.add();              // it stays in the inbox until its class is defined
  if (!core_.walks.arrived(to, result->fetch_id)) return; // the walk finds it
  auto what = std::make_shared<envelope>();
  what->inbox_id = result->fetch_id;
  what->has_blob = result->body_is_blob != 0;
  what->result = std::move(result);
  if (core_.suspects.is_suspect(to, *what) || core_.suspects.holds_for(to))
    return core_.suspects.hold({to, type, keys::inbox(to, what->inbox_id), nullptr});
  core_.deliver(to, *type, std::move(what));
}

} // namespace dormouse
