// What a CAF program does, against the installed package: the runtime in its own actor system, and an actor
// that asks an object.
#include <dormouse/dormouse.hpp>
#include <dormouse/runtime/caf.hpp>

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/scoped_actor.hpp>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <iostream>

class counter : public dormouse::durable_object {
public:
  int add(int n) { return total_ += n; }

  template <class Archive> void serialize(Archive& ar) { ar(total_); }

  using methods = dormouse::methods<"COUNTER", dormouse::method<"add", &counter::add>>;

private:
  int total_ = 0;
};

int main() {
  auto directory = (std::filesystem::temp_directory_path() / "dormouse-consumer-XXXXXX").string();
  if (mkdtemp(directory.data()) == nullptr) return 1;
  int total = 0;
  {
    caf::actor_system_config config;
    caf::actor_system system(config);
    dormouse::runtime runtime(system, {.directory = directory});
    runtime.define<counter>();
    caf::scoped_actor self(system);
    dormouse::request_object<&counter::add>(self, runtime.get<counter>("one"), std::chrono::seconds(30), 42)
        .receive([&](int now) { total = now; },
                 [](const dormouse::error& why) { std::cerr << to_string(why) << '\n'; });
  }
  std::filesystem::remove_all(directory);
  std::cout << "total that an actor was told: " << total << '\n';
  return total == 42 ? 0 : 1;
}
