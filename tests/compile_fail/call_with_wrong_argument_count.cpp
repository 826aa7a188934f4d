// Arguments are checked where the call is written and not where it arrives.
#include <dormouse/actors/durable_object.hpp>
#include <dormouse/actors/object_ref.hpp>

class object : public dormouse::durable_object {
public:
  int add(int a, int b) { return a + b; }

  using methods = dormouse::methods<"OBJECT", dormouse::method<"add", &object::add>>;
};

std::future<int> use(const dormouse::object_ref<object>& ref) {
#ifdef DORMOUSE_COMPILE_FAIL
  return ref.call<&object::add>(1);
#else
  return ref.call<&object::add>(1, 2);
#endif
}
