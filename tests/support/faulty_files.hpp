#pragma once

/// Files of RocksDB on a disk that fails when the test says so.
///
///   auto files = std::make_shared<test::faulty_files>();
///   auto engine = open_rocksdb({..., .files = files});
///   runtime running(options, {.wrap_engine = test::faulty_files::under(files, directory)});
///   files->fail({.what = fault::append, .how = failure_kind::no_space, .after = 3});  // the 4th append, and
///   all
///   ...                                                                             // that follow
///   files->heal();
///
/// A file of our own log is never failed on its close, as RocksDB does not ask for it either.

#include "store/rocksdb_engine.hpp"

#include <rocksdb/env.h>
#include <rocksdb/file_system.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

namespace dormouse::test {

/// Which operation fails.
enum class fault : std::uint8_t { any, append, sync, create, rename, folder_sync };

/// How. A short write leaves half of the bytes in the file.
enum class failure_kind : std::uint8_t { no_space, io_error, short_write, no_descriptors };

struct fault_plan {
  fault what = fault::any;
  failure_kind how = failure_kind::io_error;
  std::uint64_t after = 0;                                         ///< operations that are still good
  std::uint64_t times = std::numeric_limits<std::uint64_t>::max(); ///< and then so many fail
};

class faulty_files final : public rocksdb::FileSystemWrapper {
public:
  faulty_files() : rocksdb::FileSystemWrapper(rocksdb::FileSystem::Default()) {}

  static const char* kClassName() { return "dormouse.faulty_files"; }
  const char* Name() const override { return kClassName(); }

  void fail(const fault_plan& plan) {
    std::lock_guard guard(mutex_);
    plan_ = plan;
  }
  void heal() {
    std::lock_guard guard(mutex_);
    plan_.reset();
  }
  /// From now on no byte of this file that is at `at` can be read, under whatever name the file is opened.
  void spoil(std::filesystem::path where, std::uint64_t at) {
    std::lock_guard guard(mutex_);
    bad_ = {std::move(where), at};
  }
  void mend() {
    std::lock_guard guard(mutex_);
    bad_.reset();
  }
  /// What the disk says is free; nothing: the truth.
  void say_free(std::optional<std::uint64_t> bytes) {
    std::lock_guard guard(mutex_);
    free_ = bytes;
  }
  /// Puts them under the store of a runtime.
  static auto under(std::shared_ptr<faulty_files> files, std::filesystem::path directory,
                    std::chrono::milliseconds patience = bad_sector_patience) {
    return [files = std::move(files), directory = std::move(directory),
            patience](std::unique_ptr<storage_engine> plain) {
      plain.reset();
      rocksdb_settings settings{directory, std::size_t{1} << 20U, std::size_t{1} << 20U, 128 * 1024};
      settings.files = files;
      settings.bad_sector_patience = patience;
      return value_or_throw(open_rocksdb(settings));
    };
  }
  std::uint64_t failed() const { return failed_; }
  std::uint64_t appends() const { return appends_; }

  rocksdb::IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSWritableFile>* out,
                                    rocksdb::IODebugContext* context) override {
    if (auto how = meet(fault::create)) return status(*how, "While open a file for appending", path);
    return wrap(path, target()->NewWritableFile(path, options, out, context), out);
  }
  rocksdb::IOStatus ReopenWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                                       std::unique_ptr<rocksdb::FSWritableFile>* out,
                                       rocksdb::IODebugContext* context) override {
    if (auto how = meet(fault::create)) return status(*how, "While open a file for appending", path);
    return wrap(path, target()->ReopenWritableFile(path, options, out, context), out);
  }
  rocksdb::IOStatus ReuseWritableFile(const std::string& path, const std::string& old,
                                      const rocksdb::FileOptions& options,
                                      std::unique_ptr<rocksdb::FSWritableFile>* out,
                                      rocksdb::IODebugContext* context) override {
    if (auto how = meet(fault::create)) return status(*how, "While reopening a file for writing", path);
    return wrap(path, target()->ReuseWritableFile(path, old, options, out, context), out);
  }
  rocksdb::IOStatus NewRandomAccessFile(const std::string& path, const rocksdb::FileOptions& options,
                                        std::unique_ptr<rocksdb::FSRandomAccessFile>* out,
                                        rocksdb::IODebugContext* context) override {
    auto opened = target()->NewRandomAccessFile(path, options, out, context);
    if (opened.ok()) *out = std::make_unique<read_file>(*this, path, std::move(*out));
    return opened;
  }
  rocksdb::IOStatus RenameFile(const std::string& from, const std::string& to,
                               const rocksdb::IOOptions& options, rocksdb::IODebugContext* context) override {
    if (auto how = meet(fault::rename)) return status(*how, "While renaming a file", from);
    return target()->RenameFile(from, to, options, context);
  }
  rocksdb::IOStatus NewDirectory(const std::string& path, const rocksdb::IOOptions& options,
                                 std::unique_ptr<rocksdb::FSDirectory>* out,
                                 rocksdb::IODebugContext* context) override {
    auto made = target()->NewDirectory(path, options, out, context);
    if (made.ok()) *out = std::make_unique<folder>(*this, path, std::move(*out));
    return made;
  }
  rocksdb::IOStatus GetFreeSpace(const std::string& path, const rocksdb::IOOptions& options,
                                 std::uint64_t* bytes, rocksdb::IODebugContext* context) override {
    {
      std::lock_guard guard(mutex_);
      if (free_) {
        *bytes = *free_;
        return rocksdb::IOStatus::OK();
      }
    }
    return target()->GetFreeSpace(path, options, bytes, context);
  }

private:
  class file final : public rocksdb::FSWritableFileOwnerWrapper {
  public:
    file(faulty_files& disk, std::string path, std::unique_ptr<rocksdb::FSWritableFile> real)
        : rocksdb::FSWritableFileOwnerWrapper(std::move(real)), disk_(disk), path_(std::move(path)) {}

    rocksdb::IOStatus Append(const rocksdb::Slice& bytes, const rocksdb::IOOptions& options,
                             rocksdb::IODebugContext* context) override {
      ++disk_.appends_;
      if (auto how = disk_.meet(fault::append)) {
        if (*how == failure_kind::short_write)
          target()
              ->Append(rocksdb::Slice(bytes.data(), bytes.size() / 2), options, context)
              .PermitUncheckedError();
        return status(*how, "While appending to file", path_);
      }
      return target()->Append(bytes, options, context);
    }
    rocksdb::IOStatus Append(const rocksdb::Slice& bytes, const rocksdb::IOOptions& options,
                             const rocksdb::DataVerificationInfo&,
                             rocksdb::IODebugContext* context) override {
      return Append(bytes, options, context);
    }
    rocksdb::IOStatus Sync(const rocksdb::IOOptions& options, rocksdb::IODebugContext* context) override {
      if (auto how = disk_.meet(fault::sync)) return status(*how, "While fdatasync", path_);
      return target()->Sync(options, context);
    }
    rocksdb::IOStatus Fsync(const rocksdb::IOOptions& options, rocksdb::IODebugContext* context) override {
      if (auto how = disk_.meet(fault::sync)) return status(*how, "While fsync", path_);
      return target()->Fsync(options, context);
    }

  private:
    faulty_files& disk_;
    const std::string path_;
  };

  class read_file final : public rocksdb::FSRandomAccessFileOwnerWrapper {
  public:
    read_file(faulty_files& disk, std::string path, std::unique_ptr<rocksdb::FSRandomAccessFile> real)
        : rocksdb::FSRandomAccessFileOwnerWrapper(std::move(real)), disk_(disk), path_(std::move(path)) {}

    rocksdb::IOStatus Read(std::uint64_t offset, std::size_t size, const rocksdb::IOOptions& options,
                           rocksdb::Slice* out, char* scratch,
                           rocksdb::IODebugContext* context) const override {
      if (disk_.is_spoilt(path_, offset, size))
        return status(failure_kind::io_error, "While pread offset " + std::to_string(offset), path_);
      return target()->Read(offset, size, options, out, scratch, context);
    }
    rocksdb::IOStatus MultiRead(rocksdb::FSReadRequest* requests, std::size_t count,
                                const rocksdb::IOOptions& options,
                                rocksdb::IODebugContext* context) override {
      for (std::size_t i = 0; i < count; ++i)
        requests[i].status = Read(requests[i].offset, requests[i].len, options, &requests[i].result,
                                  requests[i].scratch, context);
      return rocksdb::IOStatus::OK();
    }

  private:
    faulty_files& disk_;
    const std::string path_;
  };

  class folder final : public rocksdb::FSDirectory {
  public:
    folder(faulty_files& disk, std::string path, std::unique_ptr<rocksdb::FSDirectory> real)
        : disk_(disk), path_(std::move(path)), real_(std::move(real)) {}
    rocksdb::IOStatus Fsync(const rocksdb::IOOptions& options, rocksdb::IODebugContext* context) override {
      if (auto how = disk_.meet(fault::folder_sync)) return status(*how, "While fsync", path_);
      return real_->Fsync(options, context);
    }
    rocksdb::IOStatus FsyncWithDirOptions(const rocksdb::IOOptions& options, rocksdb::IODebugContext* context,
                                          const rocksdb::DirFsyncOptions& how_to) override {
      if (auto how = disk_.meet(fault::folder_sync)) return status(*how, "While fsync", path_);
      return real_->FsyncWithDirOptions(options, context, how_to);
    }
    rocksdb::IOStatus Close(const rocksdb::IOOptions& options, rocksdb::IODebugContext* context) override {
      return real_->Close(options, context);
    }
    std::size_t GetUniqueId(char* id, std::size_t most) const override {
      return real_->GetUniqueId(id, most);
    }

  private:
    faulty_files& disk_;
    const std::string path_;
    std::unique_ptr<rocksdb::FSDirectory> real_;
  };

  rocksdb::IOStatus wrap(const std::string& path, rocksdb::IOStatus made,
                         std::unique_ptr<rocksdb::FSWritableFile>* out) {
    if (made.ok()) *out = std::make_unique<file>(*this, path, std::move(*out));
    return made;
  }

  /// How this operation fails, if it does.
  std::optional<failure_kind> meet(fault what) {
    std::lock_guard guard(mutex_);
    if (!plan_ || (plan_->what != fault::any && plan_->what != what)) return std::nullopt;
    if (plan_->after > 0) return --plan_->after, std::nullopt;
    if (plan_->times == 0) return std::nullopt;
    --plan_->times;
    ++failed_;
    return plan_->how;
  }

  bool is_spoilt(const std::string& path, std::uint64_t from, std::size_t size) {
    std::lock_guard guard(mutex_);
    std::error_code unseen;
    const bool bad = bad_ && from <= bad_->at && bad_->at < from + size &&
                     std::filesystem::equivalent(path, bad_->path, unseen);
    if (bad) ++failed_;
    return bad;
  }

  /// As those of the system's files.
  static rocksdb::IOStatus status(failure_kind how, const std::string& doing, const std::string& path) {
    switch (how) {
    case failure_kind::no_space: {
      auto full = rocksdb::IOStatus::NoSpace(doing + ": " + path, "No space left on device");
      full.SetRetryable(true);
      return full;
    }
    case failure_kind::no_descriptors:
      return rocksdb::IOStatus::IOError(doing + ": " + path, "Too many open files");
    case failure_kind::io_error:
    case failure_kind::short_write:
      break;
    }
    return rocksdb::IOStatus::IOError(doing + ": " + path, "Input/output error");
  }

  std::mutex mutex_;
  std::optional<fault_plan> plan_;
  struct place {
    std::filesystem::path path;
    std::uint64_t at;
  };
  std::optional<place> bad_; ///< to read
  std::optional<std::uint64_t> free_;
  std::atomic<std::uint64_t> failed_{0};
  std::atomic<std::uint64_t> appends_{0};
};

} // namespace dormouse::test
