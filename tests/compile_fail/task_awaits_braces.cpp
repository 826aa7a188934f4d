// With g++, an operation that has braces in its arguments is named before it is awaited.

#include <dormouse/dormouse.hpp>

class worker : public dormouse::durable_object {
public:
  static dormouse::task<void> work(dormouse::task_context<worker> self) {
#ifdef DORMOUSE_COMPILE_FAIL
    co_await self.fetch("https://example.com/", {.method = "POST"});
#else
    auto sent = self.fetch("https://example.com/", {.method = "POST"});
    co_await sent;
#endif
  }
  using methods = dormouse::methods<"WORKER", dormouse::method<"work", &worker::work>>;
};
