#include "host/front_desk.hpp"
#include "proxy/inbox_delivery.hpp"
#include "schedule/schedule_changes.hpp"
#include "store/awaited_commit.hpp"

#include <dormouse/actors/user_code.hpp>
#include <dormouse/runtime/dead_letters.hpp>
#include <dormouse/serialization/headers.hpp>
#include <dormouse/serialization/url.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <future>
#include <mutex>

namespace dormouse {
namespace {

std::chrono::system_clock::time_point from_ms(std::int64_t ms) {
  return std::chrono::system_clock::time_point(std::chrono::milliseconds(ms));
}

void commit_and_wait(store& to, std::unique_ptr<awaited_commit> commit) {
  auto durable = commit->durable();
  to.submit(std::move(commit));
  value_or_throw(durable.get());
}

void use_present_name(const runtime_core& core, dead_letter& letter) {
  if (auto parts = keys::parse_inbox(letter.key))
    letter.key = keys::inbox(core.present(std::move(parts->where)), parts->id);
  else if (auto tick = keys::parse_schedule(letter.key))
    letter.key = keys::schedule(core.present(std::move(tick->where)), tick->id);
}

/// Under the present name of its object.
dead_letter read(runtime_core& core, std::uint64_t id) {
  auto row = value_or_throw(core.store->get(keys::dead_letter(id)));
  if (!row) throw failure({errc::not_found, fmt::format("there is no dead letter {}", id)});
  auto letter = unseal_value<dead_letter>(frame_type::dead_letter, *row);
  if (!letter)
    throw failure(
        {errc::corrupt, fmt::format("dead letter {} is unreadable itself: {}", id, letter.error().message)});
  use_present_name(core, *letter);
  return std::move(*letter);
}

/// The fields that have a URL for a value.
bool is_url_header(std::string_view name) {
  for (std::string_view known : {"Content-Location", "Location", "Referer"})
    if (iequals(name, known)) return true;
  return false;
}

headers without_secrets(const headers& fields) {
  headers out;
  for (const auto& [name, value] : fields.fields())
    out.append(name, is_secret_header(name) ? "..." : is_url_header(name) ? shown_url(value) : value);
  return out;
}

void hide_secrets(dead_letter_entry& of) {
  if (of.request) {
    of.request->url = shown_url(of.request->url);
    of.request->headers = without_secrets(of.request->headers);
  }
  if (of.result && *of.result) {
    auto& answer = **of.result;
    response_access::url(answer) = shown_url(answer.url());
    response_access::headers(answer) = without_secrets(answer.headers());
  }
}

dead_letter_entry shown(store& from, std::uint64_t id, const expected<dead_letter>& letter, secrets how) {
  dead_letter_entry out;
  out.id = id;
  if (!letter) {
    out.reason = "the letter is unreadable itself: " + letter.error().message;
    return out;
  }
  out.reason = letter->reason;
  out.time = from_ms(letter->time_ms);
  for (const auto& each : letter->extra.history)
    out.history.push_back({from_ms(each.time_ms), each.failure});
  if (auto parts = keys::parse_inbox(letter->key))
    out.object = parts->where;
  else if (auto schedule = keys::parse_schedule(letter->key))
    out.object = schedule->where;
  if (auto result = from.read_result(letter->value)) {
    out.method = result->path.top()->method;
    out.request = std::move(result->extra.request);
    out.result = std::move(result->result);
  } else if (auto answer = from.read_reply(letter->value)) {
    out.method = answer->path.top()->method;
  } else if (auto call = from.read_call(letter->value)) {
    out.method = call->method;
    out.arguments = std::move(call->arguments);
  } else if (auto post = from.read_post(letter->value)) {
    out.method = post->method;
    out.arguments = std::move(post->arguments);
  } else if (auto tick = from.read_schedule(letter->value)) {
    out.method = tick->method;
    out.arguments = std::move(tick->arguments);
  }
  if (how == secrets::hidden) hide_secrets(out);
  return out;
}

/// A tick goes back as a schedule of its own that is due now.
void schedule_again(runtime_core& core, std::uint64_t id, const address& of, schedule_message tick) {
  auto commit = std::make_unique<awaited_commit>();
  schedule_changes change;
  tick.due_ms = std::max(tick.tick_ms, core.clock->now_ms());
  change.more = 1;
  change.put(*core.store, of, tick);
  commit->writes = std::move(change.writes);
  commit->writes.push_back({keys::dead_letter(id), std::nullopt});
  commit_and_wait(*core.store, std::move(commit));
  change.let_out(core);
}

} // namespace

std::vector<dead_letter_entry> dead_letters::list(std::uint64_t after, std::size_t limit, secrets how) const {
  if (limit < 1 || limit > most_listed)
    throw failure(
        {errc::invalid_request,
         fmt::format("dead_letters::list is asked for {} letters; it gives 1..{}", limit, most_listed)});
  return desk_->with_store([&](runtime_core& core) {
    std::vector<dead_letter_entry> out;
    auto row = core.store->scan_readable({keys::dead_letter(after) + '\0', keys::all('D').second});
    for (; row->valid() && out.size() < limit; row->next())
      if (auto id = keys::parse_dead_letter(row->key())) {
        auto letter = unseal_value<dead_letter>(frame_type::dead_letter, row->value());
        if (letter) use_present_name(core, *letter);
        out.push_back(shown(*core.store, *id, letter, how));
      }
    value_or_throw(row->status());
    return out;
  });
}

dead_letter_entry dead_letters::get(std::uint64_t id, secrets how) const {
  return desk_->with_store([&](runtime_core& core) {
    const auto letter = read(core, id);
    auto out = shown(*core.store, id, letter, how);
    if (auto result = core.store->read_result(letter.value);
        result && result->body_is_blob != 0 && out.result && *out.result)
      response_access::body(**out.result) = value_or_throw(core.store->load_response_body(result->fetch_id));
    return out;
  });
}

void dead_letters::retry(std::uint64_t id) {
  refuse_to_wait("dead_letters::retry()");
  desk_->with_store([&](runtime_core& core) {
    std::lock_guard guard(core.defining);
    auto letter = read(core, id);
    if (auto of = keys::parse_schedule(letter.key))
      if (auto tick = core.store->read_schedule(letter.value))
        return schedule_again(core, id, of->where, std::move(*tick));
    auto parts = keys::parse_inbox(letter.key);
    if (!parts || (!core.store->read_result(letter.value) && !core.store->read_post(letter.value) &&
                   !core.store->read_call(letter.value) && !core.store->read_reply(letter.value)))
      throw failure(
          {errc::corrupt, fmt::format("dead letter {} holds damaged bytes ({}); it can only be discarded", id,
                                      letter.reason)});
    auto place = core.place_of_row(parts->where, parts->id);
    delivery_order back{place.where, place.type, nullptr, std::move(place.in_hand)};
    if (place.type != nullptr)
      back.what = value_or_throw(read_inbox_row(core, *place.type, letter.key, letter.value));
    auto commit = std::make_unique<awaited_commit>();
    commit->writes.push_back({keys::dead_letter(id), std::nullopt});
    commit->writes.push_back({std::move(letter.key), std::move(letter.value)});
    commit_and_wait(*core.store, std::move(commit));
    if (back.what) core.deliver(std::move(back));
  });
}

void dead_letters::discard(std::uint64_t id) {
  refuse_to_wait("dead_letters::discard()");
  desk_->with_store([&](runtime_core& core) {
    std::lock_guard guard(core.defining);
    auto commit = std::make_unique<awaited_commit>();
    // One that cannot be read can be discarded all the same.
    auto row = value_or_throw(core.store->get(keys::dead_letter(id)));
    if (!row) throw failure({errc::not_found, fmt::format("there is no dead letter {}", id)});
    if (auto letter = unseal_value<dead_letter>(frame_type::dead_letter, *row)) {
      if (auto parts = keys::parse_inbox(letter->key))
        core.store->erase_bodies(*commit, parts->id);
      else if (auto queued = keys::parse_queue(letter->key))
        core.store->erase_bodies(*commit, queued->id);
    }
    commit->writes.push_back({keys::dead_letter(id), std::nullopt});
    commit_and_wait(*core.store, std::move(commit));
  });
}

} // namespace dormouse
