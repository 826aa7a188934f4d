// A continuation is stored under its wire name, so it must have one.
#include <dormouse/actors/durable_object.hpp>

class object : public dormouse::durable_object {
public:
  void ask() { fetch("https://example.com/").then<&object::on_answer>(); }
  void on_answer(dormouse::fetch_result) {}

  using methods = dormouse::methods<"OBJECT", dormouse::method<"ask", &object::ask>
#ifndef DORMOUSE_COMPILE_FAIL
                                    ,
                                    dormouse::method<"on_answer", &object::on_answer>
#endif
                                    >;
};
