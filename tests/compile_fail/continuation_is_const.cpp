// A const method never commits, and taking a result off the disk is a commit.
#include <dormouse/actors/durable_object.hpp>

#ifdef DORMOUSE_COMPILE_FAIL
#define CONSTNESS const
#else
#define CONSTNESS
#endif

class object : public dormouse::durable_object {
public:
  void ask() { fetch("https://example.com/").then<&object::on_answer>(); }
  void on_answer(dormouse::fetch_result) CONSTNESS {}

  using methods = dormouse::methods<"OBJECT", dormouse::method<"ask", &object::ask>,
                                    dormouse::method<"on_answer", &object::on_answer>>;
};
