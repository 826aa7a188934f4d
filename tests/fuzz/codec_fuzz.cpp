// Input: a letter, then bytes. A small letter: the payload of a frame of that type, or a key. 'F': a whole
// frame, of any type.
#include "fuzz_target.hpp"
#include "store/blob_file.hpp"
#include "store/dead_letter.hpp"
#include "store/keys.hpp"
#include "store/store_info.hpp"

#include <dormouse/serialization/codec.hpp>
#include <dormouse/serialization/cookie_jar.hpp>
#include <dormouse/serialization/messages.hpp>
#include <dormouse/serialization/schedule.hpp>
#include <dormouse/serialization/task_journal.hpp>

#include <concepts>
#include <string>
#include <string_view>

using namespace dormouse;
using fuzz::require;

namespace {

constexpr std::int64_t now_ms = 1'700'000'000'000;

// What whoever reads a value relies on, and what is done with it first.

void check_value(const auto&) {}

void check_value(const return_path& path) {
  require(path.size() <= max_return_path_hops, "a return path is bounded");
  auto left = path;
  for (auto hops = path.size(); hops > 0; --hops) {
    require(left.top() != nullptr, "a path has its hops");
    (void)to_string(left.pop()->object);
  }
  require(left.empty() && !left.pop(), "and no more");
}

void check_value(const abort_signal& signal) {
  const auto& sources = signal.sources();
  require(sources.size() <= max_signal_sources, "the sources of a signal are bounded");
  require(std::is_sorted(sources.begin(), sources.end()) &&
              std::adjacent_find(sources.begin(), sources.end()) == sources.end(),
          "they are sorted, each once");
  require(abort_signal::any({signal}) == signal, "a signal is any of itself");
}

void check_value(const fetch_message& fetch) {
  check_value(fetch.path);
  check_value(fetch.extra.signal);
  (void)fetch.end_ms();
  (void)fetch.is_repeatable();
}

void check_value(const result_message& message) {
  check_value(message.path);
  if (!message.result)
    return (void)(to_string(message.result.error().code).size() +
                  to_string(message.result.error().sent).size());
  const auto& response = *message.result;
  require(response.blob().size() == response.text().size(), "a body is all there");
  try {
    (void)response.form_data();
  } catch (const failure&) { // most bodies are no form
  }
}

void check_value(const cookie_jar& jar) {
  static const auto to = value_or_throw(parse_url("https://www.example.com/a/b"));
  require(jar.size() <= max_cookies, "a jar is bounded");
  for (const auto& each : jar.cookies(now_ms))
    require(validate(each).has_value(), "a stored cookie is valid", each.name);
  const auto header = jar.header_for(to, now_ms);
  require(headers().try_append("Cookie", header).has_value(), "the header can go on the wire", header);
}

/// Bytes that are believed have one meaning: what is written of it is read as it was, and is then the same
/// for ever.
template <class T> void check_payload(frame_type type, std::string_view payload) {
  const auto value = decode<T>(payload);
  if (!value) {
    require(value.error().code == errc::corrupt && !value.error().message.empty(), "a refusal is corrupt",
            value.error().message);
    return;
  }
  check_value(*value);
  const auto bytes = encode(*value);
  const auto again = unseal_value<T>(type, seal(type, bytes));
  require(again.has_value(), "a value that is stored is read again", again ? "" : again.error().message);
  require(encode(*again) == bytes, "a value that is stored again has the same bytes", bytes);
  if constexpr (std::equality_comparable<T>) require(*again == *value, "a value survives storing", bytes);
}

void check_frame(std::string_view frame) {
  for (auto number = 0; number < 32; ++number) {
    const auto type = static_cast<frame_type>(number);
    const auto payload = unseal(type, frame);
    if (payload)
      require(seal(type, *payload) == frame, "a frame that is believed is the one that is written", frame);
    else
      require(payload.error().code == errc::corrupt || payload.error().code == errc::newer_format,
              "a refusal has one of two codes", payload.error().message);
  }
}

void check_key(std::string_view key) {
  if (const auto parts = keys::parse_queue(key))
    require(keys::queue(parts->queue, parts->priority, parts->due_ms, parts->id) == key,
            "a queue key is what its parts make", key);
  if (const auto parts = keys::parse_inbox(key))
    require(keys::inbox(parts->where, parts->id) == key, "an inbox key is what its parts make", key);
  if (const auto parts = keys::parse_deadline(key))
    require(keys::deadline(parts->deadline_ms, parts->id) == key, "a deadline key is what its parts make",
            key);
  if (const auto id = keys::parse_attempt(key))
    require(keys::attempt(*id) == key, "an attempt key is what its parts make", key);
  if (const auto id = keys::parse_dead_letter(key))
    require(keys::dead_letter(*id) == key, "a dead letter's key is what its parts make", key);
  if (const auto name = keys::queue_name(key))
    require(is_valid_binding(*name) && keys::behind_queue(*name) > key,
            "a key of a named queue is before what is behind it", key);
  if (const auto parts = keys::parse_schedule(key))
    require(keys::schedule(parts->where, parts->id) == key, "a schedule's key is what its parts make", key);
  if (const auto parts = keys::parse_due(key))
    require(keys::due(parts->due_ms, parts->number) == key, "the key of a due time is what its parts make",
            key);
  (void)keys::parse_signal(key);
}

} // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto bytes = fuzz::as_text(data, size).substr(1);
  switch (data[0]) {
  case 'a':
    check_payload<abort_mark>(frame_type::abort_mark, bytes);
    break;
  case 'b':
    check_payload<blob_ref>(frame_type::blob_file, bytes);
    break;
  case 'c':
    check_payload<cookie_jar>(frame_type::cookie_jar, bytes);
    break;
  case 'd':
    check_payload<dead_letter>(frame_type::dead_letter, bytes);
    break;
  case 'f':
    check_payload<fetch_message>(frame_type::fetch, bytes);
    break;
  case 'i':
    check_payload<store_info>(frame_type::store_info, bytes);
    break;
  case 'k':
    check_key(bytes);
    break;
  case 'p':
    check_payload<post_message>(frame_type::post, bytes);
    break;
  case 'r':
    check_payload<result_message>(frame_type::result, bytes);
    break;
  case 's':
    check_payload<schedule_message>(frame_type::schedule, bytes);
    break;
  case 't':
    check_payload<task_record>(frame_type::task, bytes);
    break;
  case 'j':
    check_payload<journal_step>(frame_type::task_step, bytes);
    break;
  case 'F':
    check_frame(bytes);
    break;
  default:
    break;
  }
  return 0;
}
