// A reply travels through bytes, and only a type with serialize() says which.
#include <dormouse/actors/class_descriptor.hpp>

struct point {
  int x = 0;
#ifndef DORMOUSE_COMPILE_FAIL
  template <class Archive> void serialize(Archive& ar) { ar(x); }
#endif
};

class object : public dormouse::durable_object {
public:
  point give() const { return {}; }

  using methods = dormouse::methods<"OBJECT", dormouse::method<"give", &object::give>>;
};

static_assert(dormouse::describe<object>().binding == "OBJECT");
