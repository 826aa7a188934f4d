#pragma once

/// Where an answer goes: a stack of return addresses that a message carries. Whoever has the answer hands it
/// to the top, which pops itself. The path is part of the message, on disk and off it, so a hop may sleep or
/// be restarted between asking and being answered, and nobody in between keeps a table of who asked what.

#include <dormouse/serialization/address.hpp>
#include <dormouse/serialization/error.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace dormouse {

inline constexpr std::size_t max_return_path_hops = 64;

namespace detail {

/// A wire name as it is stored: with an incarnation there is a NUL behind it, which no name contains, and the
/// number.
std::string with_incarnation(const std::string& name, std::uint64_t incarnation);

/// The other way round. Throws `failure{corrupt}`.
std::uint64_t take_incarnation(std::string& name);

} // namespace detail

/// A continuation: the registered method to call with the answer, and the serialized arguments to call it
/// with besides.
///
/// An object that was destroyed and made anew has the same address and is another one: what the first asked
/// is no business of the second. So the hop names the life that asked, by a number that no other life has.
struct return_address {
  address object;
  std::string method;
  std::string context;
  std::uint64_t incarnation = 0; ///< 0: whichever there is

  friend bool operator==(const return_address&, const return_address&) = default;

  template <class Archive> void save(Archive& ar) const {
    if (incarnation == 0)
      ar(object, method, context);
    else
      ar(object, detail::with_incarnation(method, incarnation), context);
  }

  template <class Archive> void load(Archive& ar) {
    ar(object, method, context);
    incarnation = detail::take_incarnation(method);
  }
};

class return_path {
public:
  /// Error: `path_too_long` at 64 hops.
  [[nodiscard]] expected<void> push(return_address next);

  /// Takes the top off; nothing if the path is empty.
  std::optional<return_address> pop();

  const return_address* top() const noexcept { return hops_.empty() ? nullptr : &hops_.back(); }
  return_address* top() noexcept { return hops_.empty() ? nullptr : &hops_.back(); }
  std::size_t size() const noexcept { return hops_.size(); }
  bool empty() const noexcept { return hops_.empty(); }

  friend bool operator==(const return_path&, const return_path&) = default;

  template <class Archive> void save(Archive& ar) const { ar(hops_); }

  /// Bytes from disk are held to the limit too; throws `failure{path_too_long}`.
  template <class Archive> void load(Archive& ar) {
    ar(hops_);
    check_length();
  }

private:
  void check_length() const;

  std::vector<return_address> hops_; ///< back() is the top
};

} // namespace dormouse
