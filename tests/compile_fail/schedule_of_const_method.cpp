// Nobody would see what a const method returns.
#include <dormouse/actors/class_descriptor.hpp>
#include <dormouse/actors/durable_object.hpp>

#ifdef DORMOUSE_COMPILE_FAIL
#define CONSTNESS const
#else
#define CONSTNESS
#endif

class object : public dormouse::durable_object {
public:
  void run() CONSTNESS {}
  void plan() { schedule<&object::run>(std::chrono::hours(1)); }

  using methods = dormouse::methods<"OBJECT", dormouse::method<"run", &object::run>,
                                    dormouse::method<"plan", &object::plan>>;
};

const auto& described = dormouse::describe<object>();
