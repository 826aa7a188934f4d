#pragma once

/// From values to bytes and back, with everything checked on the way in (R21).
///
/// `encode`/`decode` are the bare bytes of one value: they travel inside a process, or inside a frame.
/// A frame is what goes to disk: {magic, format version, type, length, CRC-32C} and the payload. The byte
/// grammar is in docs/on-disk-format.md and golden files pin it; change it only together with
/// `frame_version`.

#include <dormouse/serialization/archive.hpp>
#include <dormouse/serialization/error.hpp>

#include <cereal/types/array.hpp>
#include <cereal/types/chrono.hpp>
#include <cereal/types/deque.hpp>
#include <cereal/types/map.hpp>
#include <cereal/types/optional.hpp>
#include <cereal/types/set.hpp>
#include <cereal/types/string.hpp>
#include <cereal/types/tuple.hpp>
#include <cereal/types/unordered_map.hpp>
#include <cereal/types/unordered_set.hpp>
#include <cereal/types/utility.hpp>
#include <cereal/types/variant.hpp>
#include <cereal/types/vector.hpp>
#include <nlohmann/json_fwd.hpp>

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>

namespace cereal {

/// A JSON value goes as its text (RFC 8259): NaN and infinity become null, and a text that is not UTF-8
/// throws. Include <nlohmann/json.hpp> to use it.
template <std::same_as<nlohmann::json> Json>
void CEREAL_SAVE_FUNCTION_NAME(dormouse::output_archive& ar, const Json& value) {
  ar(value.dump());
}

template <std::same_as<nlohmann::json> Json>
void CEREAL_LOAD_FUNCTION_NAME(dormouse::input_archive& ar, Json& value) {
  std::string text;
  ar(text);
  value = Json::parse(text, nullptr, false);
  if (value.is_discarded()) throw Exception("a JSON value does not parse");
}

} // namespace cereal

namespace dormouse {

inline constexpr std::string_view frame_magic = "DMSE";
inline constexpr std::uint8_t frame_version = 1;
inline constexpr std::size_t frame_header_bytes = 14;

/// What a frame holds. Stable: written to disk. Append only.
enum class frame_type : std::uint8_t {
  store_info = 1,  ///< format version and identity of a store
  object = 2,      ///< an object's state
  fetch = 3,       ///< a queued fetch
  result = 4,      ///< a stored response or fetch error on its way to its object
  post = 5,        ///< a durable one-way call on its way to its object
  blob = 6,        ///< a body too large to be inline, in the row itself: read, no longer written
  dead_letter = 7, ///< a message that could not be handled, and why
  attempt = 8,   ///< reserved and never written: the mark that a request which must not be repeated is going
                 ///< out is a key with a bare value
  blob_file = 9, ///< a body too large to be inline is in a file, with this size and checksum
  cookie_jar = 10,      ///< the cookies of one jar of an object
  abort_mark = 11,      ///< an abort controller that aborted
  call = 12,            ///< a call of one object to another on its way to it
  reply = 13,           ///< an answer to such a call on its way back
  storage_value = 14,   ///< a row of an object's storage
  object_record = 21,   ///< an object's state, and what is known of the object besides
  schedule = 15,        ///< a call of an object's own method at a time to come
  task = 17,            ///< the record of a durable task
  task_step = 18,       ///< a step of its journal
  remembered_call = 20, ///< what a call with an idempotency key came to
  death_record = 22,    ///< how often something has killed the process, or has failed
  lost_range = 24,      ///< keys of which a repair could save nothing
};

/// Appends the bytes of `values`, one after the other.
template <class... Ts> void encode_to(std::string& out, const Ts&... values) {
  output_archive ar(out);
  (ar(values), ...);
}

template <class... Ts> std::string encode(const Ts&... values) {
  std::string out;
  encode_to(out, values...);
  return out;
}

/// Reads one value that takes all of `bytes`. Errors: `corrupt`, saying what was wrong; `newer_format` for a
/// value of a class version that is not known here; `handler_failed` if a type's `serialize` threw something
/// that is not a `std::exception`.
template <class T> expected<T> decode(std::string_view bytes) {
  try {
    T value{};
    input_archive ar(bytes);
    ar(value);
    ar.finish();
    return value;
  } catch (const failure& e) { // a type's serialize refusing its values
    const auto code = e.code() == errc::newer_format ? errc::newer_format : errc::corrupt;
    return fail(code, e.code() == code ? e.what_failed().message : e.what());
  } catch (const std::exception& e) { // cereal's own, or bad_alloc
    return fail(errc::corrupt, e.what());
  } catch (...) { // a type's serialize
    auto why = describe_caught();
    why.message.insert(0, "decoding threw ");
    return unexpected<error>(std::move(why));
  }
}

/// Wraps a payload, which may come in two parts. Limit: 4 GiB - 1 (an assertion; every caller bounds its
/// payload far below).
std::string seal(frame_type type, std::string_view payload, std::string_view rest = {});

/// Checks magic, version, type, length and checksum; the view is into `frame`.
/// Errors: `corrupt` naming the first check that failed, `newer_format` for a frame of a later version.
expected<std::string_view> unseal(frame_type type, std::string_view frame);

template <class T> std::string seal_value(frame_type type, const T& value) {
  return seal(type, encode(value));
}

template <class T> expected<T> unseal_value(frame_type type, std::string_view frame) {
  return unseal(type, frame).and_then([](std::string_view payload) { return decode<T>(payload); });
}

} // namespace dormouse
