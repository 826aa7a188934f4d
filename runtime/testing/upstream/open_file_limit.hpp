#pragma once

/// How many files, and so connections, this process may have open.
///
/// The soft limit is often 1024 while the hard one is far higher, and a process
/// may raise the one to the other without any privilege. Ten thousand
/// connections need that, on both ends.

#include <cstdint>

namespace dormouse::samples {

/// Raises the soft limit to the hard one, as far as that is allowed; returns the
/// limit that is in force afterwards.
std::uint64_t raise_open_file_limit() noexcept;

} // namespace dormouse::samples
