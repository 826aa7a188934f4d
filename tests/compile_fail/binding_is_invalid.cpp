// A binding is part of every key on disk.
#include <dormouse/actors/class_descriptor.hpp>

#ifdef DORMOUSE_COMPILE_FAIL
#define BINDING "MY-OBJECT"
#else
#define BINDING "MY_OBJECT"
#endif

class object : public dormouse::durable_object {
public:
  using methods = dormouse::methods<BINDING>;
};

static_assert(dormouse::describe<object>().method_count == 0);
