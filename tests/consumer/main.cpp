// What a user's program does, against the installed package: an object with state, over two lives of the
// runtime.
#include <dormouse/dormouse.hpp>

#include <cstdlib>
#include <filesystem>
#include <iostream>

class counter : public dormouse::durable_object {
public:
  int add(int n) { return total_ += n; }
  int total() const { return total_; }

  template <class Archive> void serialize(Archive& ar) { ar(total_); }

  using methods = dormouse::methods<"COUNTER", dormouse::method<"add", &counter::add>,
                                    dormouse::method<"total", &counter::total>>;

private:
  int total_ = 0;
};

int main() {
  auto directory = (std::filesystem::temp_directory_path() / "dormouse-consumer-XXXXXX").string();
  if (mkdtemp(directory.data()) == nullptr) return 1;
  int total = 0;
  for (int life = 0; life < 2; ++life) {
    dormouse::runtime runtime({.directory = directory});
    runtime.define<counter>();
    auto object = runtime.get<counter>("one");
    object.call<&counter::add>(21).get();
    total = object.call<&counter::total>().get();
  }
  std::filesystem::remove_all(directory);
  std::cout << "total over two lives: " << total << '\n';
  return total == 42 ? 0 : 1;
}
