#pragma once

/// Files that RocksDB takes for obsolete while it opens a database are kept until it is clear that the
/// database is whole: should its list of files be damaged, what is missing in it is not obsolete.

#include <rocksdb/file_system.h>

#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace dormouse {

class deferred_deletions final : public rocksdb::FileSystemWrapper {
public:
  explicit deferred_deletions(std::shared_ptr<rocksdb::FileSystem> files)
      : rocksdb::FileSystemWrapper(std::move(files)) {}

  static const char* kClassName() { return "dormouse.deferred_deletions"; }
  const char* Name() const override { return kClassName(); }

  rocksdb::IOStatus DeleteFile(const std::string& path, const rocksdb::IOOptions& options,
                               rocksdb::IODebugContext* context) override {
    {
      std::lock_guard guard(mutex_);
      if (is_deferring_) {
        paths_.push_back(path);
        return rocksdb::IOStatus::OK();
      }
    }
    return target()->DeleteFile(path, options, context);
  }

  /// From now on files are deleted at once. One that cannot be is found again by the next open.
  void carry_out() {
    std::vector<std::string> paths;
    {
      std::lock_guard guard(mutex_);
      is_deferring_ = false;
      paths = std::move(paths_);
    }
    for (const auto& path : paths)
      target()->DeleteFile(path, {}, nullptr).PermitUncheckedError();
  }

private:
  std::mutex mutex_;
  bool is_deferring_ = true;
  std::vector<std::string> paths_;
};

} // namespace dormouse
