// The arguments behind the time are those of the method.
#include <dormouse/actors/class_descriptor.hpp>
#include <dormouse/actors/durable_object.hpp>

class object : public dormouse::durable_object {
public:
  void run(std::string) {}
#ifdef DORMOUSE_COMPILE_FAIL
  void plan() { schedule<&object::run>(dormouse::cron("@daily"), 5); }
#else
  void plan() { schedule<&object::run>(dormouse::cron("@daily"), "5"); }
#endif

  using methods = dormouse::methods<"OBJECT", dormouse::method<"run", &object::run>,
                                    dormouse::method<"plan", &object::plan>>;
};

const auto& described = dormouse::describe<object>();
