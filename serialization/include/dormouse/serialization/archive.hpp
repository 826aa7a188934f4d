#pragma once

/// The cereal archives that everything stored or sent goes through.
///
/// The bytes are cereal's portable binary without its leading endianness flag: little-endian arithmetic,
/// 64-bit element counts, no padding, no type names. What is ours is the bounds: an `input_archive` reads
/// from a fixed span, every element count is checked against the bytes that are left before anything is
/// allocated, and `finish()` rejects trailing bytes. Any violation throws `cereal::Exception`; `decode()`
/// (codec.hpp) turns that into an `error`.
///
/// A type is storable if cereal can serialize it: give it `template <class Archive> void serialize(Archive&
/// ar)`.
///
/// A type that has changed since it was first stored has a version: `serialize(Archive& ar, std::uint32_t
/// version)` and, at global scope, `CEREAL_CLASS_VERSION(type, 2)`. The version goes in front of the first
/// value of the type in an archive. One that is newer than the type's own throws `failure{newer_format}`.
/// (The state of a durable object has its version beside it: docs/objects.md.)

#include <dormouse/serialization/error.hpp>

#include <cereal/cereal.hpp>

#include <bit>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <typeindex>
#include <typeinfo>

static_assert(std::endian::native == std::endian::little,
              "stored bytes are little-endian; add byte swaps for this platform");

namespace dormouse {

/// Appends to a string that outlives the archive.
class output_archive : public cereal::OutputArchive<output_archive, cereal::AllowEmptyClassElision> {
public:
  explicit output_archive(std::string& out) : OutputArchive(this), out_(out) {}

  void write(const void* data, std::size_t bytes) { out_.append(static_cast<const char*>(data), bytes); }

private:
  std::string& out_;
};

/// Reads from bytes that outlive the archive.
class input_archive : public cereal::InputArchive<input_archive, cereal::AllowEmptyClassElision> {
public:
  explicit input_archive(std::string_view in) : InputArchive(this), in_(in) {}

  void read(void* data, std::size_t bytes) {
    if (bytes > in_.size())
      throw cereal::Exception("truncated: " + std::to_string(bytes) + " bytes wanted, " +
                              std::to_string(in_.size()) + " left");
    if (bytes == 0) return; // an empty vector has no data to point to, and memcpy takes no null
    std::memcpy(data, in_.data(), bytes);
    in_.remove_prefix(bytes);
  }

  /// Refuses a count that the remaining bytes cannot hold: every stored element takes at least one byte.
  void check_count(std::uint64_t count) const {
    if (count > in_.size())
      throw cereal::Exception("count " + std::to_string(count) + " with only " + std::to_string(in_.size()) +
                              " bytes left");
  }

  /// The version of the type that is read next is up to this.
  void expect_version(std::uint32_t known) noexcept { known_version_ = known; }

  void check_version(std::uint32_t stored) const {
    if (stored > known_version_)
      throw failure({errc::newer_format, "a stored value has class version " + std::to_string(stored) +
                                             "; this program's class knows up to " +
                                             std::to_string(known_version_) +
                                             ". (If the class had no version when the value was stored, "
                                             "these are the first bytes of the value: a class must have "
                                             "its version from the start)"});
  }

  std::size_t remaining_bytes() const noexcept { return in_.size(); }

  void finish() const {
    if (!in_.empty()) throw cereal::Exception(std::to_string(in_.size()) + " trailing bytes");
  }

private:
  std::string_view in_;
  std::uint32_t known_version_ = 0;
};

namespace detail {

/// Whether the type is read by a function that takes a version.
template <class T>
inline constexpr bool is_versioned =
    cereal::traits::has_member_versioned_serialize<T, input_archive>::value ||
    cereal::traits::has_non_member_versioned_serialize<T, input_archive>::value ||
    cereal::traits::has_member_versioned_load<T, input_archive>::value ||
    cereal::traits::has_non_member_versioned_load<T, input_archive>::value;

/// cereal keeps the versions of all types in one map without a lock, and puts those that are not in it when
/// it meets them. Done before `main` there is nothing left to put, and threads only look. Types with
/// CEREAL_CLASS_VERSION are put by that.
template <class T> struct version_registration {
  static bool put() {
    if constexpr (!requires { cereal::detail::Version<T>::registerVersion(); })
      cereal::detail::StaticObject<cereal::detail::Versions>::getInstance().mapping.emplace(
          std::type_index(typeid(T)).hash_code(), 0);
    return true;
  }
  static inline const bool done = put();
};

} // namespace detail

/// cereal calls this before it reads a value, and then reads the version as a pair of that name (below).
template <class T>
  requires detail::is_versioned<T>
void prologue(input_archive& ar, const T&) {
  static_cast<void>(&detail::version_registration<T>::done);
  ar.expect_version(cereal::detail::Version<T>::version);
}

template <class T>
  requires detail::is_versioned<T>
void prologue(output_archive&, const T&) { static_cast<void>(&detail::version_registration<T>::done); }

template <class T>
concept storable_number =
    std::is_arithmetic_v<T> && !std::same_as<T, long double>; // long double has no portable form

/// What can be a method's argument or result, a continuation's context, or part of a state.
template <class T>
concept storable = cereal::traits::is_output_serializable<T, output_archive>::value &&
    cereal::traits::is_input_serializable<T, input_archive>::value;

} // namespace dormouse

// cereal finds an archive's primitives by these names in its own namespace.
namespace cereal {

template <dormouse::storable_number T>
void CEREAL_SAVE_FUNCTION_NAME(dormouse::output_archive& ar, const T& value) {
  ar.write(&value, sizeof value);
}

template <dormouse::storable_number T> void CEREAL_LOAD_FUNCTION_NAME(dormouse::input_archive& ar, T& value) {
  if constexpr (std::is_same_v<T, bool>) {
    std::uint8_t byte = 0;
    ar.read(&byte, 1);
    if (byte > 1) throw Exception("a bool is neither 0 nor 1");
    value = byte == 1;
  } else {
    ar.read(&value, sizeof value);
  }
}

template <class T> void CEREAL_SERIALIZE_FUNCTION_NAME(dormouse::output_archive& ar, NameValuePair<T>& pair) {
  ar(pair.value);
}

template <class T> void CEREAL_SERIALIZE_FUNCTION_NAME(dormouse::input_archive& ar, NameValuePair<T>& pair) {
  ar(pair.value);
  if constexpr (std::is_same_v<std::remove_cvref_t<T>, std::uint32_t>)
    if (std::string_view(pair.name) == "cereal_class_version") ar.check_version(pair.value);
}

template <class T> void CEREAL_SERIALIZE_FUNCTION_NAME(dormouse::output_archive& ar, SizeTag<T>& tag) {
  ar(static_cast<std::uint64_t>(tag.size));
}

template <class T> void CEREAL_SERIALIZE_FUNCTION_NAME(dormouse::input_archive& ar, SizeTag<T>& tag) {
  std::uint64_t count = 0;
  ar(count);
  ar.check_count(count);
  tag.size = static_cast<std::remove_reference_t<T>>(count);
}

template <class T> void CEREAL_SAVE_FUNCTION_NAME(dormouse::output_archive& ar, const BinaryData<T>& data) {
  ar.write(data.data, static_cast<std::size_t>(data.size));
}

template <class T> void CEREAL_LOAD_FUNCTION_NAME(dormouse::input_archive& ar, BinaryData<T>& data) {
  // An array of bool comes as one block; a bool that holds anything else than 0 or 1 is undefined behaviour.
  using element = std::remove_all_extents_t<std::remove_pointer_t<std::remove_reference_t<T>>>;
  if constexpr (std::is_same_v<element, bool>) {
    for (std::uint64_t i = 0; i < data.size; ++i)
      ar(static_cast<bool*>(data.data)[i]);
  } else {
    ar.read(data.data, static_cast<std::size_t>(data.size));
  }
}

} // namespace cereal

CEREAL_REGISTER_ARCHIVE(dormouse::output_archive)
CEREAL_REGISTER_ARCHIVE(dormouse::input_archive)
CEREAL_SETUP_ARCHIVE_TRAITS(dormouse::input_archive, dormouse::output_archive)
