// R7: every fetch has a result, and a continuation that cannot take it would lose it.
#include <dormouse/actors/durable_object.hpp>

class object : public dormouse::durable_object {
public:
  void ask() { fetch("https://example.com/").then<&object::on_answer>(std::string()); }
#ifdef DORMOUSE_COMPILE_FAIL
  void on_answer(std::string, dormouse::fetch_result) {}
#else
  void on_answer(dormouse::fetch_result, std::string) {}
#endif

  using methods = dormouse::methods<"OBJECT", dormouse::method<"ask", &object::ask>,
                                    dormouse::method<"on_answer", &object::on_answer>>;
};
