// With g++, a new run that has an aggregate among its arguments is named before it is awaited.

#include <dormouse/dormouse.hpp>

#include <string>

struct chat {
  std::string with;
  template <class Archive> void serialize(Archive& ar) { ar(with); }
};

class talker : public dormouse::durable_object {
public:
  static dormouse::task<void> loop(dormouse::task_context<talker> self, chat) {
#ifdef DORMOUSE_COMPILE_FAIL
    co_await self.continue_as<&talker::loop>(chat{"anna"});
#else
    auto next = self.continue_as<&talker::loop>(chat{"anna"});
    co_await next;
#endif
  }
  using methods = dormouse::methods<"TALKER", dormouse::method<"loop", &talker::loop>>;
};
