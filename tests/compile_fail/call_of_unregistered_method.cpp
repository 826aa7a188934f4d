// A call travels under the method's wire name, so it must have one.
#include <dormouse/actors/durable_object.hpp>
#include <dormouse/actors/object_ref.hpp>

class object : public dormouse::durable_object {
public:
  void run() {}
  void registered() {}

  using methods = dormouse::methods<"OBJECT", dormouse::method<"registered", &object::registered>>;
};

std::future<void> use(const dormouse::object_ref<object>& ref) {
#ifdef DORMOUSE_COMPILE_FAIL
  return ref.call<&object::run>();
#else
  return ref.call<&object::registered>();
#endif
}
