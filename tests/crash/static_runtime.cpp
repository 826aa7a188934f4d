// A runtime of static duration: made before main(), ended after it, beside the statics of CAF and RocksDB.
// The program ends with status 0 if it ends at all.

#include <dormouse/dormouse.hpp>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

namespace {

class counter : public dormouse::durable_object {
public:
  int add(int amount) { return total_ += amount; }

  template <class Archive> void serialize(Archive& ar) { ar(total_); }

  using methods = dormouse::methods<"COUNTER", dormouse::method<"add", &counter::add>>;

private:
  int total_ = 0;
};

/// Removed after the runtimes, which are made later.
struct scratch_folder {
  std::filesystem::path path;

  scratch_folder() {
    auto name = (std::filesystem::temp_directory_path() / "dormouse-test-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    path = name;
  }
  ~scratch_folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
};

const scratch_folder scratch;
dormouse::runtime before_main({.directory = scratch.path / "before"});

dormouse::runtime& made_when_used() {
  static dormouse::runtime running({.directory = scratch.path / "used"});
  return running;
}

} // namespace

int main() {
  for (auto* each : {&before_main, &made_when_used()}) {
    each->define<counter>();
    if (each->get<counter>("a").call<&counter::add>(1).get() != 1) return 1;
  }
  std::puts("two runtimes are left to the end of the program");
}
