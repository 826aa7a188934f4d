#include "store/store.hpp"

#include <dormouse/serialization/codec.hpp>

#include <fmt/format.h>

#include <random>

namespace dormouse {
namespace {

struct store_info {
  std::uint32_t format = store_format;
  std::uint64_t identity = 0;
  std::uint64_t epoch = 0; ///< how often the store was opened

  template <class Archive>
  void serialize(Archive& ar) {
    ar(format, identity, epoch);
  }
};

std::uint64_t random_identity() {
  std::random_device source;
  return (std::uint64_t{source()} << 32U) | source();
}

constexpr std::uint64_t last_epoch = (std::uint64_t{1} << 24U) - 1;

} // namespace

expected<std::unique_ptr<store>> store::open(std::unique_ptr<storage_engine> engine, std::size_t max_inline_bytes) {
  auto row = engine->get(keys::store_info());
  if (!row)
    return unexpected<error>(row.error());
  store_info info;
  if (*row) {
    auto payload = unseal(frame_type::store_info, **row);
    if (!payload && payload.error().code == errc::newer_format)
      return fail(errc::newer_format, "the store was written by a newer version: " + payload.error().message);
    // The format comes first: a newer one may have more behind it than this program knows.
    if (auto format = payload ? decode<std::uint32_t>(payload->substr(0, sizeof(std::uint32_t))) : unexpected<error>(payload.error()); format && *format > store_format)
      return fail(errc::newer_format, fmt::format("the store has format {}; this program reads up to {}", *format, store_format));
    auto stored = payload.and_then([](std::string_view bytes) { return decode<store_info>(bytes); });
    if (!stored)
      return fail(errc::corrupt, "the store's format row is corrupt: " + stored.error().message);
    info = *stored;
  } else {
    info.identity = random_identity();
  }
  if (info.epoch >= last_epoch)
    return fail(errc::storage_error, fmt::format("the store was opened {} times, which is the limit", info.epoch));
  ++info.epoch;
  write_set writes{{keys::store_info(), seal_value(frame_type::store_info, info)}};
  const write_set* sets[] = {&writes};
  if (auto written = engine->write(sets); !written)
    return unexpected<error>(written.error());
  return std::unique_ptr<store>(new store(std::move(engine), info.epoch, max_inline_bytes));
}

store::store(std::unique_ptr<storage_engine> engine, std::uint64_t epoch, std::size_t max_inline_bytes)
  : engine_(std::move(engine)), epoch_(epoch), max_inline_bytes_(max_inline_bytes), committer_(*engine_) {}

expected<std::optional<std::string>> store::load_object(const address& where) {
  auto row = engine_->get(keys::object(where));
  if (!row)
    return fail(row.error().code, fmt::format("object {}: {}", to_string(where), row.error().message));
  if (!*row)
    return std::nullopt;
  auto state = unseal(frame_type::object, **row);
  if (!state)
    return fail(state.error().code, fmt::format("the stored state of object {} is unreadable: {}", to_string(where), state.error().message));
  // Cut the header off in place: a state may be large.
  (*row)->erase(0, frame_header_bytes);
  return std::move(*row);
}

void store::put_object(write_set& writes, const address& where, const std::string& state) const {
  writes.push_back({keys::object(where), seal(frame_type::object, state)});
}

void store::put_fetch(write_set& writes, fetch_message& fetch, std::int64_t due_ms) const {
  if (fetch.body_is_blob == 0 && fetch.body.size() > max_inline_bytes_) {
    writes.push_back({keys::blob(fetch.id, 'q'), seal(frame_type::blob, fetch.body)});
    fetch.body.clear();
    fetch.body.shrink_to_fit();
    fetch.body_is_blob = 1;
  }
  auto key = keys::queue(fetch.priority, due_ms, fetch.id);
  if (fetch.deadline_ms != 0)
    writes.push_back({keys::deadline(fetch.deadline_ms, fetch.id), key});
  writes.push_back({std::move(key), seal_value(frame_type::fetch, fetch)});
}

void store::erase_fetch(write_set& writes, const fetch_message& fetch, std::int64_t due_ms) const {
  writes.push_back({keys::queue(fetch.priority, due_ms, fetch.id), std::nullopt});
  if (fetch.deadline_ms != 0)
    writes.push_back({keys::deadline(fetch.deadline_ms, fetch.id), std::nullopt});
  if (fetch.body_is_blob != 0)
    writes.push_back({keys::blob(fetch.id, 'q'), std::nullopt});
  if (!fetch.is_repeatable())
    writes.push_back({keys::attempt(fetch.id), std::nullopt});
}

void store::move_fetch(write_set& writes, const fetch_message& fetch, std::int64_t old_due_ms, std::int64_t new_due_ms) const {
  writes.push_back({keys::queue(fetch.priority, old_due_ms, fetch.id), std::nullopt});
  if (!fetch.is_repeatable())
    writes.push_back({keys::attempt(fetch.id), std::nullopt});
  auto copy = fetch;
  put_fetch(writes, copy, new_due_ms);
}

void store::put_result(write_set& writes, result_message& result) const {
  const auto* to = result.path.top();
  std::string large;
  if (result.result && result.result->text().size() > max_inline_bytes_) {
    auto& body = response_access::body(*result.result);
    writes.push_back({keys::blob(result.fetch_id, 'r'), seal(frame_type::blob, body)});
    large.swap(body);
    result.body_is_blob = 1;
  }
  writes.push_back({keys::inbox(to->object, result.fetch_id), seal_value(frame_type::result, result)});
  if (result.body_is_blob != 0)
    response_access::body(*result.result).swap(large);
}

void store::put_post(write_set& writes, const address& to, std::uint64_t id, const post_message& post) const {
  writes.push_back({keys::inbox(to, id), seal_value(frame_type::post, post)});
}

void store::erase_inbox(write_set& writes, const address& where, std::uint64_t id, bool has_blob) const {
  writes.push_back({keys::inbox(where, id), std::nullopt});
  if (has_blob)
    writes.push_back({keys::blob(id, 'r'), std::nullopt});
}

void store::bury(write_set& writes, std::string key, std::string value, std::string reason, std::int64_t now_ms) {
  dead_letter letter{key, std::move(value), std::move(reason), now_ms};
  writes.push_back({keys::dead_letter(next_id()), seal_value(frame_type::dead_letter, letter)});
  writes.push_back({std::move(key), std::nullopt});
}

expected<fetch_message> store::read_fetch(std::string_view row) const {
  auto fetch = unseal_value<fetch_message>(frame_type::fetch, row);
  if (fetch && (fetch->priority > fetch_priority::low || fetch->redirect > redirect_mode::error || fetch->path.empty()))
    return fail(errc::corrupt, "a fetch with a priority or redirect mode that does not exist, or without a return path");
  return fetch;
}

expected<result_message> store::read_result(std::string_view row) {
  auto message = unseal_value<result_message>(frame_type::result, row);
  if (!message)
    return message;
  if (message->path.empty())
    return fail(errc::corrupt, "a result without a return path");
  if (message->body_is_blob != 0) {
    if (!message->result)
      return fail(errc::corrupt, "a fetch error with a body");
    auto body = read_blob(message->fetch_id, 'r');
    if (!body)
      return unexpected<error>(body.error());
    response_access::body(*message->result) = std::move(*body);
  }
  return message;
}

expected<post_message> store::read_post(std::string_view row) const {
  return unseal_value<post_message>(frame_type::post, row);
}

expected<std::string> store::read_request_body(const fetch_message& fetch) {
  return read_blob(fetch.id, 'q');
}

expected<std::string> store::read_blob(std::uint64_t id, char side) {
  auto row = engine_->get(keys::blob(id, side));
  if (!row)
    return unexpected<error>(row.error());
  if (!*row)
    return fail(errc::corrupt, fmt::format("the body of fetch {} is missing", id));
  auto bytes = unseal(frame_type::blob, **row);
  if (!bytes)
    return fail(bytes.error().code, fmt::format("the body of fetch {}: {}", id, bytes.error().message));
  (*row)->erase(0, frame_header_bytes);
  return std::move(**row);
}

} // namespace dormouse
