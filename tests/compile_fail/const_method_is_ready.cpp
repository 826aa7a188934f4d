// A const method is a read-only turn: that its object is ready would not be written down.
#include <dormouse/actors/durable_object.hpp>

#ifdef DORMOUSE_COMPILE_FAIL
#define CONSTNESS const
#else
#define CONSTNESS
#endif

class object : public dormouse::durable_object {
public:
  void begin() CONSTNESS { ready(); }

  using methods = dormouse::methods<"OBJECT", dormouse::method<"begin", &object::begin>>;
};
