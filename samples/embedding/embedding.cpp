// Durable objects in a program made of plain CAF actors: embedding [<directory>]
//
// The program has its actor system already; the runtime moves into it and its objects share its scheduler.
// What is durable is an object (a door's log), what is not stays an actor as before (the turnstile in front
// of it).

#include <dormouse/dormouse.hpp>
#include <dormouse/runtime/caf.hpp>

#include <caf/all.hpp>

#include <chrono>
#include <iostream>
#include <map>
#include <string>

using namespace std::chrono_literals;

class door_log : public dormouse::durable_object {
public:
  std::uint64_t enter(std::string visitor) {
    if (visitor.empty()) throw std::invalid_argument("nobody is there");
    return ++visits_[visitor];
  }

  std::uint64_t total() const {
    std::uint64_t sum = 0;
    for (const auto& [visitor, visits] : visits_)
      sum += visits;
    return sum;
  }

  template <class Archive> void serialize(Archive& ar) { ar(visits_); }

  using methods = dormouse::methods<"DOOR_LOG", dormouse::method<"enter", &door_log::enter>,
                                    dormouse::method<"total", &door_log::total>>;

private:
  std::map<std::string, std::uint64_t> visits_;
};

// For an answer of an object.
constexpr auto patience = 10s;

// An event-based actor like any other: it neither blocks nor owns the object, and it answers its own client
// when the object has answered, that is when the visit is on disk.
caf::behavior turnstile(caf::event_based_actor* self, dormouse::object_ref<door_log> log) {
  return {
      [self, log](const std::string& visitor) {
        auto answer = self->make_response_promise();
        dormouse::request_object<&door_log::enter>(self, log, patience, visitor)
            .then(
                [answer, visitor](std::uint64_t visit) mutable {
                  answer.deliver(visitor + ", visit " + std::to_string(visit));
                },
                [answer](const dormouse::error& problem) mutable {
                  answer.deliver("refused: " + problem.message);
                });
        return answer;
      },
  };
}

int main(int argc, char** argv) try {
  caf::actor_system_config config;
  caf::actor_system system{config};

  // Made after the system, so that it has stopped before the system goes away.
  dormouse::runtime runtime(system, {.directory = argc > 1 ? argv[1] : "embedding-data"});
  runtime.define<door_log>();
  const auto log = runtime.get<door_log>("main entrance");

  const auto left = system.spawn(turnstile, log);
  const auto right = system.spawn(turnstile, log);

  caf::scoped_actor self{system};
  const auto pass = [&self](const caf::actor& door, const std::string& visitor) {
    self->request(door, 20s, visitor)
        .receive([](const std::string& answer) { std::cout << answer << '\n'; },
                 [&self](const caf::error& problem) { std::cerr << self->system().render(problem) << '\n'; });
  };
  pass(left, "alice");
  pass(right, "bob");
  pass(right, "alice"); // two actors, one object
  pass(left, "");       // an exception in the object is an error in the actor, and leaves no trace

  dormouse::request_object<&door_log::total>(self, log, patience)
      .receive([](std::uint64_t total) { std::cout << "visits, of all runs: " << total << '\n'; },
               [](const dormouse::error& problem) { std::cerr << to_string(problem) << '\n'; });

  // CAF's clock holds on to an actor until the time limits of its requests are over, answered or not, and the
  // system waits for the actor. Unless it is told to go.
  self->send_exit(left, caf::exit_reason::user_shutdown);
  self->send_exit(right, caf::exit_reason::user_shutdown);
  return 0;
} catch (const std::exception& error) {
  std::cerr << "embedding: " << error.what() << '\n';
  return 1;
}
