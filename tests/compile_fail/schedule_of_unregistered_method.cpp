// What is stored is the wire name: a method without one cannot be scheduled.
#include <dormouse/actors/class_descriptor.hpp>
#include <dormouse/actors/durable_object.hpp>

class object : public dormouse::durable_object {
public:
  void run() {}
  void other() {}
#ifdef DORMOUSE_COMPILE_FAIL
  void plan() { schedule<&object::other>(dormouse::every(std::chrono::hours(1))); }
#else
  void plan() { schedule<&object::run>(dormouse::every(std::chrono::hours(1))); }
#endif

  using methods = dormouse::methods<"OBJECT", dormouse::method<"run", &object::run>,
                                    dormouse::method<"plan", &object::plan>>;
};

const auto& described = dormouse::describe<object>();
