// A wire name is stored with every continuation: 1 to 64 bytes.
#include <dormouse/actors/class_descriptor.hpp>

#define SIXTEEN "sixteen_bytes_xx"
#ifdef DORMOUSE_COMPILE_FAIL
#define NAME SIXTEEN SIXTEEN SIXTEEN SIXTEEN "x"
#else
#define NAME SIXTEEN SIXTEEN SIXTEEN SIXTEEN
#endif

class object : public dormouse::durable_object {
public:
  void run() {}

  using methods = dormouse::methods<"OBJECT", dormouse::method<NAME, &object::run>>;
};

static_assert(dormouse::describe<object>().binding == "OBJECT");
