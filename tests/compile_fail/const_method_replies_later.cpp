// R15: a reply that comes later needs a fetch, and a read-only turn has none; what it knows already it
// returns as it is.
#include <dormouse/actors/class_descriptor.hpp>

#ifdef DORMOUSE_COMPILE_FAIL
#define CONSTNESS const
#else
#define CONSTNESS
#endif

class object : public dormouse::durable_object {
public:
  dormouse::later<int> ask() CONSTNESS { return 0; }

  using methods = dormouse::methods<"OBJECT", dormouse::method<"ask", &object::ask>>;
};

static_assert(dormouse::describe<object>().binding == "OBJECT");
