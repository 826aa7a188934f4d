// A stored name must lead to one method, also one that a method had before.
#include <dormouse/actors/class_descriptor.hpp>

#ifdef DORMOUSE_COMPILE_FAIL
#define FORMERLY "first"
#else
#define FORMERLY "before"
#endif

class object : public dormouse::durable_object {
public:
  void first() {}
  void second() {}

  using methods =
      dormouse::methods<"OBJECT", dormouse::method<"first", &object::first>,
                        dormouse::method<"second", &object::second, dormouse::renamed_from<FORMERLY>>>;
};

static_assert(dormouse::describe<object>().binding == "OBJECT");
