// A const method is a read-only turn: there is no commit that its rows could be part of.
#include <dormouse/actors/durable_object.hpp>

#ifdef DORMOUSE_COMPILE_FAIL
#define CONSTNESS const
#else
#define CONSTNESS
#endif

class object : public dormouse::durable_object {
public:
  int count() const { return storage().get<int>("count").value_or(0); }
  void add() CONSTNESS { storage().put("count", count() + 1); }

  using methods = dormouse::methods<"OBJECT", dormouse::method<"count", &object::count>,
                                    dormouse::method<"add", &object::add>>;
};
