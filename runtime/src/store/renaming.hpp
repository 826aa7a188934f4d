#pragma once

/// Objects whose binding has another name now: their rows move to it, each with its whole key but for the
/// binding.
///
/// A batch of rows at a time is put under the new name and erased under the old one in one commit, so
/// wherever it is interrupted each row is under exactly one of the two, and the next time goes on. The
/// objects' own rows go last: while one is under its old name, all is to be done for it again, and whether an
/// object is there under both names can be told.

#include "store/store.hpp"

#include <string_view>

namespace dormouse {

/// Errors: `invalid_binding` naming an object that is there under both names, `storage_error`.
expected<void> check_renaming(store& in, std::string_view old, std::string_view present);

/// Blocks until all is durable. Nothing writes under the old name meanwhile, and nobody reads under the new
/// one. Error: `storage_error`.
expected<void> move_objects(store& in, std::string_view old, std::string_view present);

} // namespace dormouse
