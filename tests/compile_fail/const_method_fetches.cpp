// A const method is a read-only turn: there is no commit that its fetch could be part of.
#include <dormouse/actors/durable_object.hpp>

#ifdef DORMOUSE_COMPILE_FAIL
#define CONSTNESS const
#else
#define CONSTNESS
#endif

class object : public dormouse::durable_object {
public:
  void ask() CONSTNESS { static_cast<void>(fetch("https://example.com/")); }

  using methods = dormouse::methods<"OBJECT", dormouse::method<"ask", &object::ask>>;
};
