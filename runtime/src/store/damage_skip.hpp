#pragma once

/// The way past a damaged part of a table. An iterator that meets a block which fails its checksum stops, and
/// says neither where the block ends nor which keys it holds. But it can be sought to any key, and a seek
/// that ends behind the block works. So: seek to keys further and further away until one works, halve the
/// distance until the end of the damage is found, and walk back over the good rows up to it. What is lost is
/// the block and nothing else.

#include "ports/storage_engine.hpp"

#include <rocksdb/iterator.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace dormouse {

/// Of an iterator or a read: rows that are lost, as against a disk that has no descriptor or no memory to
/// give now. A table that is gone is lost as a whole.
inline bool is_damage(const rocksdb::Status& status) {
  return status.IsCorruption() || status.IsPathNotFound();
}

struct damage_passed {
  key_range lost;
  bool is_at_end = false; ///< nothing behind the damage can be read: the iterator stands nowhere
};

/// Another iterator with the same bounds. Each place is tried with one of its own: one that has met a damaged
/// block may say so again of the next one that it is sought to (RocksDB 7.8 takes that for the block it was
/// at).
using iterator_maker = std::function<std::unique_ptr<rocksdb::Iterator>()>;

/// Makes `rows` one that stands on the first row behind the damage, and sees the database as it is now.
/// `from` is the first key that may be damaged, `end` is where the walk ends, and the upper bound of the
/// iterators. The keys before `from` are good. Error: an iterator fails otherwise than by damage.
expected<damage_passed> pass_damage(const iterator_maker& another, std::unique_ptr<rocksdb::Iterator>& rows,
                                    std::string from, std::string_view end);

} // namespace dormouse
