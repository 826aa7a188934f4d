// Arguments travel through bytes: what a method writes into its parameter would reach nobody.
#include <dormouse/actors/class_descriptor.hpp>

#ifdef DORMOUSE_COMPILE_FAIL
#define CONSTNESS
#else
#define CONSTNESS const
#endif

class object : public dormouse::durable_object {
public:
  void take(CONSTNESS std::string&) {}

  using methods = dormouse::methods<"OBJECT", dormouse::method<"take", &object::take>>;
};

static_assert(dormouse::describe<object>().binding == "OBJECT");
