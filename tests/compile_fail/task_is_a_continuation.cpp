// A task cannot be a continuation: the method that is one starts it.

#include <dormouse/dormouse.hpp>

class worker : public dormouse::durable_object {
public:
  static dormouse::task<void> work(dormouse::task_context<worker> self, dormouse::fetch_result page) {
    co_await self.sleep_for(std::chrono::milliseconds(page ? 1 : 2));
  }
  void on_page(dormouse::fetch_result page) { (void)start<&worker::work>(page); }
  void ask() {
#ifdef DORMOUSE_COMPILE_FAIL
    fetch("https://example.com/").then<&worker::work>();
#else
    fetch("https://example.com/").then<&worker::on_page>();
#endif
  }
  using methods =
      dormouse::methods<"WORKER", dormouse::method<"work", &worker::work>,
                        dormouse::method<"on_page", &worker::on_page>, dormouse::method<"ask", &worker::ask>>;
};

const auto& described = dormouse::describe<worker>();
