// A task's parameters are taken by value: it outlives whatever they would refer to.

#include <dormouse/dormouse.hpp>

#include <string>

class worker : public dormouse::durable_object {
public:
#ifdef DORMOUSE_COMPILE_FAIL
  static dormouse::task<void> work(dormouse::task_context<worker> self, const std::string& name) {
#else
  static dormouse::task<void> work(dormouse::task_context<worker> self, std::string name) {
#endif
    co_await self.sleep_for(std::chrono::milliseconds(name.size()));
  }
  using methods = dormouse::methods<"WORKER", dormouse::method<"work", &worker::work>>;
};

const auto& described = dormouse::describe<worker>();
