#include "store/bad_sectors.hpp"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <utility>

namespace dormouse {
namespace {

using std::chrono::steady_clock;

/// Where reads fail at present.
class failing_places {
public:
  explicit failing_places(std::chrono::milliseconds patience) : patience_(patience) {}

  bool is_impatient() const noexcept { return patience_.count() == 0; }

  void succeeded(const std::string& path, std::uint64_t offset) {
    good_reads_.fetch_add(1, std::memory_order_relaxed);
    if (known_.load(std::memory_order_relaxed) == 0) return;
    std::lock_guard guard(mutex_);
    places_.erase({path, offset});
    known_.store(places_.size(), std::memory_order_relaxed);
  }

  /// Whether it has failed for so long that it is bad. `others_work` is asked if no other read has succeeded
  /// since.
  template <class Probe>
  bool failed(const std::string& path, std::uint64_t offset, const Probe& others_work) {
    const auto now = steady_clock::now();
    std::uint64_t reads_then = 0;
    {
      std::lock_guard guard(mutex_);
      if (places_.size() >= most && !places_.contains({path, offset})) places_.erase(places_.begin());
      const auto [at, is_new] =
          places_.try_emplace({path, offset}, place{now, good_reads_.load(std::memory_order_relaxed)});
      known_.store(places_.size(), std::memory_order_relaxed);
      if (now - at->second.since < patience_) return false;
      reads_then = at->second.good_reads;
    }
    return good_reads_.load(std::memory_order_relaxed) != reads_then || others_work();
  }

private:
  static constexpr std::size_t most = 10'000;

  struct place {
    steady_clock::time_point since;
    std::uint64_t good_reads; ///< of all files, until then
  };

  const std::chrono::milliseconds patience_;
  std::atomic<std::uint64_t> good_reads_{0};
  std::atomic<std::size_t> known_{0};
  std::mutex mutex_;
  std::map<std::pair<std::string, std::uint64_t>, place> places_;
};

class watched_file final : public rocksdb::FSRandomAccessFileOwnerWrapper {
public:
  watched_file(std::string path, std::unique_ptr<rocksdb::FSRandomAccessFile> file,
               std::shared_ptr<failing_places> places)
      : rocksdb::FSRandomAccessFileOwnerWrapper(std::move(file)),
        path_(std::move(path)),
        places_(std::move(places)) {}

  rocksdb::IOStatus Read(std::uint64_t offset, std::size_t size, const rocksdb::IOOptions& options,
                         rocksdb::Slice* out, char* scratch,
                         rocksdb::IODebugContext* context) const override {
    auto status = target()->Read(offset, size, options, out, scratch, context);
    if (status.IsIOError() && places_->is_impatient())
      status = target()->Read(offset, size, options, out, scratch, context);
    return judged(std::move(status), offset, options, context);
  }

  rocksdb::IOStatus MultiRead(rocksdb::FSReadRequest* requests, std::size_t count,
                              const rocksdb::IOOptions& options, rocksdb::IODebugContext* context) override {
    auto status = target()->MultiRead(requests, count, options, context);
    for (std::size_t i = 0; i < count; ++i)
      requests[i].status = judged(std::move(requests[i].status), requests[i].offset, options, context);
    return status;
  }

private:
  rocksdb::IOStatus judged(rocksdb::IOStatus status, std::uint64_t offset, const rocksdb::IOOptions& options,
                           rocksdb::IODebugContext* context) const {
    if (status.ok()) {
      places_->succeeded(path_, offset);
      return status;
    }
    // Not a descriptor or room that is missing: those have names of their own, or no place.
    if (!status.IsIOError() || status.subcode() != rocksdb::Status::kNone) return status;
    const auto others_work = [&] { return is_readable(0, options, context); };
    if (!places_->failed(path_, offset, others_work)) return status;
    return rocksdb::IOStatus::Corruption("a bad sector of the disk", status.ToString());
  }

  /// The first byte of the file, which is not the place unless the file begins with it.
  bool is_readable(std::uint64_t at, const rocksdb::IOOptions& options,
                   rocksdb::IODebugContext* context) const {
    char byte = 0;
    rocksdb::Slice read;
    const auto status = target()->Read(at, 1, options, &read, &byte, context);
    return status.ok() && read.size() == 1;
  }

  const std::string path_;
  const std::shared_ptr<failing_places> places_;
};

class watched_files final : public rocksdb::FileSystemWrapper {
public:
  watched_files(std::shared_ptr<rocksdb::FileSystem> files, std::chrono::milliseconds patience)
      : rocksdb::FileSystemWrapper(std::move(files)), places_(std::make_shared<failing_places>(patience)) {}

  static const char* kClassName() { return "dormouse.bad_sectors"; }
  const char* Name() const override { return kClassName(); }

  rocksdb::IOStatus NewRandomAccessFile(const std::string& path, const rocksdb::FileOptions& options,
                                        std::unique_ptr<rocksdb::FSRandomAccessFile>* out,
                                        rocksdb::IODebugContext* context) override {
    auto opened = target()->NewRandomAccessFile(path, options, out, context);
    if (opened.ok()) *out = std::make_unique<watched_file>(path, std::move(*out), places_);
    return opened;
  }

private:
  const std::shared_ptr<failing_places> places_;
};

} // namespace

std::shared_ptr<rocksdb::FileSystem> with_bad_sectors(std::shared_ptr<rocksdb::FileSystem> files,
                                                      std::chrono::milliseconds patience) {
  if (!files) files = rocksdb::FileSystem::Default();
  return std::make_shared<watched_files>(std::move(files), patience);
}

} // namespace dormouse
