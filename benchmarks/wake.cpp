/// What waking costs: a call to a hibernated object, minus the same call to one that is awake.

#include "measure.hpp"
#include "row.hpp"

#include <dormouse/dormouse.hpp>

#include <fmt/format.h>

#include <thread>

namespace dormouse::bench {
namespace {

class sleeper final : public durable_object {
public:
  void fill() { bytes_.assign(1024, 's'); }
  void sleep() { hibernate(); }
  std::uint64_t size() const { return bytes_.size(); }
  template <class Archive> void serialize(Archive& ar) { ar(bytes_); }
  using methods = dormouse::methods<"SLEEPER", method<"fill", &sleeper::fill>,
                                    method<"sleep", &sleeper::sleep>, method<"size", &sleeper::size>>;

private:
  std::string bytes_;
};

} // namespace

std::vector<row> wake(const settings& how) {
  const int count = how.quick ? 2'000 : 10'000;
  scratch_directory directory;
  runtime host({.directory = directory.path(), .idle_after = std::chrono::hours(1)});
  host.define<sleeper>();
  std::vector<object_ref<sleeper>> objects;
  std::vector<std::future<void>> done;
  for (int i = 0; i < count; ++i) {
    objects.push_back(host.get<sleeper>(fmt::format("sleeper-{:06}", i)));
    done.push_back(objects.back().call<&sleeper::fill>());
    done.push_back(objects.back().call<&sleeper::sleep>());
  }
  for (auto& each : done)
    each.get();
  while (host.stats().active_objects != 0)
    std::this_thread::yield();
  const auto time_calls = [&] {
    std::vector<double> samples;
    for (const auto& object : objects) {
      const auto start = steady::now();
      if (object.call<&sleeper::size>().get() != 1024) throw std::runtime_error("wake: the state is gone");
      samples.push_back(seconds_since(start) * 1e6);
    }
    return median(std::move(samples));
  };
  const auto asleep = time_calls();
  if (host.stats().active_objects != static_cast<std::uint64_t>(count))
    throw std::runtime_error("wake: not everybody was woken");
  const auto awake = time_calls();
  return {{"wake",
           fmt::format("1 KB state, {} objects, p50 of a const call to a hibernated object minus p50 of one "
                       "that is awake",
                       count),
           asleep - awake, awake, (asleep - awake) / awake, "us"}};
}

} // namespace dormouse::bench
