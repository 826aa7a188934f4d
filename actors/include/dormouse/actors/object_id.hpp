#pragma once

/// The address of an object whose class is known, as a value: it can be an argument and part of a state. What
/// one object needs to call another (durable_object.hpp); from outside, `runtime::get` gives an `object_ref`.

#include <dormouse/serialization/address.hpp>
#include <dormouse/serialization/error.hpp>

#include <compare>
#include <concepts>
#include <string>
#include <utility>

namespace dormouse {

template <class T> class object_id {
public:
  object_id() = default;
  explicit object_id(std::string instance_id) : instance_id_(std::move(instance_id)) {}

  /// Of an `object_ref<T>`.
  template <class Ref>
    requires std::same_as<typename Ref::object_type, T> object_id(const Ref& ref)
        : instance_id_(ref.where().instance_id) {}

    const std::string& instance_id() const noexcept { return instance_id_; }
    address where() const { return {std::string(T::methods::binding), instance_id_}; }

    friend auto operator<=>(const object_id&, const object_id&) = default;

    template <class Archive> void serialize(Archive& ar) { ar(instance_id_); }

  private:
    std::string instance_id_; ///< checked when it is used: 1..1024 bytes of UTF-8
};

} // namespace dormouse
