// Arguments travel through bytes, and an address means nothing after a restart.
#include <dormouse/actors/class_descriptor.hpp>

#ifdef DORMOUSE_COMPILE_FAIL
using parameter = const int*;
#else
using parameter = int;
#endif

class object : public dormouse::durable_object {
public:
  void take(parameter) {}

  using methods = dormouse::methods<"OBJECT", dormouse::method<"take", &object::take>>;
};

static_assert(dormouse::describe<object>().binding == "OBJECT");
