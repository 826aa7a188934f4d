#pragma once

/// Operational failure travels as a value: a function that can fail returns `expected<T, E>`.
/// This is `tl::expected` until the project moves to C++23, where it becomes `std::expected`.

#include <tl/expected.hpp>

namespace dormouse {

struct error;

template <class T, class E = error> using expected = tl::expected<T, E>;

template <class E> using unexpected = tl::unexpected<E>;

} // namespace dormouse
