// A stored name must lead to one method.
#include <dormouse/actors/class_descriptor.hpp>

#ifdef DORMOUSE_COMPILE_FAIL
#define SECOND "first"
#else
#define SECOND "second"
#endif

class object : public dormouse::durable_object {
public:
  void first() {}
  void second() {}

  using methods = dormouse::methods<"OBJECT", dormouse::method<"first", &object::first>,
                                    dormouse::method<SECOND, &object::second>>;
};

static_assert(dormouse::describe<object>().binding == "OBJECT");
