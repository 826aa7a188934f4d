#pragma once

/// A view of ours as one of RocksDB's.

#include <rocksdb/slice.h>

#include <string_view>

namespace dormouse {

inline rocksdb::Slice slice(std::string_view text) { return {text.data(), text.size()}; }

} // namespace dormouse
