// Members that serialize() does not know are lost when the object hibernates.
#include <dormouse/actors/class_descriptor.hpp>

class object : public dormouse::durable_object {
public:
#ifndef DORMOUSE_COMPILE_FAIL
  template <class Archive> void serialize(Archive& ar) { ar(count_); }
#endif

  using methods = dormouse::methods<"OBJECT">;

private:
  int count_ = 0;
};

static_assert(dormouse::describe<object>().binding == "OBJECT");
