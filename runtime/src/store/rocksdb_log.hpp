#pragma once

/// RocksDB's own log. As RocksDB writes it, it is a file beside the data, and RocksDB ends the process when
/// that file cannot be written: on a full disk its log was what killed the program. This one has no file.
/// Warnings and worse go to the program's log, a few in a while, because a store in trouble says the same
/// thing thousands of times.

#include <rocksdb/env.h>
#include <spdlog/fwd.h>

#include <memory>

namespace dormouse {

/// `log` null: nobody is told.
std::shared_ptr<rocksdb::Logger> make_rocksdb_log(std::shared_ptr<spdlog::logger> log);

} // namespace dormouse
