#include "store/store.hpp"

#include "store/watched_engine.hpp"
#include "store/watermark.hpp"

#include <dormouse/actors/storage.hpp>
#include <dormouse/serialization/codec.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <random>

namespace dormouse {
namespace {

std::uint64_t random_identity() {
  std::random_device source;
  return (std::uint64_t{source()} << 32U) | source();
}

constexpr std::size_t frame_type_at = 5;

/// Not a constant of the file: a runtime of static duration may be made before it has its value.
std::size_t facts_bytes() {
  static const std::size_t bytes = encode(object_facts{}).size();
  return bytes;
}

bool is_of_type(frame_type type, std::string_view frame) {
  return frame.size() >= frame_header_bytes && frame[frame_type_at] == static_cast<char>(type);
}

/// A 'B' row. The frame of earlier versions has the body in it.
expected<stored_body> read_body_row(std::string& row, std::uint64_t id, blob_side side) {
  const auto damaged = [id](const error& why) {
    return fail(why.code, fmt::format("the body of fetch {}: {}", id, why.message));
  };
  stored_body body;
  if (is_of_type(frame_type::blob, row)) {
    if (auto bytes = unseal(frame_type::blob, row); !bytes) return damaged(bytes.error());
    row.erase(0, frame_header_bytes);
    body.bytes = std::move(row);
    return body;
  }
  auto file = unseal_value<blob_ref>(frame_type::blob_file, row);
  if (!file) return damaged(file.error());
  file->fetch_id = id;
  file->side = side;
  body.file = *file;
  return body;
}

std::string lost_text(const lost_range& what) {
  return fmt::format("rows were lost when the store was repaired: {}: {}", describe_rows(what.rows()),
                     what.reason);
}

constexpr std::uint64_t last_epoch = (std::uint64_t{1} << 24U) - 1;

} // namespace

expected<std::unique_ptr<store>> store::open(std::unique_ptr<storage_engine> engine,
                                             const std::filesystem::path& directory,
                                             std::size_t max_inline_bytes, std::size_t body_memory_bytes) {
  auto row = engine->get(keys::store_info());
  if (!row) return unexpected<error>(row.error());
  store_info info;
  if (*row) {
    auto payload = unseal(frame_type::store_info, **row);
    if (!payload && payload.error().code == errc::newer_format)
      return fail(errc::newer_format, "the store was written by a newer version: " + payload.error().message);
    // The format comes first: a newer one may have more behind it than this program knows.
    if (auto format = payload ? decode<std::uint32_t>(payload->substr(0, sizeof(std::uint32_t)))
                              : unexpected<error>(payload.error());
        format && *format > store_format)
      return fail(errc::newer_format,
                  fmt::format("the store has format {}; this program reads up to {}", *format, store_format));
    auto stored = payload.and_then([](std::string_view bytes) { return decode<store_info>(bytes); });
    if (!stored) return fail(errc::corrupt, "the store's format row is corrupt: " + stored.error().message);
    info = *stored;
  } else {
    info.identity = random_identity();
  }
  auto mark = watermark::open(directory);
  if (!mark) return unexpected<error>(mark.error());
  info.epoch = std::max(info.epoch, mark->epoch()); // the log may have lost the row
  if (info.epoch >= last_epoch)
    return fail(errc::storage_error,
                fmt::format("the store was opened {} times, which is the limit", info.epoch));
  ++info.epoch;
  if (auto noted = mark->note_epoch(info.epoch); !noted) return unexpected<error>(noted.error());
  info.format = store_format; // all rows of earlier formats are read as they are
  write_set writes{{keys::store_info(), seal_value(frame_type::store_info, info)}};
  const write_set* sets[] = {&writes};
  if (auto written = engine->write(sets); !written) return unexpected<error>(written.error());
  auto lost = lost_rows::load(*engine);
  if (!lost) return unexpected<error>(lost.error());
  auto blobs = blob_store::open(directory, info.epoch, body_memory_bytes);
  if (!blobs) return unexpected<error>(blobs.error());
  return std::unique_ptr<store>(new store(std::move(engine), std::move(*blobs), std::move(*lost), directory,
                                          info.epoch, max_inline_bytes));
}

store::store(std::unique_ptr<storage_engine> engine, std::shared_ptr<blob_store> blobs, lost_rows lost,
             const std::filesystem::path& directory, std::uint64_t epoch, std::size_t max_inline_bytes)
    : engine_(std::make_unique<watched_engine>(std::move(engine), damage_)),
      blobs_(std::move(blobs)),
      lost_(std::move(lost)),
      epoch_(epoch),
      max_inline_bytes_(max_inline_bytes),
      committer_(*engine_, blobs_) {
  for (const auto& each : lost_.ranges())
    damage_.note(each.rows(), {errc::corrupt, "it was lost when the store was repaired: " + each.reason});
  damage_.write_down_in(directory / damage_note);
  blobs_->remove_orphans([this](const blob_ref& name) -> expected<bool> {
    auto row = get(keys::blob(name.fetch_id, static_cast<char>(name.side)));
    if (!row) return unexpected<error>(row.error());
    if (!*row) return false;
    auto body = read_body_row(**row, name.fetch_id, name.side);
    if (!body) return unexpected<error>(body.error()); // damaged: whose file this is can not be told
    return body->file && body->file->number == name.number;
  });
}

expected<std::optional<std::string>> store::get(std::string_view key) const {
  auto row = engine_->get(key);
  if (row && !*row && !lost_.empty())
    if (const auto* range = lost_.find(key)) return fail(errc::corrupt, lost_text(*range));
  return row;
}

store::~store() {
  committer_.drain();
  blobs_->close(); // it looks up rows, and others may hold it longer
}

expected<std::optional<stored_object>> store::load_object(const address& where) {
  auto row = get(keys::object(where));
  if (!row)
    return fail(row.error().code, fmt::format("object {}: {}", to_string(where), row.error().message));
  if (!lost_.empty())
    if (const auto* range = lost_.find_of(where))
      return fail(errc::corrupt, fmt::format("object {}: {}", to_string(where), lost_text(*range)));
  if (!*row) return std::nullopt;
  const auto unreadable = [&where](const error& why) {
    return fail(why.code, fmt::format("the stored state of object {} is unreadable: {}", to_string(where),
                                      why.message));
  };
  const bool has_facts = !is_of_type(frame_type::object, **row); // earlier versions stored the state alone
  auto payload = unseal(has_facts ? frame_type::object_record : frame_type::object, **row);
  if (!payload) return unreadable(payload.error());
  stored_object out;
  if (has_facts) {
    auto facts = decode<object_facts>(payload->substr(0, facts_bytes()));
    if (!facts) return unreadable(facts.error());
    out.facts = *facts;
  }
  // Cut what is in front of it off in place: a state may be large.
  (*row)->erase(0, frame_header_bytes + (has_facts ? facts_bytes() : 0));
  out.state = std::move(**row);
  return out;
}

void store::put_object(write_set& writes, const address& where, const object_facts& facts,
                       std::string_view state) const {
  writes.push_back({keys::object(where), seal(frame_type::object_record, encode(facts), state)});
}

expected<blob_writer_ptr> store::spill(fetch_message& fetch) const {
  if (fetch.body.size() <= max_inline_bytes_) return nullptr;
  auto file = blobs_->create(fetch.id, blob_side::request);
  if (auto written = file->append(fetch.body); !written)
    return fail(written.error().code, fmt::format("the request body of {} bytes cannot be stored: {}",
                                                  fetch.body.size(), written.error().message));
  fetch.body.clear();
  fetch.body.shrink_to_fit();
  fetch.body_is_blob = 1;
  return file;
}

void store::put_fetch(pending_commit& commit, const fetch_message& fetch, std::int64_t due_ms,
                      blob_writer_ptr body) const {
  if (body) put_body(commit, std::move(body));
  auto key = keys::queue(fetch.extra.queue, fetch.priority, due_ms, fetch.id);
  if (const auto end = fetch.end_ms(); end != 0)
    commit.writes.push_back({keys::deadline(end, fetch.id), key});
  for (const auto& source : fetch.extra.signal.sources())
    commit.writes.push_back({keys::signal(source, fetch.id), key});
  commit.writes.push_back({std::move(key), seal_value(frame_type::fetch, fetch)});
}

void store::erase_fetch(pending_commit& commit, const fetch_message& fetch, std::int64_t due_ms) const {
  commit.writes.push_back({keys::queue(fetch.extra.queue, fetch.priority, due_ms, fetch.id), std::nullopt});
  if (const auto end = fetch.end_ms(); end != 0)
    commit.writes.push_back({keys::deadline(end, fetch.id), std::nullopt});
  for (const auto& source : fetch.extra.signal.sources())
    commit.writes.push_back({keys::signal(source, fetch.id), std::nullopt});
  if (fetch.body_is_blob == 1) erase_body(commit, fetch.id, blob_side::request);
  if (!fetch.is_repeatable()) commit.writes.push_back({keys::attempt(fetch.id), std::nullopt});
}

void store::move_fetch(pending_commit& commit, const fetch_message& fetch, std::int64_t old_due_ms,
                       std::int64_t new_due_ms) const {
  commit.writes.push_back(
      {keys::queue(fetch.extra.queue, fetch.priority, old_due_ms, fetch.id), std::nullopt});
  if (!fetch.is_repeatable()) commit.writes.push_back({keys::attempt(fetch.id), std::nullopt});
  put_fetch(commit, fetch, new_due_ms);
}

void store::put_result(pending_commit& commit, result_message& result, blob_writer_ptr body) const {
  result.body_is_blob = body ? 1 : 0;
  if (body) put_body(commit, std::move(body));
  commit.writes.push_back(
      {keys::inbox(result.path.top()->object, result.fetch_id), seal_value(frame_type::result, result)});
}

void store::put_abort(write_set& writes, const abort_id& id, const abort_mark& mark) const {
  writes.push_back({keys::abort_mark(id), seal_value(frame_type::abort_mark, mark)});
}

expected<std::optional<abort_mark>> store::load_abort(const abort_id& id) {
  auto row = get(keys::abort_mark(id));
  if (!row) return unexpected<error>(row.error());
  if (!*row) return std::nullopt;
  // That it is there is what counts: a damaged one aborts all the same.
  return unseal_value<abort_mark>(frame_type::abort_mark, **row).value_or(abort_mark{});
}

expected<std::string> store::load_jar(const address& of, std::string_view name) {
  auto row = get(keys::jar(of, name));
  if (!row) return unexpected<error>(row.error());
  if (!*row) return std::string();
  return unseal(frame_type::cookie_jar, **row).map([](std::string_view bytes) { return std::string(bytes); });
}

void store::put_jar(write_set& writes, const address& of, std::string_view name,
                    const std::string& bytes) const {
  writes.push_back({keys::jar(of, name),
                    bytes.empty() ? std::nullopt : std::optional(seal(frame_type::cookie_jar, bytes))});
}

expected<std::optional<std::string>> store::load_row(const address& of, std::string_view key) {
  auto row = get(keys::storage_row(of, key));
  if (!row) return unexpected<error>(row.error());
  if (!*row) return std::nullopt;
  return read_row(of, key, **row).map([](std::string&& value) { return std::optional(std::move(value)); });
}

expected<std::string> store::read_row(const address& of, std::string_view key, std::string_view frame) const {
  auto value = unseal(frame_type::storage_value, frame);
  if (!value)
    return fail(value.error().code,
                fmt::format("{} is unreadable: {}", name_of_row(of, key), value.error().message));
  return std::string(*value);
}

void store::put_row(write_set& writes, const address& of, std::string_view key,
                    const std::string& value) const {
  writes.push_back({keys::storage_row(of, key), seal(frame_type::storage_value, value)});
}

void store::erase_row(write_set& writes, const address& of, std::string_view key) const {
  writes.push_back({keys::storage_row(of, key), std::nullopt});
}

void store::erase_rows(write_set& writes, const address& of) const {
  auto rows = keys::storage_of(of);
  writes.push_back({std::move(rows.first), std::nullopt, std::move(rows.second)});
}

expected<std::optional<task_record>> store::load_task(const task_id& id) {
  auto row = get(keys::task(id));
  if (!row) return unexpected<error>(row.error());
  if (!*row) return std::optional<task_record>();
  auto record = read_task(**row);
  if (!record)
    return fail(record.error().code,
                fmt::format("the record of task {}: {}", to_string(id), record.error().message));
  return std::optional(std::move(*record));
}

expected<std::vector<journal_step>> store::load_journal(const task_id& id, std::uint64_t first_step) {
  std::vector<journal_step> out;
  const auto rows = scan(keys::steps_of(id));
  for (; rows->valid(); rows->next()) {
    auto step = rows->key() == keys::task_step(id, first_step + out.size())
                    ? unseal_value<journal_step>(frame_type::task_step, rows->value())
                    : expected<journal_step>(fail(errc::corrupt, "it is missing"));
    if (!step)
      return fail(step.error().code, fmt::format("step {} of task {}: {}", first_step + out.size(),
                                                 to_string(id), step.error().message));
    out.push_back(std::move(*step));
  }
  if (auto good = rows->status(); !good) return unexpected<error>(good.error());
  return out;
}

void store::put_task(write_set& writes, const task_id& id, const task_record& record) const {
  writes.push_back({keys::task(id), seal_value(frame_type::task, record)});
}

void store::put_step(write_set& writes, const task_id& id, std::uint64_t number,
                     const journal_step& step) const {
  writes.push_back({keys::task_step(id, number), seal_value(frame_type::task_step, step)});
}

expected<std::optional<remembered_call>> store::load_remembered(const address& of, std::string_view key) {
  auto row = get(keys::remembered_call(of, key));
  if (!row) return unexpected<error>(row.error());
  if (!*row) return std::nullopt;
  auto what = unseal_value<remembered_call>(frame_type::remembered_call, **row);
  if (!what)
    return fail(what.error().code,
                fmt::format("what object {} remembers of the call with idempotency key {:?}: {}",
                            to_string(of), key, what.error().message));
  return std::optional(std::move(*what));
}

void store::put_remembered(write_set& writes, const address& of, std::string_view key,
                           const remembered_call& what) const {
  writes.push_back({keys::remembered_call(of, key), seal_value(frame_type::remembered_call, what)});
}

void store::put_post(write_set& writes, const address& to, std::uint64_t id, const post_message& post) const {
  writes.push_back({keys::inbox(to, id), seal_value(frame_type::post, post)});
}

void store::put_call(write_set& writes, const address& to, const call_message& call) const {
  writes.push_back({keys::inbox(to, call.id), seal_value(frame_type::call, call)});
}

void store::put_reply(write_set& writes, const reply_message& reply) const {
  writes.push_back({keys::inbox(reply.path.top()->object, reply.id), seal_value(frame_type::reply, reply)});
}

void store::put_schedule(write_set& writes, const address& of, const schedule_message& what) const {
  auto key = keys::schedule(of, what.id);
  writes.push_back({keys::due(what.due_ms, what.id.number), key});
  writes.push_back({std::move(key), seal_value(frame_type::schedule, what)});
}

void store::erase_schedule(write_set& writes, const address& of, const schedule_message& what) const {
  writes.push_back({keys::due(what.due_ms, what.id.number), std::nullopt});
  writes.push_back({keys::schedule(of, what.id), std::nullopt});
}

expected<std::optional<schedule_message>> store::load_schedule(const address& of, const schedule_id& id) {
  auto row = get(keys::schedule(of, id));
  if (!row) return unexpected<error>(row.error());
  if (!*row) return std::nullopt;
  auto found = read_schedule(**row);
  if (!found) return unexpected<error>(found.error());
  if (found->id.name != id.name || (id.number != 0 && found->id.number != id.number)) return std::nullopt;
  return std::move(*found);
}

void store::erase_inbox(pending_commit& commit, const address& where, std::uint64_t id, bool has_blob) const {
  commit.writes.push_back({keys::inbox(where, id), std::nullopt});
  if (has_blob) erase_body(commit, id, blob_side::response);
}

void store::put_body(pending_commit& commit, blob_writer_ptr body) const {
  const auto& ref = body->ref();
  commit.writes.push_back(
      {keys::blob(ref.fetch_id, static_cast<char>(ref.side)), seal_value(frame_type::blob_file, ref)});
  commit.new_blobs.push_back(std::move(body));
}

/// The row says which file it is. Should it be unreadable, the file is left over and the next start removes
/// it.
void store::erase_body(pending_commit& commit, std::uint64_t id, blob_side side) const {
  if (auto body = find_body(id, side); body && body->file) commit.old_blobs.push_back(*body->file);
  commit.writes.push_back({keys::blob(id, static_cast<char>(side)), std::nullopt});
}

void store::erase_bodies(pending_commit& commit, std::uint64_t fetch_id) const {
  for (auto side : {blob_side::request, blob_side::response})
    if (auto row = get(keys::blob(fetch_id, static_cast<char>(side))); row && *row)
      erase_body(commit, fetch_id, side);
}

void store::bury(write_set& writes, std::string key, std::string value, std::string reason,
                 std::int64_t now_ms, std::vector<dead_letter_try> history) {
  dead_letter letter{key, std::move(value), std::move(reason), now_ms, {std::move(history)}};
  writes.push_back({keys::dead_letter(next_id()), seal_value(frame_type::dead_letter, letter)});
  writes.push_back({std::move(key), std::nullopt});
}

expected<fetch_message> store::read_fetch(std::string_view row) const {
  auto fetch = unseal_value<fetch_message>(frame_type::fetch, row);
  if (fetch && (fetch->priority > fetch_priority::low || fetch->redirect > redirect_mode::error ||
                fetch->extra.delivery > delivery::at_most_once ||
                fetch->extra.sharing > sharing::single_flight || fetch->path.empty()))
    return fail(errc::corrupt, "a fetch with a priority, redirect mode, delivery or sharing that does not "
                               "exist, or without a return path");
  return fetch;
}

expected<result_message> store::read_result(std::string_view row) const {
  auto message = unseal_value<result_message>(frame_type::result, row);
  if (message && message->path.empty()) return fail(errc::corrupt, "a result without a return path");
  if (message && message->body_is_blob != 0 && !message->result)
    return fail(errc::corrupt, "a fetch error with a body");
  return message;
}

expected<post_message> store::read_post(std::string_view row) const {
  return unseal_value<post_message>(frame_type::post, row);
}

expected<call_message> store::read_call(std::string_view row) const {
  return unseal_value<call_message>(frame_type::call, row);
}

expected<reply_message> store::read_reply(std::string_view row) const {
  auto reply = unseal_value<reply_message>(frame_type::reply, row);
  if (reply && reply->path.empty()) return fail(errc::corrupt, "an answer without a return path");
  return reply;
}

expected<schedule_message> store::read_schedule(std::string_view row) const {
  auto what = unseal_value<schedule_message>(frame_type::schedule, row);
  if (what && (what->missed > missed_ticks::all || what->method.empty() || what->id.number == 0 ||
               what->interval_ms < 0 || what->tick_ms < 0 || what->due_ms < what->tick_ms))
    return fail(errc::corrupt, "a schedule without a number or method, or with times that cannot be");
  return what;
}

expected<task_record> store::read_task(std::string_view row) const {
  auto record = unseal_value<task_record>(frame_type::task, row);
  if (record && (record->state < task_state::running || record->state > task_state::cancelled))
    return fail(errc::corrupt, "a state that does not exist");
  return record;
}

expected<stored_body> store::find_body(std::uint64_t id, blob_side side) const {
  auto row = get(keys::blob(id, static_cast<char>(side)));
  if (!row) return unexpected<error>(row.error());
  if (!*row) return fail(errc::corrupt, fmt::format("the body of fetch {} is missing", id));
  return read_body_row(**row, id, side);
}

expected<std::string> store::load_response_body(std::uint64_t id) const {
  auto body = find_body(id, blob_side::response);
  if (!body) return unexpected<error>(body.error());
  return body->file ? blobs_->load(*body->file) : expected<std::string>(std::move(body->bytes));
}

} // namespace dormouse
