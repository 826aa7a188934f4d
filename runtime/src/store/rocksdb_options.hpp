#pragma once

/// How the store's RocksDB is set up; also what the benchmarks' raw RocksDB is measured with.

#include "store/rocksdb_engine.hpp"

#include <rocksdb/options.h>

namespace dormouse {

rocksdb::Options rocksdb_options(const rocksdb_settings& settings);

} // namespace dormouse
