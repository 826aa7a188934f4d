// What is stored now is what the continuation is called with, perhaps days later: its type is checked now.
#include <dormouse/actors/durable_object.hpp>

class object : public dormouse::durable_object {
public:
#ifdef DORMOUSE_COMPILE_FAIL
  void ask() { fetch("https://example.com/").then<&object::on_answer>(7, "name"); }
#else
  void ask() { fetch("https://example.com/").then<&object::on_answer>("name", 7); }
#endif
  void on_answer(dormouse::fetch_result, std::string, int) {}

  using methods = dormouse::methods<"OBJECT", dormouse::method<"ask", &object::ask>,
                                    dormouse::method<"on_answer", &object::on_answer>>;
};
