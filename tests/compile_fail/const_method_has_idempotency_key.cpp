// A key is so that nothing is done twice: a const method does nothing.
#include <dormouse/actors/durable_object.hpp>
#include <dormouse/actors/object_ref.hpp>

#ifdef DORMOUSE_COMPILE_FAIL
#define CONSTNESS const
#else
#define CONSTNESS
#endif

class object : public dormouse::durable_object {
public:
  void run() CONSTNESS {}

  using methods = dormouse::methods<"OBJECT", dormouse::method<"run", &object::run>>;
};

std::future<void> use(const dormouse::object_ref<object>& ref) {
  return ref.with({.idempotency_key = "k"}).call<&object::run>();
}
