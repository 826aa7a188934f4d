// One directory, one runtime: whichever way leads there, from wherever.

#include "blob_files.hpp"
#include "eventually.hpp"
#include "outcome.hpp"
#include "store/directory_lock.hpp"
#include "store/rocksdb_engine.hpp"

#include <dormouse/dormouse.hpp>

#include <doctest/doctest.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace dormouse::test::directory_lock_test {

using namespace std::chrono_literals;

namespace {

/// Runs before the next file is locked, once.
std::atomic<const std::function<void()>*> before_lock{nullptr};

} // namespace
} // namespace dormouse::test::directory_lock_test

/// That of the C library, with something before it.
extern "C" int flock(int descriptor, int operation) noexcept {
  if (const auto* what = dormouse::test::directory_lock_test::before_lock.exchange(nullptr)) (*what)();
  return static_cast<int>(::syscall(SYS_flock, descriptor, operation));
}

namespace dormouse::test::directory_lock_test {
namespace {

class counter : public durable_object {
public:
  int add(int amount) { return total_ += amount; }
  int total() const { return total_; }
  void send_much() {
    fetch("http://127.0.0.1:1/", {.method = "POST", .body = std::string(300'000, 'b'), .delay = 1h})
        .then<&counter::on_result>();
  }
  void on_result(fetch_result) {}
  template <class Archive> void serialize(Archive& ar) { ar(total_); }

  using methods =
      dormouse::methods<"COUNTER", method<"add", &counter::add>, method<"total", &counter::total>,
                        method<"send_much", &counter::send_much>, method<"on_result", &counter::on_result>>;

private:
  int total_ = 0;
};

struct fixture {
  test::scratch_directory scratch;
  std::filesystem::path directory = scratch.path() / "d";

  expected<std::unique_ptr<storage_engine>> open(const std::filesystem::path& path,
                                                 std::chrono::milliseconds lock_wait = 0ms) const {
    return open_rocksdb({path, std::size_t{1} << 20U, std::size_t{1} << 20U, 128 * 1024, lock_wait});
  }

  /// Other ways to the directory; it and what leads there are made.
  std::vector<std::filesystem::path> spellings() const {
    std::filesystem::create_directories(directory / "below");
    std::filesystem::create_directory_symlink(directory, scratch.path() / "link");
    std::filesystem::create_directory_symlink("link", scratch.path() / "link of link");
    std::filesystem::create_directory_symlink(scratch.path(), scratch.path() / "above");
    const auto text = directory.string();
    return {text,
            text + "/",
            text + "//",
            text + "/.",
            scratch.path() / "." / "d",
            scratch.path().string() + "//d",
            directory / "below" / "..",
            scratch.path() / "link",
            scratch.path() / "link" / "",
            scratch.path() / "link of link",
            scratch.path() / "above" / "d",
            std::filesystem::relative(directory),
            std::filesystem::relative(directory) / ""};
  }
};

/// The working directory, given back at the end.
class working_directory {
public:
  explicit working_directory(const std::filesystem::path& path) { std::filesystem::current_path(path); }
  ~working_directory() { std::filesystem::current_path(before_); }

private:
  std::filesystem::path before_ = std::filesystem::current_path();
};

} // namespace

TEST_CASE_FIXTURE(fixture, "R18: whichever way leads to a directory, a second runtime is refused") {
  const auto ways = spellings();
  {
    runtime running({.directory = directory});
    running.define<counter>();
    for (const auto& way : ways) {
      CAPTURE(way.string());
      CHECK(error_thrown_by([&way] { runtime second({.directory = way}); }).code == errc::directory_locked);
      CHECK(value_of(running.get<counter>("x").call<&counter::add>(1)) > 0);
    }
  }
  runtime again({.directory = ways.back()});
  again.define<counter>();
  CHECK(value_of(again.get<counter>("x").call<&counter::total>()) == static_cast<int>(ways.size()));
}

TEST_CASE_FIXTURE(fixture, "R18: of threads that open one directory at the same time one gets it") {
  const auto ways = spellings();
  std::vector<std::future<expected<std::unique_ptr<storage_engine>>>> all;
  for (const auto& way : ways)
    all.push_back(std::async(std::launch::async, [this, &way] { return open(way); }));
  std::vector<std::unique_ptr<storage_engine>> opened;
  for (auto& each : all) {
    auto outcome = value_of(std::move(each));
    if (outcome)
      opened.push_back(std::move(*outcome));
    else
      CHECK(outcome.error().code == errc::directory_locked);
  }
  CHECK(opened.size() == 1);
}

TEST_CASE_FIXTURE(fixture, "R18: a directory that another process has is refused, and the process is named") {
  auto path = value_or_throw(make_directory(directory));
  int ready[2];
  REQUIRE(::pipe(ready) == 0);
  const auto child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    const auto lock = directory_lock::take(path, 0ms);
    const char outcome = lock ? 'y' : 'n';
    [[maybe_unused]] const auto told = ::write(ready[1], &outcome, 1);
    for (;;)
      ::pause();
  }
  ::close(ready[1]);
  char outcome = 0;
  CHECK(::read(ready[0], &outcome, 1) == 1);
  ::close(ready[0]);
  CHECK(outcome == 'y');
  const auto refused = open(directory);
  REQUIRE(!refused);
  CHECK(refused.error().code == errc::directory_locked);
  CHECK(contains(refused.error().message, directory.string()));
  CHECK(contains(refused.error().message, "process " + std::to_string(child)));

  auto waiting = std::async(std::launch::async, [this] { return open(directory, 10s); });
  ::kill(child, SIGKILL);
  int status = 0;
  ::waitpid(child, &status, 0);
  CHECK(value_of(std::move(waiting)));
}

TEST_CASE_FIXTURE(fixture, "R18: a directory is refused through a second mount of it too") {
  std::filesystem::create_directories(directory);
  const auto elsewhere = scratch.path() / "mounted";
  std::filesystem::create_directory(elsewhere);
  const auto first = open(directory);
  REQUIRE(first);
  bool mounted = false;
  errc refusal{};
  std::thread([&] { // in a mount namespace of its own, which ends with it
    mounted = ::unshare(CLONE_NEWNS) == 0 &&
              ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
              ::mount(directory.c_str(), elsewhere.c_str(), nullptr, MS_BIND, nullptr) == 0;
    if (!mounted) return;
    const auto second = open(elsewhere);
    if (!second) refusal = second.error().code;
    ::umount(elsewhere.c_str());
  })
      .join();
  if (mounted)
    CHECK(refusal == errc::directory_locked);
  else
    MESSAGE("this process may not mount anything");
}

TEST_CASE_FIXTURE(fixture,
                  "R18: a directory is refused also if its lock file was removed, and it was renamed") {
  const auto path = value_or_throw(make_directory(directory));
  auto first = std::make_unique<directory_lock>(value_or_throw(directory_lock::take(path, 0ms)));
  std::filesystem::remove(path / "dormouse.lock");
  const auto is_refused = [](const std::filesystem::path& where) {
    const auto second = directory_lock::take(where, 0ms); // of a new file
    return !second && second.error().code == errc::directory_locked;
  };
  CHECK(is_refused(path));
  auto elsewhere = path;
  elsewhere += " renamed";
  std::filesystem::rename(path, elsewhere);
  CHECK(is_refused(elsewhere));
  first.reset();
  CHECK(directory_lock::take(elsewhere, 0ms).has_value());
}

TEST_CASE_FIXTURE(fixture,
                  "R18: a lock whose file was removed, and made anew, before it was taken is given back") {
  const auto path = value_or_throw(make_directory(directory));
  const auto file = path / "dormouse.lock";
  const std::function<void()> make_anew = [&file] {
    std::filesystem::rename(file, file.string() + ".old"); // and so its number is not used again
    std::ofstream(file).flush();
  };
  before_lock = &make_anew;
  const auto first = directory_lock::take(path, 0ms);
  REQUIRE(first);
  const auto second = directory_lock::take(path, 0ms);
  REQUIRE(!second);
  CHECK(second.error().code == errc::directory_locked);
}

TEST_CASE_FIXTURE(fixture, "R18: with lock_wait a runtime gets the directory when the one before it ends") {
  auto before = std::make_unique<runtime>(options{.directory = directory});
  before->define<counter>();
  std::atomic<bool> begun = false;
  auto next = std::async(std::launch::async, [&] {
    begun = true;
    runtime after({.directory = directory / ".", .lock_wait = 30s});
    after.define<counter>();
    return value_of(after.get<counter>("x").call<&counter::total>());
  });
  CHECK(test::eventually([&] { return begun.load(); }));
  CHECK(value_of(before->get<counter>("x").call<&counter::add>(7)) == 7);
  before.reset();
  CHECK(value_of(std::move(next)) == 7);
}

TEST_CASE_FIXTURE(fixture, "R18: lock_wait has an end, which the refusal names") {
  runtime running({.directory = directory});
  const auto begin = std::chrono::steady_clock::now();
  const auto why = error_thrown_by([this] { runtime second({.directory = directory, .lock_wait = 50ms}); });
  CHECK(std::chrono::steady_clock::now() - begin >= 50ms);
  CHECK(why.code == errc::directory_locked);
  CHECK(contains(why.message, "lock_wait"));
  CHECK(contains(why.message, "50 ms"));
  CHECK(error_thrown_by([this] { runtime second({.directory = directory, .lock_wait = -1ms}); }).code ==
        errc::invalid_option);
}

TEST_CASE_FIXTURE(fixture, "R18: a relative directory stays where it is when the working directory changes") {
  {
    const working_directory above(scratch.path());
    runtime running({.directory = "d", .allow = {"127.0.0.1:1"}});
    running.define<counter>();
    std::filesystem::create_directory("elsewhere");
    const working_directory changed(scratch.path() / "elsewhere");
    CHECK(value_of(running.get<counter>("x").call<&counter::add>(3)) == 3);
    value_of(running.get<counter>("x").call<&counter::send_much>()); // makes a file
    CHECK(blob_files(directory).size() == 1);
    CHECK(error_thrown_by([this] { runtime second({.directory = directory}); }).code ==
          errc::directory_locked);
  }
  CHECK(std::filesystem::is_empty(scratch.path() / "elsewhere"));
  runtime again({.directory = directory});
  again.define<counter>();
  CHECK(value_of(again.get<counter>("x").call<&counter::total>()) == 3);
}

} // namespace dormouse::test::directory_lock_test
