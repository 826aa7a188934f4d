// The process whose disk is full, or whose files may not grow. It must never die of it: it reports what it
// saw, "done" at the end, and its exit code is 0.
//
//   outage_child full <directory>    the directory is on a small disk that nobody else uses
//   outage_child limit <directory>   RLIMIT_FSIZE, with the SIGXFSZ that comes with it

#include "crash/report_pipe.hpp"
#include "eventually.hpp"

#include <dormouse/dormouse.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <map>
#include <random>
#include <stdexcept>
#include <thread>

namespace dormouse::test {
namespace {

using namespace std::chrono_literals;

/// Keeps what does not compress.
class hoard : public durable_object {
public:
  std::uint64_t add(std::string bytes) {
    storage().put(std::to_string(count_ % 50), bytes);
    return ++count_;
  }
  std::uint64_t count() const { return count_; }
  template <class Archive> void serialize(Archive& ar) { ar(count_); }
  using methods = dormouse::methods<"HOARD", dormouse::method<"add", &hoard::add>,
                                    dormouse::method<"count", &hoard::count>>;

private:
  std::uint64_t count_ = 0;
};

void require(bool holds, const std::string& what) {
  if (!holds) throw std::runtime_error(what);
}

class hoarding {
public:
  explicit hoarding(std::filesystem::path directory) : directory_(std::move(directory)) { start(); }

  void start() {
    host_.emplace(options{.directory = directory_,
                          .idle_after = 0ms,
                          .proxy_workers = 1,
                          .store_buffer_bytes = std::size_t{1} << 20U});
    host_->define<hoard>();
  }
  void stop() { host_.reset(); }

  /// Why it was not done, or nothing.
  std::string add(int id, std::size_t bytes = 8'000) {
    std::string noise(bytes, '\0');
    for (auto& each : noise)
      each = static_cast<char>(random_());
    try {
      const auto count = object(id).call<&hoard::add>(noise).get();
      require(count == ++acknowledged_[id],
              fmt::format("object {} says {}, {} were acknowledged", id, count, acknowledged_[id]));
      return {};
    } catch (const failure& failed) {
      require(failed.code() == errc::storage_error, failed.what());
      return failed.what_failed().message;
    }
  }

  bool add_soon(int id) {
    return eventually([this, id] { return add(id).empty(); }, 2s);
  }

  /// Whatever was acknowledged, and nothing else.
  void check() {
    for (const auto& [id, count] : acknowledged_) {
      const auto found = count_of(id);
      require(found == count, fmt::format("object {} has {}, {} were acknowledged", id, found, count));
    }
  }

private:
  /// To read may fail too, for the moment in which the store is opened anew.
  std::uint64_t count_of(int id) {
    std::uint64_t count = 0;
    std::string why;
    const auto read = [&] {
      try {
        count = object(id).call<&hoard::count>().get();
        return true;
      } catch (const failure& failed) {
        why = failed.what();
        return false;
      }
    };
    require(eventually(read, 5s), fmt::format("object {} cannot be read: {}", id, why));
    return count;
  }

  object_ref<hoard> object(int id) { return host_->get<hoard>(std::to_string(id)); }

  const std::filesystem::path directory_;
  std::optional<runtime> host_;
  std::map<int, std::uint64_t> acknowledged_;
  std::mt19937 random_{7};
};

/// Takes the disk's room.
class filler {
public:
  explicit filler(std::string path) : path_(std::move(path)) {}
  ~filler() { empty(); }

  void fill() {
    const int file = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    require(file >= 0, "no filler file");
    const std::string block(4'096, 'f');
    while (::write(file, block.data(), block.size()) > 0) {
    }
    ::close(file);
  }
  void leave(std::uint64_t bytes) {
    std::error_code failed;
    const auto size = std::filesystem::file_size(path_, failed);
    if (!failed) std::filesystem::resize_file(path_, size > bytes ? size - bytes : 0, failed);
  }
  void empty() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }

private:
  const std::string path_;
};

/// Filled by the store itself.
void live_on_a_full_disk(const std::string& directory) {
  hoarding work(directory + "/store");
  for (int i = 0; i < 20; ++i)
    require(work.add(i).empty(), "it does not work with room");
  std::string why;
  int written = 0;
  for (; why.empty() && written < 4'000; ++written)
    why = work.add(100 + written);
  require(!why.empty(), "a disk of 16 MiB is never full");
  report(fmt::format("refused after {}: {}", written, why));
  require(why.find("o space left") != std::string::npos, why);
  work.check();
  work.stop();
  std::filesystem::remove_all(directory + "/store");
}

/// Who fill the disk, again and again.
void live_among_others(const std::string& directory) {
  filler rest(directory + "/rest");
  hoarding work(directory + "/store");
  for (int round = 0; round < 3; ++round) {
    require(work.add_soon(1), "it does not work with room");
    rest.fill();
    const auto why = work.add(1);
    report("full: " + why);
    require(why.find("o space left") != std::string::npos, why);
    work.check();
    rest.empty();
    require(work.add_soon(1), "it does not go on when there is room again");
  }
  std::atomic<bool> over{false};
  std::thread others([&] {
    for (std::uint64_t left = 0; !over; left = (left + 300'000) % 4'000'000) {
      rest.fill();
      rest.leave(left);
    }
  });
  std::uint64_t failed = 0;
  std::uint64_t done = 0;
  for (const auto until = std::chrono::steady_clock::now() + 2s; std::chrono::steady_clock::now() < until;)
    ++(work.add(static_cast<int>(done % 20)).empty() ? done : failed);
  over = true;
  others.join();
  rest.empty();
  report(fmt::format("among others {} were done and {} failed", done, failed));
  require(failed > 0, "nothing failed on a full disk");
  require(work.add_soon(1), "it does not go on when there is room again");
  work.check();
  work.stop();
  work.start();
  work.check();

  work.stop();
  rest.fill();
  try {
    work.start();
    require(false, "it opens on a full disk");
  } catch (const failure& failed_to_open) {
    report(std::string("open: ") + failed_to_open.what());
  }
  work.stop();
  rest.empty();
  work.start();
  work.check();
}

void live_with_a_limit(const std::string& directory) {
  hoarding work(directory + "/store");
  for (int i = 0; i < 20; ++i)
    require(work.add(i).empty(), "it does not work without a limit");
  rlimit before{};
  require(::getrlimit(RLIMIT_FSIZE, &before) == 0, "getrlimit");
  auto small = before;
  small.rlim_cur = 200'000;
  for (int round = 0; round < 2; ++round) {
    require(::setrlimit(RLIMIT_FSIZE, &small) == 0, "setrlimit");
    std::string why;
    for (int i = 0; why.empty() && i < 500; ++i)
      why = work.add(i % 20);
    require(!why.empty(), "no file grows beyond the limit");
    report("limited: " + why);
    require(why.find("too large") != std::string::npos, why); // EFBIG
    work.check();
    require(::setrlimit(RLIMIT_FSIZE, &before) == 0, "setrlimit");
    require(work.add_soon(1), "it does not go on without the limit");
  }
  work.check();
  work.stop();
  work.start();
  work.check();
}

int run(const std::string& what, const std::string& directory) {
  if (what == "full") {
    live_on_a_full_disk(directory);
    live_among_others(directory);
  } else if (what == "limit") {
    live_with_a_limit(directory);
  } else {
    throw std::invalid_argument("unknown job " + what);
  }
  report("done");
  return 0;
}

} // namespace
} // namespace dormouse::test

int main(int argc, char** argv) {
  try {
    return argc == 3 ? dormouse::test::run(argv[1], argv[2]) : 2;
  } catch (const std::exception& e) {
    dormouse::test::report(std::string("failed: ") + e.what());
    return 1;
  }
}
