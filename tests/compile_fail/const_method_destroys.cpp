// A const method is a read-only turn: there is no commit with which its object could end.
#include <dormouse/actors/durable_object.hpp>

#ifdef DORMOUSE_COMPILE_FAIL
#define CONSTNESS const
#else
#define CONSTNESS
#endif

class object : public dormouse::durable_object {
public:
  void end() CONSTNESS { destroy(); }

  using methods = dormouse::methods<"OBJECT", dormouse::method<"end", &object::end>>;
};
