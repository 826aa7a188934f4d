#include "store/sound_rows.hpp"

#include "store/damage_skip.hpp"
#include "store/rocksdb_slice.hpp"

#include <rocksdb/metadata.h>

#include <algorithm>
#include <utility>

namespace dormouse {

/// The keys of the range that one of them has.
class sound_rows::source {
public:
  explicit source(const key_range& within)
      : within_(within), lower_(slice(within.from)), upper_(slice(within.to)) {}

  rocksdb::ReadOptions options() const {
    rocksdb::ReadOptions read;
    read.iterate_lower_bound = &lower_;
    read.iterate_upper_bound = &upper_;
    read.fill_cache = false;
    return read;
  }

  void begin(iterator_maker another) {
    another_ = std::move(another);
    rows_ = another_();
    rows_->SeekToFirst();
    pass();
  }

  bool valid() const { return rows_->Valid(); }
  rocksdb::Slice key() const { return rows_->key(); }
  void next() {
    rows_->Next();
    pass();
  }

private:
  /// Over blocks of its own that cannot be read.
  void pass() {
    if (rows_->Valid()) last_ = rows_->key().ToString() + '\0';
    while (!rows_->Valid() && is_damage(rows_->status())) {
      auto passed = pass_damage(another_, rows_, last_.empty() ? within_.from : last_, within_.to);
      if (!passed || passed->is_at_end) break;
    }
  }

  const key_range& within_;
  const rocksdb::Slice lower_;
  const rocksdb::Slice upper_;
  iterator_maker another_;
  std::unique_ptr<rocksdb::Iterator> rows_;
  std::string last_; ///< behind the last row that could be read
};

std::shared_ptr<rocksdb::SstFileReader> opened_tables::open(const rocksdb::DB& of, const std::string& path) {
  std::lock_guard guard(mutex_);
  if (auto known = readers_.find(path); known != readers_.end()) return known->second;
  auto reader = std::make_shared<rocksdb::SstFileReader>(of.GetOptions());
  if (!reader->Open(path).ok()) return nullptr;
  if (readers_.size() >= most) readers_.clear(); // of tables that are gone, among others
  return readers_.emplace(path, std::move(reader)).first->second;
}

void opened_tables::close() {
  std::lock_guard guard(mutex_);
  readers_.clear();
}

sound_rows::sound_rows(rocksdb::DB& of, opened_tables& tables, key_range within)
    : db_(of), within_(std::move(within)) {
  auto memory = std::make_unique<source>(within_);
  auto read = memory->options();
  read.read_tier = rocksdb::kMemtableTier;
  memory->begin([&db = db_, read] { return std::unique_ptr<rocksdb::Iterator>(db.NewIterator(read)); });
  sources_.push_back(std::move(memory));
  std::vector<rocksdb::LiveFileMetaData> live;
  db_.GetLiveFilesMetaData(&live);
  for (const auto& each : live) {
    if (each.largestkey < within_.from || each.smallestkey >= within_.to) continue;
    auto reader = tables.open(db_, each.db_path + each.name);
    if (!reader) continue; // all of it is lost
    auto table = std::make_unique<source>(within_);
    table->begin([reader, read = table->options()] {
      return std::unique_ptr<rocksdb::Iterator>(reader->NewIterator(read));
    });
    sources_.push_back(std::move(table));
  }
  find();
}

sound_rows::~sound_rows() = default;

void sound_rows::next() { find(); }

/// The next key that any of them has, and whose newest version can be read.
void sound_rows::find() {
  for (valid_ = false; !valid_;) {
    const source* first = nullptr;
    for (const auto& each : sources_)
      if (each->valid() && (first == nullptr || each->key().compare(first->key()) < 0)) first = each.get();
    if (first == nullptr) return;
    key_ = first->key().ToString();
    for (const auto& each : sources_)
      if (each->valid() && each->key() == slice(key_)) each->next();
    valid_ = db_.Get(rocksdb::ReadOptions(), key_, &value_).ok();
  }
}

} // namespace dormouse
